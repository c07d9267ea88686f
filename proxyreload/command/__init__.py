"""The command line, and the service for twistd."""

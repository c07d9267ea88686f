"""A run as a Twisted service."""

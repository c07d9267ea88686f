"""A run as a trace of OpenTelemetry's: what it consists of, and how it gets to a collector."""

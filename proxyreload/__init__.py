"""What happens to clients when a reverse proxy's backends are changed under load."""

__version__ = "0.1.0"

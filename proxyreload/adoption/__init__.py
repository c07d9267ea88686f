"""A real configuration made into a template: what every plugin's way of doing so has in common."""

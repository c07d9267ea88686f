"""The terminal, and what it says."""

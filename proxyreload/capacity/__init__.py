"""How many changes a second a mechanism takes, and how many backends."""

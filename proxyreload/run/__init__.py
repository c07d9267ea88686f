"""One run, from what must be so before it to all that is given back after it."""

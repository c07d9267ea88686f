"""Famous bugs: each is a file that says what shows it, what must be found, and what makes it go away."""

"""Many mechanisms, the same scenario on each, side by side."""

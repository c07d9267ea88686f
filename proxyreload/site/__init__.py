"""Comparisons as a static site: what the changes of a proxy lose, over versions and dates, with the evidence."""

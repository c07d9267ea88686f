"""Where programs of any version come from, and where they are kept."""

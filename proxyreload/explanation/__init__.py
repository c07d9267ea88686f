"""The story of a run's losses, for who has never seen the tool: from its files to lines."""

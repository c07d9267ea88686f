"""Fast tests, all in memory: no proxy, no sleeping."""

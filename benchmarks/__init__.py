"""proxyreload side by side with its peers, and its own cost: `python -m benchmarks`."""

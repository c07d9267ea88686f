"""The clients: who sends requests through the proxy, one persistent connection each."""

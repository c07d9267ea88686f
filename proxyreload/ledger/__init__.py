"""What became of each request: what clients and backends say of it, together, and why it was lost."""

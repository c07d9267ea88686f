"""WebSocket's bytes, for either end: opening, messages, closing (RFC 6455)."""

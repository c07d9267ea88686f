"""Those who subscribe to the event bus and tell somebody: a file, a terminal. None of them sees the proxy."""

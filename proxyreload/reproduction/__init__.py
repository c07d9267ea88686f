"""What a maintainer of a proxy wants to be sent: one loss, to be seen again without proxyreload."""

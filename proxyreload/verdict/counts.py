"""The four counts of the status line."""

import attrs

from proxyreload.events import Exchange

#: One bit for each port of each instance.
_PORTS = 65536
#: Beyond this many different ``Backend-Id`` values somebody is inventing them.
_INSTANCES_KEPT = 1024


@attrs.define
class SeenConnections:
    """The backend connections (instance, back port) that have carried an answer: a bit each, so it cannot grow."""

    _ports: dict[str, bytearray] = attrs.field(factory=dict)

    def add(self, instance: str, back_port: int) -> bool:
        """Note one; True if it had not been seen before."""
        ports = self._ports.get(instance)
        if ports is None:
            if len(self._ports) >= _INSTANCES_KEPT:
                return False
            ports = self._ports[instance] = bytearray(_PORTS // 8)
        index, bit = back_port >> 3, 1 << (back_port & 7)
        if ports[index] & bit:
            return False
        ports[index] |= bit
        return True


@attrs.define
class Counts:
    """success, failure, front changed, back changed, as the design of the status line defines them.

    ``front changed``: a client's request went over another TCP connection than its previous one; its first
    connection is no change. ``back changed``: an answer came over a backend connection that had carried no answer
    before, except each client's first answer. The probe counts in success and failure only.
    """

    success: int = 0
    failure: int = 0
    front_changed: int = 0
    back_changed: int = 0
    by_failure: dict[str, int] = attrs.field(factory=dict)
    _connections: dict[int, int] = attrs.field(factory=dict)
    _answered: set[int] = attrs.field(factory=set)
    _seen: SeenConnections = attrs.field(factory=SeenConnections)

    @property
    def total(self) -> int:
        """All exchanges."""
        return self.success + self.failure

    def add(self, exchange: Exchange) -> tuple[bool, bool]:
        """Count one exchange; returns whether its front and its back connection changed."""
        if exchange.failure:
            self.failure += 1
            self.by_failure[exchange.failure] = self.by_failure.get(exchange.failure, 0) + 1
        else:
            self.success += 1
        front = back = False
        client, connection = exchange.client, exchange.connection
        if not exchange.probe and connection >= 0:
            before = self._connections.get(client)
            if before != connection:
                self._connections[client] = connection
                front = before is not None
                self.front_changed += front
        if exchange.back_port and self._seen.add(exchange.instance, exchange.back_port) and not exchange.probe:
            back = client in self._answered
            self.back_changed += back
        if exchange.back_port and not exchange.probe:
            self._answered.add(client)
        return front, back

    def line(self) -> str:
        """Return the status line's words."""
        return (
            f"success: {self.success} failure: {self.failure} "
            f"front changed: {self.front_changed} back changed: {self.back_changed}"
        )

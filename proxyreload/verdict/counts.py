"""The four counts of the status line."""

from collections.abc import Sequence

import attrs

from proxyreload.history.events import ConnectionChanged, Exchange

#: One bit for each port of each instance.
_PORTS = 65536
#: Of each client: that many connections at most end what they have, while others have taken their place.
_CONNECTIONS_KEPT = 4
#: Beyond this many different ``Backend-Id`` values somebody is inventing them.
_INSTANCES_KEPT = 1024


@attrs.define
class SeenConnections:
    """The backend connections (instance, back port) that have carried an answer: a bit each, so it cannot grow."""

    ports: dict[str, bytearray] = attrs.field(factory=dict)

    def add(self, instance: str, back_port: int) -> bool:
        """Note one; True if it had not been seen before."""
        ports = self.ports.get(instance)
        if ports is None:
            if len(self.ports) >= _INSTANCES_KEPT:
                return False
            ports = self.ports[instance] = bytearray(_PORTS // 8)
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
    before, except each client's first answer. The probe, and clients of other kinds, count in success and failure only.
    """

    total: int = 0
    failure: int = 0
    turned_away: int = 0  #: neither a success nor a failure
    front_changed: int = 0
    back_changed: int = 0
    by_failure: dict[str, int] = attrs.field(factory=dict)
    #: Of the last batch, those that were turned away among them, and when the connection of each was opened.
    failed: list[tuple[Exchange, int]] = attrs.field(factory=list, eq=False)
    #: Of the last batch, when the connections were opened that clients have opened for it, but the probe's.
    opened: list[int] = attrs.field(factory=list, eq=False)
    _opened_ns: dict[tuple[int, int], int] = attrs.field(factory=dict)  # each client's latest connections
    _connections: dict[int, int] = attrs.field(factory=dict)
    _answered: set[int] = attrs.field(factory=set)
    _seen: SeenConnections = attrs.field(factory=SeenConnections)

    @property
    def success(self) -> int:
        """All exchanges but the failures, and what was turned away."""
        return self.total - self.failure - self.turned_away

    def add(self, exchanges: Sequence[Exchange]) -> list[ConnectionChanged]:
        """Count a batch; returns those whose front or back connection changed."""
        changed: list[ConnectionChanged] = []
        self.failed, self.opened = [], []
        connections, answered, ports_of = self._connections, self._answered, self._seen.ports
        for exchange in exchanges:
            if exchange.failure:
                self._fail(exchange)
            client, instance, back_port = exchange.client, exchange.instance, exchange.back_port
            # Nothing is new about nearly all.
            if connections.get(client) == exchange.connection:
                if not back_port:
                    continue
                ports = ports_of.get(instance)
                if client in answered and ports is not None and ports[back_port >> 3] & (1 << (back_port & 7)):
                    continue
            change = self._look_closer(exchange)
            if change is not None:
                changed.append(change)
        self.total += len(exchanges)
        return changed

    def _fail(self, exchange: Exchange) -> None:
        failure, connect_ns = exchange.failure, exchange.connect_ns
        if exchange.turned_away:
            self.turned_away += 1
        else:
            self.failure += 1
            self.by_failure[failure] = self.by_failure.get(failure, 0) + 1
        opened_ns = (
            exchange.sent_ns - connect_ns
            if connect_ns
            else self._opened_ns.get((exchange.client, exchange.connection), 0)
        )
        self.failed.append((exchange, opened_ns))

    def _look_closer(self, exchange: Exchange) -> ConnectionChanged | None:
        """Count a connection, of a client or of the proxy to a backend, that is seen for the first time."""
        client, connection = exchange.client, exchange.connection
        if exchange.connect_ns:
            self._opened_ns[client, connection] = exchange.sent_ns - exchange.connect_ns
            if not exchange.probe:
                self.opened.append(exchange.sent_ns - exchange.connect_ns)
            self._opened_ns.pop((client, connection - _CONNECTIONS_KEPT), None)
        new_back = bool(exchange.back_port) and self._seen.add(exchange.instance, exchange.back_port)
        if exchange.probe or not exchange.plain:
            return None
        front = back = False
        if connection >= 0 and self._connections.get(client) != connection:
            front = client in self._connections
            self._connections[client] = connection
        if exchange.back_port:
            back = new_back and client in self._answered
            self._answered.add(client)
        self.front_changed += front
        self.back_changed += back
        return ConnectionChanged(exchange, front, back) if front or back else None

    def line(self) -> str:
        """Return the status line's words."""
        return (
            f"success: {self.success} failure: {self.failure} "
            f"front changed: {self.front_changed} back changed: {self.back_changed}"
        )

"""The clients' connections over time, as stretches over which the same backends answered."""

from collections import deque
from collections.abc import Collection, Iterable
from itertools import count
from typing import Any

import attrs

from proxyreload.history.events import Exchange

#: Stretches that are kept, and that are told at once.
_KEPT, _TOLD_AT_MOST = 2000, 300
#: Backends that are told of one stretch.
_BACKENDS_AT_MOST = 12


@attrs.define(eq=False)
class Stretch:
    """One connection while the same backends answered over it."""

    number: int
    client: int
    connection: int
    front_port: int
    backends: set[str]
    begin_s: float
    end_s: float | None = None  #: None: it goes on

    def as_json(self) -> list[Any]:
        """Return number, client, connection, port, backends, begin and end."""
        backends = sorted(self.backends, key=lambda name: (len(name), name))
        return [self.number, self.client, self.connection, self.front_port, backends, self.begin_s, self.end_s]


@attrs.define(eq=False)
class Strips:
    """Every client's latest connections; told are those of the clients that are ``drawn``."""

    drawn: Collection[int]
    _numbers: "count[int]" = attrs.field(factory=count)
    _kept: deque[Stretch] = attrs.field(factory=lambda: deque(maxlen=_KEPT))
    _open: dict[int, Stretch] = attrs.field(factory=dict)  # by client
    _carried: set[tuple[int, int, int, str]] = attrs.field(factory=set)
    _connected: dict[int, int] = attrs.field(factory=dict)  # each client's connection, if it has one
    _told: list[Stretch] = attrs.field(factory=list)
    _since_s: float = 0.0

    @property
    def connections(self) -> int:
        """How many connections the clients have."""
        return len(self._connected)

    def carried(self, exchanges: Iterable[Exchange]) -> None:
        """Note who answered over which connection."""
        self._carried.update(
            [(each.client, each.connection, each.front_port, each.instance) for each in exchanges if not each.probe]
        )

    def lost(self, client: int, connection: int, at_s: float) -> None:
        """Note that a connection has ended."""
        self._settle()
        if self._connected.get(client) == connection:
            del self._connected[client]
        stretch = self._open.get(client)
        if stretch is not None and stretch.connection == connection:
            self._end(client, at_s)

    def restart(self, at_s: float) -> None:
        """Look anew at who answers over each connection: a change was made."""
        self._settle()
        for client, stretch in list(self._open.items()):
            if len(stretch.backends) > 1:
                self._end(client, at_s)

    def slice(self, at_s: float) -> list[list[Any]]:
        """Return what is new since the last slice; this one ends at `at_s`."""
        self._settle()
        self._since_s = at_s
        told, self._told = self._told, []
        return [stretch.as_json() for stretch in list(dict.fromkeys(told))[:_TOLD_AT_MOST]]

    def history(self) -> list[list[Any]]:
        """Return all that is kept."""
        return [stretch.as_json() for stretch in self._kept]

    def _settle(self) -> None:
        """Draw what was carried until now."""
        carried, self._carried = self._carried, set()
        for client, connection, front_port, instance in sorted(carried):
            if connection >= 0:
                self._connected[client] = connection
                if client in self.drawn:
                    self._answered(client, connection, front_port, instance, self._since_s)

    def _answered(self, client: int, connection: int, front_port: int, instance: str, begin_s: float) -> None:
        stretch = self._open.get(client)
        if stretch is not None and stretch.connection > connection:
            return  # of a connection that has ended since
        if stretch is None or stretch.connection != connection:
            if stretch is not None:
                self._end(client, begin_s)
            stretch = self._begin(client, connection, front_port, begin_s)
        if instance and instance not in stretch.backends and len(stretch.backends) < _BACKENDS_AT_MOST:
            stretch.backends.add(instance)
            self._told.append(stretch)

    def _begin(self, client: int, connection: int, front_port: int, begin_s: float) -> Stretch:
        last = next((each for each in reversed(self._kept) if each.client == client), None)
        if last is not None and last.end_s is not None:
            begin_s = max(begin_s, last.end_s)
        stretch = Stretch(next(self._numbers), client, connection, front_port, set(), begin_s)
        self._kept.append(stretch)
        self._open[client] = stretch
        self._told.append(stretch)
        return stretch

    def _end(self, client: int, at_s: float) -> None:
        stretch = self._open.pop(client)
        stretch.end_s = max(at_s, stretch.begin_s)
        self._told.append(stretch)

"""``data.csv``: one row for each exchange."""

from collections.abc import Sequence

import attrs

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange
from proxyreload.record.wholerows import WholeRows, quoted
from proxyreload.system.clock import NS_PER_US
from proxyreload.system.untrusted import as_cell, printable

#: The first six are those of the program's ancestor, by its names and in its order.
COLUMNS = (
    *("time", "client", "status", "instance", "front port", "back port"),
    *("request", "due", "written", "first byte", "connect", "connection", "carried", "announced", "failure", "kind"),
)

_PLAIN_KEPT = 4096
_WAYS_KEPT = 16_384


def status_text(exchange: Exchange) -> str | int:
    """Return the column ``status``: the status code, or the error's name and message."""
    if not exchange.failure or exchange.failure.startswith("status "):
        return exchange.status
    return f"{exchange.failure}: {printable(exchange.message)}" if exchange.message else exchange.failure


@attrs.define(eq=False)
class CsvFile(WholeRows):
    """Writes every exchange."""

    columns = COLUMNS
    what = "exchanges"
    _plain: set[str] = attrs.field(factory=lambda: {""}, init=False)  # instances that need no quotes
    _ways: dict[tuple[int, int, int, str, int], str] = attrs.field(factory=dict, init=False)

    def subscribe(self, bus: EventBus) -> None:
        """Write what `bus` brings."""
        self._take(bus, Exchange, self.exchanged)

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Write a batch of rows."""
        self._write(self._encode(exchanges), len(exchanges))

    def _encode(self, exchanges: Sequence[Exchange]) -> bytes:
        """Return their rows: the plain ones, which are nearly all, formatted here, the others by the csv module.

        Plain is a success over a connection that was open already, without anything to quote. A row costs as much as
        all the counting, so that what is the same as before (who answered whom, over which ports) is kept as text, and
        what is due when it is written is made text once.
        """
        start_ns, way_of, rows = self._start_ns, self._ways.get, []
        for e in exchanges:
            way = ""
            if not (e.failure or e.connect_ns or e.announced):
                way = way_of((e.client, e.status, e.front_port, e.instance, e.back_port)) or self._way(e)
            if not way:
                rows.append(self._row(e))
                continue
            ended_us, first_byte_us = (e.ended_ns - start_ns) // NS_PER_US, (e.first_byte_ns - start_ns) // NS_PER_US
            due_us = written_us = str((e.written_ns - start_ns) // NS_PER_US)
            if e.due_ns != e.written_ns:
                due_us = str((e.due_ns - start_ns) // NS_PER_US)
            rows.append(
                f"{ended_us},{way},{e.number},{due_us},{written_us},{first_byte_us},,{e.connection},{e.carried},,,{e.kind}\n"
            )
        return "".join(rows).encode("utf-8")

    def _way(self, e: Exchange) -> str:
        """Return those columns of a row that are mostly the same, and keep them; empty if they cannot be plain."""
        if e.instance not in self._plain:
            return ""
        way = f"{e.client},{e.status},{e.instance},{e.front_port or ''},{e.back_port or ''}"
        if len(self._ways) < _WAYS_KEPT:
            self._ways[e.client, e.status, e.front_port, e.instance, e.back_port] = way
        return way

    def _row(self, e: Exchange) -> str:
        """Return any row, and learn whether this instance can stand in a plain one."""
        if e.instance.isalnum() and len(self._plain) < _PLAIN_KEPT:
            self._plain.add(e.instance)
        start_ns = self._start_ns
        return quoted(
            (
                (e.ended_ns - start_ns) // NS_PER_US,
                e.client,
                as_cell(status_text(e)),
                as_cell(printable(e.instance)),
                e.front_port or "",
                e.back_port or "",
                e.number,
                (e.due_ns - start_ns) // NS_PER_US,
                (e.written_ns - start_ns) // NS_PER_US if e.written_ns else "",
                (e.first_byte_ns - start_ns) // NS_PER_US if e.first_byte_ns else "",
                e.connect_ns // NS_PER_US if e.connect_ns and e.connection >= 0 else "",
                e.connection if e.connection >= 0 else "",
                e.carried,
                "yes" if e.announced else "",
                as_cell(e.failure),
                e.kind,
            )
        )

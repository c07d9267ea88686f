"""The terminal: the log above, the status line pinned below; into a pipe, plain lines."""

from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    BackendKilled,
    BackendLeaving,
    Broken,
    Change,
    ConnectionChanged,
    Drained,
    Ending,
    Exchange,
    FrontClosed,
    LeftUndone,
    RateChanged,
    ReporterFailed,
    Started,
)
from proxyreload.system.clock import ClockNs, seconds
from proxyreload.terminal.display import IDisplay
from proxyreload.terminal.lines import (
    change_line,
    clock_text,
    drained_line,
    exchange_line,
    killed_line,
    kinds_line,
    leaving_line,
    rate_line,
    undone_line,
    unsolicited_line,
)
from proxyreload.terminal.recent import Recent
from proxyreload.verdict.counts import Counts
from proxyreload.verdict.tally import Tallies

#: How often the terminal is drawn, and how many ordinary exchanges it gets each time.
DRAW_INTERVAL_S = 0.25
ORDINARY_LINES = 3
#: Lines that must be shown, but are too many even for that, end in the file alone.
MUST_SHOW_LIMIT = 100_000


@attrs.define(eq=False)
class Terminal:
    """Shows failures, connection changes and configuration changes, always; other exchanges as there is room.

    ``log`` is ``all``, ``changes`` (no ordinary exchanges) or ``none`` (the status line alone).
    """

    display: IDisplay
    counts: Counts
    log: str
    csv_name: str
    clock_ns: ClockNs
    progress: Callable[[float], str]  #: what comes next, told by seconds since the start
    announcement: str = ""  #: what is about to happen, in a line
    kinds: Tallies = attrs.field(factory=Tallies)  #: what became of each kind of traffic so far
    _start_ns: int = attrs.field(default=0, init=False)
    _lines: list[str] = attrs.field(factory=list, init=False)
    _closing: list[str] = attrs.field(factory=list, init=False)
    _ordinary: int = attrs.field(default=0, init=False)
    _unshown: int = attrs.field(default=0, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)
    _drawn: tuple[int, int] = attrs.field(default=(0, 0), init=False)  # ns and exchanges, when last drawn
    _recent: Recent = attrs.field(factory=Recent, init=False)
    _rate_per_s: float = attrs.field(default=0.0, init=False)

    def subscribe(self, bus: EventBus) -> None:
        """Show what `bus` brings."""
        name = "terminal"
        bus.subscribe(Started, self.started, name)
        bus.subscribe(Broken, self.broke, name)
        bus.subscribe(ReporterFailed, self.reporter_failed, name)
        bus.subscribe(LeftUndone, self.undone, name)
        if self.log != "none":
            bus.subscribe(Exchange, self.exchanged, name)
            bus.subscribe(ConnectionChanged, self.connection_changed, name)
            bus.subscribe(Change, self.changed, name)
            bus.subscribe(Drained, self.drained, name)
            bus.subscribe(FrontClosed, self.front_closed, name)
            bus.subscribe(BackendKilled, self.killed, name)
            bus.subscribe(BackendLeaving, self.leaving, name)
            bus.subscribe(RateChanged, self.rate_changed, name)

    def start(self, reactor: IReactorTime) -> None:
        """Draw from now on."""
        self._ticking = LoopingCall(self.draw)
        self._ticking.clock = reactor
        self._ticking.start(DRAW_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Show what is left; the counts are the last line that stays."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        self.draw(last=True)
        self.display.close()

    def conclude(self, lines: Iterable[str], ended_ns: int) -> None:
        """Show these lines last, and below them the elapsed time and the four counts."""
        elapsed_s = seconds(ended_ns - self._start_ns) if self._start_ns and ended_ns else 0.0
        self._closing = [*lines, self._status_line(elapsed_s)]

    def started(self, events: Sequence[Started]) -> None:
        """Note the zero of all times."""
        self._start_ns = events[0].at_ns
        self._drawn = (self._start_ns, 0)
        if self.announcement and self.log != "none":
            self._lines.append(self.announcement)

    def broke(self, events: Sequence[Broken]) -> None:
        """Show why the run is not valid."""
        for event in events:
            when = clock_text(event.at_ns, self._start_ns) if self._start_ns else " " * 11
            self._lines.append(f"{when}  {event.reason}")

    def reporter_failed(self, events: Sequence[ReporterFailed]) -> None:
        """Show which reporter is gone."""
        self._lines += [f"{'':11}  {event.reason}" for event in events]

    def changed(self, events: Sequence[Change]) -> None:
        """Show how far a change has come."""
        self._lines += [change_line(event, self._start_ns) for event in events]

    def drained(self, events: Sequence[Drained]) -> None:
        """Show at which removed backend nothing is left."""
        self._lines += [drained_line(event, self._start_ns) for event in events]

    def undone(self, events: Sequence[LeftUndone]) -> None:
        """Show what could not be done after a change."""
        self._lines += [undone_line(event, self._start_ns) for event in events]

    def killed(self, events: Sequence[BackendKilled]) -> None:
        """Show which backend is gone."""
        self._lines += [killed_line(event, self._start_ns) for event in events]

    def leaving(self, events: Sequence[BackendLeaving]) -> None:
        """Show which backend leaves."""
        self._lines += [leaving_line(event, self._start_ns) for event in events]

    def rate_changed(self, events: Sequence[RateChanged]) -> None:
        """Show the new rate."""
        self._lines += [rate_line(event, self._start_ns) for event in events]

    def connection_changed(self, events: Sequence[ConnectionChanged]) -> None:
        """Show a changed connection, unless its failure is shown already."""
        for event in events:
            if not event.exchange.failure:
                which = " and ".join(word for word, it in (("front", event.front), ("back", event.back)) if it)
                self._must_show(event.exchange, f"{which} changed")

    def front_closed(self, events: Sequence[FrontClosed]) -> None:
        """Show bytes that nobody asked for; other closed connections are seen by what comes after them."""
        self._lines += [
            unsolicited_line(event, self._start_ns) for event in events if event.ending is Ending.UNSOLICITED
        ]

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Show failures, and a few of the others."""
        self._recent.exchanged(exchanges)
        for exchange in exchanges:
            if exchange.lost:
                self._must_show(exchange)
        if self.log == "all":
            room = ORDINARY_LINES - self._ordinary
            shown = [exchange for exchange in exchanges[: room * 2] if not exchange.failure][: max(0, room)]
            self._lines += [exchange_line(exchange, self._start_ns) for exchange in shown]
            self._ordinary += len(shown)
            self._unshown += sum(not exchange.lost for exchange in exchanges) - len(shown)

    def draw(self, *, last: bool = False) -> None:
        """Show what has come since the last time."""
        if self._unshown:
            self._lines.append(f"{'':11}  … {self._unshown} more in {self.csv_name}")
        lines, self._lines = self._lines + self._closing, []
        self._ordinary = self._unshown = 0
        self.display.show(lines, "" if last else self._pinned())

    def _pinned(self) -> str:
        """Return what stays below the log.

        The last failures; what comes next, the rate, the last second; the counts by kind; the counts. But for the
        failures, and many kinds, each line fits 80 columns.
        """
        if not self._start_ns:
            return ""
        now_ns, failures, latency = self.clock_ns(), "", ""
        if self.log != "none":
            failures, latency = self._recent.lost(self._start_ns), self._recent.latency(now_ns, self._start_ns)
        elapsed_s = seconds(now_ns - self._start_ns)
        speed = f"{self._rate(now_ns):.0f}/s"
        between = "  ".join(filter(None, (self.progress(elapsed_s), speed, latency)))
        return "\n".join(filter(None, (failures, between, kinds_line(self.kinds), self._status_line(elapsed_s))))

    def _status_line(self, elapsed_s: float) -> str:
        return f"{elapsed_s:6.1f} s  {self.counts.line()}"

    def _rate(self, now_ns: int) -> float:
        """Return exchanges/s, smoothed."""
        then_ns, then_total = self._drawn
        if now_ns - then_ns > 0:
            rate = (self.counts.total - then_total) / seconds(now_ns - then_ns)
            self._rate_per_s = rate if not self._rate_per_s else 0.7 * self._rate_per_s + 0.3 * rate
            self._drawn = (now_ns, self.counts.total)
        return self._rate_per_s

    def _must_show(self, exchange: Exchange, note: str = "") -> None:
        if len(self._lines) < MUST_SHOW_LIMIT:
            self._lines.append(exchange_line(exchange, self._start_ns, note))
        else:
            self._unshown += 1

"""A run's trace: prepared before the run, sent when that is over; the reactor never waits for the collector."""

from threading import Thread
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as LateError

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.job.runsummary import JobRun
from proxyreload.otel.keptlosses import KeptLosses
from proxyreload.otel.option import OPTION
from proxyreload.otel.spans import OnTheWall, Trace, trace_of
from proxyreload.plan.settings import CollectorSettings
from proxyreload.system.clock import ClockNs, monotonic_ns, wall_offset_ns
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import one_line

if TYPE_CHECKING:
    from proxyreload.otel.exporter import Exporter

#: For all of it, whatever a collector does: the SDK limits each silence.
LIMIT_S = 30.0


@attrs.define(eq=False)
class TraceExport:
    """Keeps what the trace needs while the run goes on, and sends it, where there is a collector."""

    collector: CollectorSettings
    clock_ns: ClockNs = monotonic_ns
    failed: bool = attrs.field(default=False, init=False)  #: the collector does not have it
    _losses: KeptLosses = attrs.field(factory=KeptLosses, init=False)
    _exporter: "Exporter | None" = attrs.field(default=None, init=False)
    _wall: OnTheWall = attrs.field(init=False)

    @property
    def wanted(self) -> bool:
        """Whether it is to be sent at all."""
        return self.collector.otel is not None

    def open(self, bus: EventBus) -> None:
        """Prepare it, if it is wanted; raises `UsageError` if what sends it is not installed, or cannot be used."""
        if not self.wanted:
            return
        try:
            from proxyreload.otel.exporter import Exporter

            self._exporter = Exporter(self.collector)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("proxyreload"):
                raise
            msg = f"{OPTION} needs OpenTelemetry's SDK, which is not installed: pip install 'proxyreload[otel]'"
            raise UsageError(msg) from error
        except Exception as error:
            words = one_line(f"{type(error).__name__}: {error}")
            msg = f"{OPTION}: OpenTelemetry's SDK cannot be used: {words}"
            raise UsageError(msg) from error
        self._wall = OnTheWall(wall_offset_ns(self.clock_ns), self.clock_ns())
        self._losses.subscribe(bus)

    async def send(self, reactor: IReactor, run: JobRun) -> str:
        """Send the trace of a run that is over; returns the line that says so, or why not. Cancelling gives it up."""
        exporter = self._exporter
        assert exporter is not None  # noqa: S101
        self.failed = True
        trace = trace_of(run, self._losses, self._wall)
        why_not = await _in_a_thread(reactor, exporter, trace)
        if why_not:
            return self.unsent(why_not)
        self.failed = False
        return f"sent to {self.collector.otel}: trace {exporter.trace_id}"

    def close(self) -> None:
        """Give back what that took."""
        if self._exporter is not None:
            self._exporter.close()
            self._exporter = None

    def unsent(self, why: str) -> str:
        """Return the line that says why the collector does not have it, which is noted."""
        self.failed = True
        return f"not sent to {self.collector.otel}: {why}"


async def _in_a_thread(reactor: IReactor, exporter: "Exporter", trace: Trace) -> str:
    """Export it; returns why not. The thread is left to itself if it takes too long: nobody waits for it to end."""
    over: Deferred[str] = Deferred()

    def tell(why_not: str) -> None:
        if not over.called:
            over.callback(why_not)

    def work() -> None:
        try:
            why_not = exporter.export(trace)
        except Exception as error:  # noqa: BLE001  (somebody else's code, and it must not be waited for in vain)
            why_not = one_line(f"{type(error).__name__}: {error}")
        if not over.called:
            reactor.callFromThread(tell, why_not)

    Thread(target=work, name="otel", daemon=True).start()
    try:
        return await over.addTimeout(LIMIT_S, reactor)
    except LateError:
        return f"it has not taken it within {LIMIT_S:g} s"

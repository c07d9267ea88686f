"""The one run that there may be at a time, and what the buttons do to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

import proxyreload
from proxyreload.errors import ExitStatus
from proxyreload.history.actions import OF_BACKENDS, OF_THE_PROXY
from proxyreload.history.events import Change
from proxyreload.plan.settings import Settings
from proxyreload.record.runfile import change_as_run, kinds_as_run
from proxyreload.run.run import Run
from proxyreload.service.run_service import RunService
from proxyreload.system.clock import monotonic_ns, seconds
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.terminal.display import IDisplay
from proxyreload.verdict.backends import shown
from proxyreload.verdict.judgement import Judgement
from proxyreload.web.archive import Archive
from proxyreload.web.guard import Refusal
from proxyreload.web.lanes import kinds, lanes
from proxyreload.web.latencies import Tail
from proxyreload.web.live import Live, encode
from proxyreload.web.metrics import Metrics
from proxyreload.web.slices import INSTANCES_AT_MOST, Slice
from proxyreload.web.subscribers import Subscribers, event

#: The counts, by their names in ``run.json``.
COUNTS = ("exchanges", "success", "failure", "front_changed", "back_changed")
_CHANGES_TOLD = 50
#: How often the state is told while nothing happens but traffic; as often, the latency by percentile.
_SLICES_A_STATE = 4


def _ended_before(reason: Failure) -> NoReturn:
    reason.trap(CancelledError)
    raise Refusal(503, "the run was ended before the change was made")


@attrs.define(eq=False)
class Workbench:
    """Runs one `Run` after another, with the same settings, each written into a folder of its own."""

    settings: Settings
    reactor: IReactor
    archive: Archive
    display: Callable[[], IDisplay]
    complain: Callable[[str], None]
    needs_token: bool = False
    closing: bool = False  #: no more runs are begun
    status: int = attrs.field(default=int(ExitStatus.INVALID), init=False)  #: of the last run
    metrics: Metrics = attrs.field(factory=Metrics, init=False)
    subscribers: Subscribers = attrs.field(init=False)
    live: Live | None = attrs.field(default=None, init=False)
    _tail: Tail | None = attrs.field(default=None, init=False)
    _service: RunService | None = attrs.field(default=None, init=False)
    _run: Run | None = attrs.field(default=None, init=False)
    _shown: Run | None = attrs.field(default=None, init=False)  # the latest, also when it is over
    _folder: Path = attrs.field(factory=Path, init=False)
    _judgement: Judgement | None = attrs.field(default=None, init=False)
    _error: str = attrs.field(default="", init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _slices: int = attrs.field(default=0, init=False)
    _over: Deferred[None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare for readers."""
        self.subscribers = Subscribers(self.everything)

    # The run.

    @property
    def judged(self) -> bool:
        """Whether the latest run came to a verdict."""
        return self._judgement is not None

    def idle(self) -> Deferred[None]:
        """Fire when no run is going on."""
        idle: Deferred[None] = Deferred()
        if self._over is None:
            idle.callback(None)
        else:
            self._over.addCallback(idle.callback)
        return idle

    @property
    def running(self) -> bool:
        """Whether a run is going on, or starts or ends."""
        return self._service is not None

    def start(self) -> Deferred[None]:
        """Begin a run; fires when it is over.

        Raises `Refusal` if there is one, and `UsageError` if nothing can be written.
        """
        if self.closing:
            raise Refusal(503, "the service ends")
        if self.running:
            raise Refusal(409, "a run is going on")
        folder = self._folder = self.archive.begin()
        settings = self.settings = attrs.evolve(
            self.settings,
            files=attrs.evolve(
                self.settings.files,
                csv=folder / "data.csv",
                losses=folder / "losses.csv",
                run=folder / "run.json",
                report=None if self.settings.files.report is None else folder / "report.html",
            ),
        )
        self._judgement, self._error, self._stopping = None, "", False
        self._service = RunService(
            settings, self.reactor, self.display(), self._complain, self._ended, watch=self._watch
        )
        over = self._over = Deferred()
        self._service.startService()
        return over

    def stop(self) -> None:
        """End the run in order; a second time, at once. Refused if there is none; raises `Refusal`."""
        if self._service is None:
            raise Refusal(409, "no run is going on")
        self._stopping = True
        self._service.interrupt()
        self._tell_state()

    def set_rate(self, rate_per_s: float | None) -> None:
        """Let the clients send at another rate; without a run, those of the next; raises `Refusal`."""
        if self._run is not None and self._run.set_rate(rate_per_s):
            self.settings = self._at_rate(rate_per_s)
        elif self.running:
            raise Refusal(409, "the clients are not sending")
        else:
            self.settings = self._at_rate(rate_per_s)
            self._tell_state()

    def _at_rate(self, rate_per_s: float | None) -> Settings:
        return attrs.evolve(self.settings, load=attrs.evolve(self.settings.load, rate_per_s=rate_per_s))

    def change(self, action: str, instance: int) -> Deferred[Change]:
        """Make a change; fires when it is applied or has failed. Refused is what makes no sense now.

        Raises `Refusal` if that cannot be.
        """
        operations = self._run.operations if self._run is not None else None
        if operations is None or self.live is None or self._word() != "running":
            raise Refusal(409, "nothing can be changed: no run of a proxy is going on")
        why_not = self._cannot().get(action, "")
        if why_not:
            raise Refusal(409, f"{operations.mechanism} cannot {action}: {why_not}")
        if operations.busy:
            raise Refusal(409, "a change is under way")
        if action in OF_BACKENDS and (str(instance) in self.live.behind) is (action == "add"):
            not_so = "is behind the proxy already" if action == "add" else "is not behind the proxy"
            raise Refusal(409, f"backend {instance} {not_so}")
        return operations.request(action, instance).addErrback(_ended_before)

    # What is told.

    def state(self) -> dict[str, Any]:
        """Return all but the pictures."""
        settings, live, run = self.settings, self.live, self._run
        choice = settings.choice
        behind = live.behind if live is not None else set()
        judgement = self._judgement if self._service is None else self._service.judgement
        return {
            "proxyreload": proxyreload.__version__,
            "needs_token": self.needs_token,
            "state": self._word(),
            "run": self._folder.name,
            "title": choice.name if choice is not None else settings.target.url,
            "proxy_version": run.proxy_version if run is not None else "",
            "scenario": settings.scenario.title,
            "clients": settings.load.clients,
            "traffic": settings.spoken,
            "rate": settings.load.rate_per_s,
            "backends": [{"backend": each, "behind": str(each) in behind} for each in range(settings.backends.number)],
            "cannot": self._cannot(),
            "elapsed_s": self._elapsed_s(),
            "ahead": run.play.ahead(self._elapsed_s()) if run is not None and run.play is not None else "",
            **self._counted(),
            "verdict": judgement.verdict.value if judgement is not None else None,
            "reasons": list(judgement.reasons) if judgement is not None else [],
            "notes": list(live.notes) if live is not None else [],
            "error": self._error,
        }

    def everything(self) -> bytes:
        """Return the events that tell the whole state."""
        history = self.live.history() if self.live is not None else b'{"slices":[]}'
        if self._tail is not None and not self.running:
            self._tail.finish()
        return event("state", encode(self.state())) + event("history", history) + self._tail_event()

    def _tail_event(self) -> bytes:
        return event("tail", encode({"curves": self._tail.curves() if self._tail is not None else []}))

    def _word(self) -> str:
        if not self.running:
            return "idle"
        if self._stopping or (self.live is not None and self.live.over):
            return "stopping"
        return "running" if self.live is not None and self.live.started_ns else "starting"

    def _cannot(self) -> dict[str, str]:
        """Return why each action is not possible, empty if it is."""
        return {action: self.settings.why_not(action) for action in (*OF_BACKENDS, *OF_THE_PROXY)}

    def _counted(self) -> dict[str, Any]:
        if self._shown is None:
            return {
                "counts": dict.fromkeys(COUNTS, 0),
                "failures": {},
                "kinds": {},
                "answers_by_instance": {},
                "changes": [],
            }
        observation = self._shown.observation
        if not observation.ended_ns:
            observation.look()
        counts = observation.counts
        numbers = (counts.total, counts.success, counts.failure, counts.front_changed, counts.back_changed)
        return {
            "counts": dict(zip(COUNTS, numbers, strict=True)),
            "failures": counts.by_failure,
            "kinds": kinds_as_run(observation),
            "answers_by_instance": shown(observation.answers_by_instance, INSTANCES_AT_MOST),
            "changes": [
                change_as_run(each, observation.started_ns, hosted=observation.ledger.hosted)
                for each in observation.changes[-_CHANGES_TOLD:]
            ],
        }

    def _elapsed_s(self) -> float:
        if self._shown is not None and self._shown.observation.ended_ns:
            observation = self._shown.observation
            return round(seconds(observation.ended_ns - observation.started_ns), 6)
        return round(self.live.elapsed_s, 3) if self.live is not None else 0.0

    # What happens.

    def _watch(self, run: Run) -> None:
        """Show a run that begins."""
        settings = self.settings
        self._run = self._shown = run
        live = self.live = Live(
            monotonic_ns,
            run.observation.counts,
            self._sliced,
            self._tell_state,
            behind=set(map(str, settings.scenario.initial)),
            rate_per_s=settings.load.rate_per_s,
            drawn=lanes(settings.everyone),
        )
        self._tail = Tail(run.observation, monotonic_ns)
        live.subscribe(run.bus)
        live.start(self.reactor)
        self.metrics.subscribe(run.bus)
        self.metrics.expect(kinds(settings.everyone))
        self.metrics.running = True
        self.subscribers.tell(self.everything())

    def _ended(self, status: int) -> None:
        """Show how it ended."""
        service, self._service, self._run = self._service, None, None
        self.status = status
        self._judgement = service.judgement if service is not None else None
        if self.live is not None:
            self.live.stop()
        if self._tail is not None:
            self._tail.finish()
            self.subscribers.tell(self._tail_event())
        if self._judgement is not None:
            self.metrics.judged(self._judgement)
        self.metrics.running, self.metrics.connections = False, 0
        self.archive.forget(self._folder)
        self._tell_state()
        over, self._over = self._over, None
        if over is not None:
            over.callback(None)

    def _complain(self, text: str) -> None:
        self._error = one_line(text.partition("\n")[0], WORDS_LIMIT)
        self.complain(text)

    def _sliced(self, over: Slice, sent: bytes) -> None:
        assert self.live is not None  # noqa: S101
        self.metrics.add(over)
        self.metrics.connections = self.live.connections
        self.subscribers.tell(event("slice", sent))
        self._slices += 1
        if self._slices % _SLICES_A_STATE == 0:
            self._tell_state()
        elif self._slices % _SLICES_A_STATE == _SLICES_A_STATE // 2 and self._tail is not None and self.subscribers:
            # Not with the state: each takes a few ms.
            self._tail.look()
            self.subscribers.tell(self._tail_event())

    def _tell_state(self) -> None:
        self.subscribers.tell(event("state", encode(self.state())))

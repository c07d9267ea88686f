"""Figures for Prometheus, over all runs since the service started."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Phase
from proxyreload.ledger.loss import Loss
from proxyreload.system.clock import seconds
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.web.slices import BUCKETS_US, Slice

_US_PER_S = 1e6
#: The fate of a request to other people's backends.
_NOBODY_KNOWS = "not known"


@attrs.define(eq=False)
class Metrics(Collector):
    """Sums up slices, each when it is over: nothing is counted request by request."""

    connections: int = 0  #: that the clients have now
    running: bool = False
    _sent: Counter[str] = attrs.field(factory=Counter)  # by kind of traffic, of which there are only so many
    _answers: Counter[str] = attrs.field(factory=Counter)
    _lost: Counter[tuple[str, str]] = attrs.field(factory=Counter)  # by kind and class
    _losses: Counter[tuple[str, str, str]] = attrs.field(factory=Counter)  # by kind, fate and cause
    _front_changed: int = 0
    _back_changed: int = 0
    _closed: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    _buckets: list[int] = attrs.field(factory=lambda: [0] * (len(BUCKETS_US) + 1))
    _latency_sum_us: int = 0
    _changes: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    _last_change_s: dict[str, float] = attrs.field(factory=dict)
    _requested_ns: int = 0
    _verdicts: Counter[str] = attrs.field(factory=Counter)
    _registry: CollectorRegistry = attrs.field(factory=CollectorRegistry)

    def __attrs_post_init__(self) -> None:
        """Be the one collector of a registry of its own."""
        self._registry.register(self)

    def subscribe(self, bus: EventBus) -> None:
        """Take the changes that `bus` brings."""
        bus.subscribe(Change, self.changed, "metrics")
        bus.subscribe(Loss, self.told, "metrics")

    def changed(self, events: Sequence[Change]) -> None:
        """Note how long a change took."""
        for event in events:
            if event.phase is Phase.REQUESTED:
                self._requested_ns = event.at_ns
                continue
            self._changes[event.action, event.phase.value] += 1
            if event.phase is Phase.APPLIED:
                self._last_change_s[event.action] = seconds(event.at_ns - self._requested_ns)

    def told(self, losses: Sequence[Loss]) -> None:
        """Count what became of requests that were lost, or carried out other than once, and why."""
        for loss in losses:
            fate = loss.fate.value if loss.fate is not None else _NOBODY_KNOWS
            self._losses[loss.kind, fate, loss.cause.value] += 1

    def expect(self, kinds: Iterable[str]) -> None:
        """Tell of these kinds of traffic, also before any of it was sent."""
        self._sent.update(dict.fromkeys(kinds, 0))

    def add(self, over: Slice) -> None:
        """Add a slice."""
        self._sent.update(over.sent)
        self._answers.update(over.answers)
        self._lost.update(over.lost)
        self._front_changed += over.front_changed
        self._back_changed += over.back_changed
        self._closed.update(over.closed)
        for index, number in enumerate((*over.buckets(), len(over.latencies_us))):
            self._buckets[index] += number
        self._latency_sum_us += sum(over.latencies_us)

    def judged(self, judgement: Judgement) -> None:
        """Count a run's verdict."""
        self._verdicts[judgement.verdict.value] += 1

    def text(self) -> bytes:
        """Return all, as Prometheus reads it."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        lost: Counter[str] = Counter()
        for (kind, _failure), number in self._lost.items():
            lost[kind] += number
        outcomes = {(kind, "success"): sent - lost[kind] for kind, sent in self._sent.items()}
        outcomes |= {(kind, "failure"): lost[kind] for kind in self._sent}
        about = "Requests with their outcome, by kind of traffic"
        yield _counters("proxyreload_exchanges", about, ("kind", "outcome"), outcomes)
        yield _counter("proxyreload_answers", "Answers by backend", "backend", self._answers)
        about = "Failed requests by kind of traffic and class"
        yield _counters("proxyreload_failures", about, ("kind", "class"), self._lost)
        about = "Requests that were lost, or carried out other than once, with what the backends say of them and why"
        yield _counters("proxyreload_losses", about, ("kind", "fate", "cause"), self._losses)
        changed = {"front": self._front_changed, "back": self._back_changed}
        yield _counter("proxyreload_connections_changed", "Front changed and back changed", "side", changed)
        about = "The clients' connections that ended, by kind of traffic and how"
        yield _counters("proxyreload_front_connections_closed", about, ("kind", "ending"), self._closed)
        connections = "The clients' open connections, the probe's not counted"
        yield GaugeMetricFamily("proxyreload_front_connections", connections, value=self.connections)
        yield GaugeMetricFamily("proxyreload_running", "Whether a run is going on", value=self.running)
        latency = HistogramMetricFamily(
            "proxyreload_latency_seconds",
            "From when a request was due to its answer; successes of the clients of --clients",
        )
        bounds = [f"{bound_us / _US_PER_S:g}" for bound_us in BUCKETS_US]
        latency.add_metric(
            [], list(zip([*bounds, "+Inf"], self._buckets, strict=True)), sum_value=self._latency_sum_us / _US_PER_S
        )
        yield latency
        yield _counters("proxyreload_changes", "Changes by what came of them", ("action", "phase"), self._changes)
        took = GaugeMetricFamily(
            "proxyreload_last_change_seconds", "From the last change's request until applied", labels=["action"]
        )
        for action, duration_s in self._last_change_s.items():
            took.add_metric([action], duration_s)
        yield took
        verdicts = {verdict.value: self._verdicts[verdict.value] for verdict in Verdict}
        yield _counter("proxyreload_runs", "Runs by verdict", "verdict", verdicts)


def _counter(name: str, documentation: str, label: str, numbers: Mapping[str, int]) -> Metric:
    return _counters(name, documentation, (label,), {(value,): number for value, number in numbers.items()})


def _counters(name: str, documentation: str, labels: Sequence[str], numbers: Mapping[Any, int]) -> Metric:
    """Return a counter; `numbers` are by the labels' values."""
    counter = CounterMetricFamily(name, documentation, labels=labels)
    for values, number in numbers.items():
        counter.add_metric(values, number)
    return counter

"""Figures for Prometheus, over all runs since the service started."""

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Phase
from proxyreload.system.clock import seconds
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.web.slices import BUCKETS_US, Slice

_US_PER_S = 1e6


@attrs.define(eq=False)
class Metrics(Collector):
    """Sums up slices, each when it is over: nothing is counted request by request."""

    connections: int = 0  #: that the clients have now
    running: bool = False
    _success: int = 0
    _answers: Counter[str] = attrs.field(factory=Counter)
    _failures: Counter[str] = attrs.field(factory=Counter)
    _front_changed: int = 0
    _back_changed: int = 0
    _closed: Counter[str] = attrs.field(factory=Counter)
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

    def changed(self, events: Sequence[Change]) -> None:
        """Note how long a change took."""
        for event in events:
            if event.phase is Phase.REQUESTED:
                self._requested_ns = event.at_ns
                continue
            self._changes[event.action, event.phase.value] += 1
            if event.phase is Phase.APPLIED:
                self._last_change_s[event.action] = seconds(event.at_ns - self._requested_ns)

    def add(self, over: Slice, success: int) -> None:
        """Add a slice, with how many exchanges succeeded in it."""
        self._success += success
        self._answers.update(over.answers)
        self._failures.update(over.failures)
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
        exchanges = CounterMetricFamily("proxyreload_exchanges", "Requests with their outcome", labels=["outcome"])
        exchanges.add_metric(["success"], self._success)
        exchanges.add_metric(["failure"], self._failures.total())
        yield exchanges
        yield _counter("proxyreload_answers", "Answers by backend", "backend", self._answers)
        yield _counter("proxyreload_failures", "Failed requests by class", "class", self._failures)
        changed = {"front": self._front_changed, "back": self._back_changed}
        yield _counter("proxyreload_connections_changed", "Front changed and back changed", "side", changed)
        closed = "The clients' connections that ended, by how"
        yield _counter("proxyreload_front_connections_closed", closed, "ending", self._closed)
        connections = "The clients' open connections, the probe's not counted"
        yield GaugeMetricFamily("proxyreload_front_connections", connections, value=self.connections)
        yield GaugeMetricFamily("proxyreload_running", "Whether a run is going on", value=self.running)
        latency = HistogramMetricFamily(
            "proxyreload_latency_seconds", "From when a request was due to its answer; successes, but the probe's"
        )
        bounds = [f"{bound_us / _US_PER_S:g}" for bound_us in BUCKETS_US]
        latency.add_metric(
            [], list(zip([*bounds, "+Inf"], self._buckets, strict=True)), sum_value=self._latency_sum_us / _US_PER_S
        )
        yield latency
        changes = CounterMetricFamily("proxyreload_changes", "Changes by what came of them", labels=["action", "phase"])
        for (action, phase), number in self._changes.items():
            changes.add_metric([action, phase], number)
        yield changes
        took = GaugeMetricFamily(
            "proxyreload_last_change_seconds", "From the last change's request until applied", labels=["action"]
        )
        for action, duration_s in self._last_change_s.items():
            took.add_metric([action], duration_s)
        yield took
        verdicts = {verdict.value: self._verdicts[verdict.value] for verdict in Verdict}
        yield _counter("proxyreload_runs", "Runs by verdict", "verdict", verdicts)


def _counter(name: str, documentation: str, label: str, numbers: "Counter[str] | dict[str, int]") -> Metric:
    counter = CounterMetricFamily(name, documentation, labels=[label])
    for value, number in numbers.items():
        counter.add_metric([value], number)
    return counter

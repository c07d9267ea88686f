"""A run as spans: what they say of it, and what becomes of them where a collector does not take them."""

from collections.abc import Mapping
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Ended, Ending, FrontClosed, Phase, Started
from proxyreload.job.runsummary import JobRun
from proxyreload.ledger.cause import Cause
from proxyreload.otel import export, keptlosses
from proxyreload.otel.endpoint import collector_of
from proxyreload.otel.export import LIMIT_S, TraceExport
from proxyreload.otel.keptlosses import KeptLosses
from proxyreload.otel.spans import OnTheWall, Trace, trace_of
from proxyreload.plan.settings import CollectorSettings
from proxyreload.system.clock import NS_PER_MS, NS_PER_US, ns, wall_offset_ns
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.observation import Observation

from . import observing
from .clocks import START_NS, Time, error_of, result_of, waits
from .happened import change, exchange, failed
from .test_job import job_run
from .test_lossfile import loss

#: What is added to the run's clock: so that a moment is told from one that was not put on the wall.
OFFSET_NS = ns(1_700_000_000)
WALL = OnTheWall(OFFSET_NS, START_NS - ns(1))
CHANGE_NS = START_NS + ns(2)


def seen(*events: Any) -> tuple[Observation, KeptLosses]:
    """Return a run of 10 s in which these things happen, and its losses."""
    bus, losses = EventBus(), KeptLosses()
    observation = observing.observed(bus)
    losses.subscribe(bus)
    bus.publish(Started(START_NS))
    for event in events:
        bus.publish(event)
    bus.publish(Ended(START_NS + ns(10)))
    bus.flush()
    return observation, losses


def traced(*events: Any) -> Trace:
    observation, losses = seen(*events)
    return trace_of(job_run(observation), losses, WALL)


def own(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return attributes by their names without what all begin with."""
    assert all(name.startswith("proxyreload.") for name in attributes)
    return {name.removeprefix("proxyreload."): value for name, value in attributes.items()}


def since_us(at_ns: int) -> int:
    """Return a moment on the wall as files have it."""
    return (at_ns - OFFSET_NS - START_NS) // NS_PER_US


ADDED = (
    exchange(ended_ns=START_NS + NS_PER_MS),
    change(Phase.REQUESTED, CHANGE_NS),
    change(Phase.APPLIED, CHANGE_NS + 20 * NS_PER_MS),
    exchange(instance="2", written_ns=CHANGE_NS + 29 * NS_PER_MS, ended_ns=CHANGE_NS + 30 * NS_PER_MS),
)


def test_a_run_is_a_span_and_each_change_one_below_it_until_it_is_proved() -> None:
    trace = traced(*ADDED)
    (added,) = trace.changes
    assert [span.name for span in trace.spans] == ["proxyreload run", "add backend 2"]
    assert [(since_us(span.started_ns), since_us(span.ended_ns)) for span in trace.spans] == [
        (0, 10_000_000),
        (2_000_000, 2_030_000),
    ]
    assert [(event.name, since_us(event.at_ns)) for event in added.events] == [
        ("applied", 2_020_000),
        ("effective", 2_030_000),
    ]
    assert own(trace.run.attributes) == {
        "plugin": "fake",
        "mechanism": "slow",
        "url": "http://proxyreload.test:8080/",
        "proxy_version": "fake 1.0 <b>",
        "traffic": "get=10",
        "kinds": ["get"],
        "clients": 10,
        "verdict": "seamless",
        "exit_status": 0,
        "exchanges": 2,
        "failures": 0,
        "turned_away": 0,
        "changes": 1,
    }
    assert own(added.attributes) == {
        "change": 1,
        "action": "add",
        "instance": "2",
        "mechanism": "test:runtime",
        "verdict": "seamless",
        "exchanges": 1,
        "failures": 0,
    }
    assert [span.error for span in trace.spans] == [None, None]


def test_a_loss_is_an_event_of_the_change_that_it_is_charged_to() -> None:
    lost = failed(
        "refused", client=3, number=7, written_ns=CHANGE_NS + 39 * NS_PER_MS, ended_ns=CHANGE_NS + 40 * NS_PER_MS
    )
    closed = FrontClosed(0, 0, 40000, 5, Ending.CUT, CHANGE_NS + 40 * NS_PER_MS, probe=False)
    trace = traced(*ADDED, closed, lost)
    (added,) = trace.changes
    event = added.events[-1]
    assert (event.name, since_us(event.at_ns)) == ("loss", 2_040_000)
    told = own(event.attributes)
    assert told.pop("evidence")
    assert told == {
        "client": 3,
        "kind": "get",
        "request": 7,
        "failure": "refused",
        "cause": Cause.NOBODY_LISTENED.value,
        "since_change_us": 39_000,
        "front_port": 40000,
        "connection": 0,
    }
    assert trace.run.events == []
    of_change = own(added.attributes)
    assert (of_change["verdict"], of_change["failures"], of_change["front_closed.cut"]) == ("lossy", 1, 1)
    assert added.error is not None
    assert added.error.startswith("lossy: 1 failure: 1 refused")
    assert trace.run.error is not None


def test_what_was_lost_before_the_first_change_is_an_event_of_the_run() -> None:
    trace = traced(exchange(), failed("refused", ended_ns=START_NS + ns(1)), *ADDED[1:])
    assert [(event.name, since_us(event.at_ns)) for event in trace.run.events] == [("loss", 1_000_000)]
    assert "since_change_us" not in own(trace.run.events[0].attributes)
    assert [event.name for event in trace.changes[0].events] == ["applied", "effective"]


def test_a_change_that_is_refused_ends_with_that_and_says_why() -> None:
    refused_ns = CHANGE_NS + 5 * NS_PER_MS
    refused = change(Phase.FAILED, refused_ns, message="no\x1b[31m such server")
    trace = traced(exchange(), change(Phase.REQUESTED, CHANGE_NS), refused)
    (added,) = trace.changes
    assert since_us(added.ended_ns) == 2_005_000
    assert [(event.name, since_us(event.at_ns)) for event in added.events] == [("refused", 2_005_000)]
    assert own(added.attributes)["error"] == "no\\x1b[31m such server"
    assert added.error is not None
    assert "\x1b" not in added.error


def test_a_change_that_the_run_was_ended_in_ends_with_it() -> None:
    trace = traced(exchange(), change(Phase.REQUESTED, CHANGE_NS))
    assert since_us(trace.changes[0].ended_ns) == 10_000_000
    assert own(trace.changes[0].attributes)["verdict"] == "ineffective"
    assert trace.changes[0].events == []


def test_a_run_in_which_no_client_started_is_a_moment() -> None:
    trace = trace_of(job_run(Observation()), KeptLosses(), WALL)
    assert (trace.run.started_ns, trace.run.ended_ns) == (WALL.begun_ns + OFFSET_NS,) * 2
    assert own(trace.run.attributes)["verdict"] == "invalid"
    assert trace.run.error is not None


@given(st.text(), st.text())
def test_what_comes_from_elsewhere_is_printable_and_bounded(kind: str, evidence: str) -> None:
    losses = KeptLosses()
    losses.lost([loss(kind=kind * 100, evidence=evidence * 1000, change=0)])
    run = attrs.evolve(job_run(Observation()), proxy_version=evidence * 1000)
    trace = trace_of(run, losses, WALL)
    for attributes in (trace.run.attributes, trace.run.events[0].attributes):
        for value in attributes.values():
            if isinstance(value, str):
                assert value.isprintable()
                assert len(value) <= 12_000  # the longest escape has ten characters


def test_of_a_change_and_of_a_run_so_many_losses_are_kept_and_the_others_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keptlosses, "OF_A_CHANGE", 2)
    monkeypatch.setattr(keptlosses, "OF_A_RUN", 3)
    losses = KeptLosses()
    losses.lost([loss(change=number, request_id=f"3-{i}") for number in (1, 2, 0) for i in range(3)])
    assert {number: len(kept) for number, kept in losses.by_change.items()} == {1: 2, 2: 1, 0: 0}
    assert losses.not_kept == {1: 1, 2: 2, 0: 3}
    observation, _none = seen(*ADDED)
    trace = trace_of(job_run(observation), losses, WALL)
    assert [own(span.attributes)["losses_not_shown"] for span in trace.spans] == [3, 1]


def test_moments_are_put_on_the_wall_by_the_look_that_took_the_shortest() -> None:
    looks = iter([100, 300, 1000, 1002, 2000, 2500, 3000, 3500, 4000, 4500])
    walls = iter([9_000, 51_001, 1, 2, 3])
    assert wall_offset_ns(lambda: next(looks), lambda: next(walls)) == 50_000


# Where it is sent.


@pytest.mark.parametrize(
    ("text", "environment", "url"),
    [
        ("http://127.0.0.1:4318", {}, "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", {}, "http://127.0.0.1:4318/v1/traces"),
        ("https://example.test/v1/traces", {}, "https://example.test/v1/traces"),
        ("https://example.test/otlp?key=1", {}, "https://example.test/otlp/v1/traces?key=1"),
        ("http://[::1]:4318", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other"}, "http://[::1]:4318/v1/traces"),
        ("environment", {}, "http://localhost:4318/v1/traces"),
        ("environment", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://base:1/x/"}, "http://base:1/x/v1/traces"),
        (
            "environment",
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/as/it/is", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://base"},
            "http://t:1/as/it/is",
        ),
    ],
)
def test_a_collector_is_a_url_or_what_the_environment_says(text: str, environment: dict[str, str], url: str) -> None:
    assert collector_of(text, environment) == CollectorSettings(url)


def test_without_the_option_nothing_is_sent_whatever_the_environment_says() -> None:
    assert collector_of(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://base"}) == CollectorSettings(None)


def test_a_password_is_no_part_of_the_url_and_shown_nowhere() -> None:
    collector = collector_of("http://me:secret@example.test")
    assert collector.otel == "http://example.test/v1/traces"
    assert collector.authorization.startswith("Basic ")
    assert collector.authorization not in repr(collector)


@pytest.mark.parametrize(
    ("text", "environment", "who"),
    [
        *(
            (text, {}, "--otel")
            for text in ("", "localhost:4318", "grpc://h:4317", "http://me:sec@ret@h:x", "http://[::1")
        ),
        ("environment", {"OTEL_EXPORTER_OTLP_ENDPOINT": "h:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("environment", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "\x1b"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ],
)
def test_what_is_no_url_is_wrong_usage(text: str, environment: dict[str, str], who: str) -> None:
    with pytest.raises(UsageError, match=f"^{who}: .* is not a URL") as raised:
        collector_of(text, environment)
    assert str(raised.value).isprintable()
    assert "sec" not in str(raised.value)


# What becomes of it.


class Reactor(Time):
    """Time, and calls from a thread that the test makes itself."""

    def callFromThread(self, call: Any, *words: object) -> None:
        call(*words)


@attrs.define
class FakeExporter:
    """Takes a trace, or says why not, or raises."""

    outcome: str | Exception = ""
    trace_id: str = "4bf92f3577b34da6a3ce929d0e0e4736"
    taken: list[Trace] = attrs.field(factory=list)
    closed: bool = False

    def export(self, trace: Trace) -> str:
        self.taken.append(trace)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def close(self) -> None:
        self.closed = True


class AtOnce:
    """A thread that does its work before anything else."""

    def __init__(self, target: Any, name: str, *, daemon: bool) -> None:
        assert daemon
        self.start = target


class Stuck(AtOnce):
    """One whose work is never done while anybody looks; `release` lets it go on."""

    release: Any

    def __init__(self, target: Any, name: str, *, daemon: bool) -> None:
        Stuck.release = staticmethod(target)

    def start(self) -> None: ...


def sending(exporter: FakeExporter, reactor: Reactor) -> tuple[TraceExport, Deferred[str]]:
    trace = TraceExport(CollectorSettings("http://collector.test/v1/traces"))
    trace._exporter, trace._wall = cast(Any, exporter), WALL
    run: JobRun = job_run(seen(*ADDED)[0])
    return trace, Deferred.fromCoroutine(trace.send(cast(IReactor, reactor), run))


def test_what_a_collector_has_taken_is_told_with_the_traces_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "Thread", AtOnce)
    exporter = FakeExporter()
    trace, sent = sending(exporter, Reactor())
    told = f"sent to http://collector.test/v1/traces: trace {exporter.trace_id}"
    assert (result_of(sent), trace.failed) == (told, False)
    trace.close()
    assert exporter.closed
    assert len(exporter.taken[0].changes) == 1


@pytest.mark.parametrize(
    ("outcome", "why"),
    [("Connection refused", "Connection refused"), (ValueError("what\nnow"), "ValueError: what / now")],
)
def test_what_it_has_not_taken_is_told(outcome: str | Exception, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "Thread", AtOnce)
    trace, sent = sending(FakeExporter(outcome), Reactor())
    assert (result_of(sent), trace.failed) == (f"not sent to http://collector.test/v1/traces: {why}", True)


def test_one_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "Thread", Stuck)
    reactor = Reactor()
    trace, sent = sending(FakeExporter(), reactor)
    reactor.advance(LIMIT_S - 0.1)
    assert waits(sent)
    reactor.advance(0.2)
    assert result_of(sent) == "not sent to http://collector.test/v1/traces: it has not taken it within 30 s"
    Stuck.release()  # too late
    assert trace.failed


def test_what_nobody_asks_for_needs_nothing() -> None:
    trace = TraceExport(CollectorSettings())
    bus = EventBus()
    trace.open(bus)
    trace.close()
    assert (trace.wanted, trace.failed, bus._subscribers) == (False, False, {})


def test_who_will_not_wait_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "Thread", Stuck)
    trace, sent = sending(FakeExporter(), Reactor())
    sent.cancel()
    error_of(sent, CancelledError)
    assert trace.failed
    Stuck.release()

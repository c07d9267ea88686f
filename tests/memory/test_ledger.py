"""The ledger: what became of each request, by its clients' and the backends' words together."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.events import (
    Arrival,
    BackendKilled,
    BackendLeaving,
    Change,
    CutExchange,
    Ended,
    Event,
    Exchange,
    Held,
    Phase,
    RecordLost,
    Said,
    Started,
    StoodStill,
)
from proxyreload.history.order import FOREVER_NS, History
from proxyreload.ledger import ledger as ledger_module
from proxyreload.ledger import surroundings as surroundings_module
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.evidencewords import EVIDENCE_LIMIT, LINE_LIMIT
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.loss import Loss
from proxyreload.ledger.unsettled import SETTLES_NS
from proxyreload.system.clock import NS_PER_MS, NS_PER_S
from proxyreload.system.tcpinfo import LastState
from proxyreload.verdict.judgement import Verdict, judge
from proxyreload.verdict.observation import Observation

from .clocks import START_NS
from .happened import change, exchange, failed

KINDS = {"0": "get", "1": "post", "p2": "fresh"}
STARTED = Started(START_NS, KINDS, unsafe=frozenset({"post"}), hosted=True)


def at(ms: float) -> int:
    """Return the moment so many ms after the start."""
    return START_NS + round(ms * NS_PER_MS)


def visit(request_id: str, ms: float, stage: str = "answered", **more: Any) -> Arrival:
    """Return what a backend tells of a request that has come so far, each stage a tenth of a ms after the one before."""
    stages = ("received", "executed", "answered")
    times = [at(ms + number / 10) if number <= stages.index(stage) else 0 for number in range(3)]
    given: dict[str, Any] = {"instance": "0", "back_port": 50000, "carried": round(ms * 10), **more}
    return Arrival(
        request_id=request_id,
        received_ns=times[0],
        executed_ns=times[1],
        answered_ns=times[2],
        **given,
    )


@attrs.define
class Told:
    """A run's history with some events, and what is derived from it."""

    observation: Observation = attrs.field(factory=Observation)
    losses: list[Loss] = attrs.field(factory=list)

    @classmethod
    def of(cls, *events: Event, started: Started = STARTED, until_ms: Sequence[float] = ()) -> "Told":
        """Hand on what has happened, up to each of those moments and then the rest."""
        told = cls()
        history = History(told.take, lambda: START_NS)
        for event in (started, *events, Ended(at(1_000_000))):
            if isinstance(event, Exchange):
                history.here.exchanged(event)
            elif isinstance(event, Arrival):
                history.here.arrived(event)
            else:
                history.here.publish(event)
        for ms in sorted(until_ms):
            history.hand_on(at(ms))
        history.hand_on(FOREVER_NS)
        return told

    def take(self, topic: type, events: Sequence[Event]) -> None:
        """Take the next events, as the run's wiring does."""
        if topic in self.observation.topics:
            self.losses += [each for each in self.observation.take(topic, events) if isinstance(each, Loss)]

    @property
    def fates(self) -> dict[str, Counter[Fate]]:
        """How many requests of each kind had which fate."""
        return {kind: +counts for kind, counts in self.observation.ledger.counts.items() if +counts}

    @property
    def causes(self) -> list[Cause]:
        """Those of the losses."""
        return [loss.cause for loss in self.losses]


SENT = {"written_ns": at(1), "ended_ns": at(2)}
LOST = failed("closed before response, reused", carried=3, **SENT)


@pytest.mark.parametrize(
    ("events", "fate"),
    [
        ([exchange(**SENT), visit("0-0", 1.5)], Fate.ANSWERED_ONCE),
        ([exchange(**SENT), visit("0-0", 1.2), visit("0-0", 1.5)], Fate.ANSWERED_TWICE),
        ([exchange(**SENT), visit("0-0", 1.2), visit("0-0", 100)], Fate.ANSWERED_TWICE),
        ([exchange(**SENT), visit("0-0", 1.2), visit("0-0", 100, "received")], Fate.ANSWERED_ONCE),
        ([exchange(**SENT), visit("0-0", 1.2, "received"), visit("0-0", 1.5)], Fate.ANSWERED_ONCE),
        ([exchange(**SENT)], Fate.ANSWERED_ONCE),  # whoever had told of it is gone
        ([LOST], Fate.LOST_NEVER_ARRIVED),
        ([LOST, visit("0-0", 1.5, "received")], Fate.LOST_UNEXECUTED),
        ([LOST, visit("0-0", 1.5, "executed")], Fate.LOST_EXECUTED),
        ([LOST, visit("0-0", 1.5)], Fate.LOST_EXECUTED),
        ([LOST, visit("0-0", 1.5), visit("0-0", 3)], Fate.LOST_EXECUTED_TWICE),
        ([LOST, visit("0-0", 1.5, "received"), visit("0-0", 9000)], Fate.LOST_EXECUTED),
        ([LOST, visit("0-0", 9000), visit("0-0", 19_000)], Fate.LOST_EXECUTED_TWICE),
        ([LOST, RecordLost("1", at(0.5), at(3))], Fate.LOST_UNKNOWN),
        ([LOST, visit("0-0", 1.5, "received"), RecordLost("0", at(0.5), at(3))], Fate.LOST_UNKNOWN),
        ([LOST, visit("0-0", 1.5, "executed"), RecordLost("0", at(0.5), at(3))], Fate.LOST_EXECUTED),
        ([LOST, RecordLost("1", at(2.5), at(3))], Fate.LOST_NEVER_ARRIVED),
        ([failed("refused", written_ns=0, ended_ns=at(2)), RecordLost("1", at(0), at(3))], Fate.LOST_NEVER_ARRIVED),
    ],
)
@pytest.mark.parametrize("until_ms", [(), (1.4, 1.9, 50), (2.1, 5000, 12_000)])
def test_each_has_the_fate_that_both_sides_tell(events: list[Event], fate: Fate, until_ms: Sequence[float]) -> None:
    assert Told.of(*events, until_ms=until_ms).fates == {"get": Counter({fate: 1})}


def test_one_whose_backend_was_killed_is_waited_for_no_longer() -> None:
    events: list[Event] = [LOST, visit("0-0", 1.5, "executed"), BackendKilled("0", at(3))]
    told = Told.of(*events, exchange(number=1, written_ns=at(5000), ended_ns=at(5001)), until_ms=(5002,))
    assert [loss.fate for loss in told.losses] == [Fate.LOST_EXECUTED]
    # The record goes on being told where that backend has a successor.
    later = visit("0-1", 5000.5)
    told = Told.of(*events, exchange(number=1, written_ns=at(5000), ended_ns=at(5001)), later)
    assert told.fates == {"get": Counter({Fate.ANSWERED_ONCE: 1, Fate.LOST_EXECUTED: 1})}


def test_one_that_takes_a_while_is_told_in_stages() -> None:
    executed, answered = visit("0-0", 1, "executed"), visit("0-0", 1, again=True)
    for events in ([executed, answered], [answered, executed]):
        told = Told.of(exchange(**SENT), *events, until_ms=(1.15,))
        assert (told.fates, told.losses) == ({"get": Counter({Fate.ANSWERED_ONCE: 1})}, [])


def test_the_probe_is_known_by_its_mark() -> None:
    told = Told.of(exchange(client=2, probe=True, kind="fresh", **SENT), visit("p2-0", 1.5))
    assert told.fates == {"fresh": Counter({Fate.ANSWERED_ONCE: 1})}


@pytest.mark.parametrize("request_id", ["0-5", "7-0", "odd", "0-", "0-x", "0--1", "p0-0"])
@pytest.mark.parametrize("stage", ["received", "answered"])
def test_what_nobody_has_sent_is_told(request_id: str, stage: str) -> None:
    told = Told.of(exchange(**SENT), visit("0-0", 1.5), visit(request_id, 3, stage))
    assert [(loss.fate, loss.cause, loss.request_id) for loss in told.losses] == [
        (Fate.NEVER_SENT, Cause.MADE_UP, request_id)
    ]
    assert judge(told.observation).verdict is Verdict.LOSSY
    assert any("1 request that nobody had sent" in reason for reason in judge(told.observation).reasons)


def test_what_is_under_way_at_the_end_was_sent() -> None:
    told = Told.of(exchange(**SENT), visit("0-0", 1.5), visit("0-1", 3), visit("1-0", 3, "received"))
    assert told.fates == {"get": Counter({Fate.ANSWERED_ONCE: 1})}
    assert told.losses == []


def test_what_came_before_the_clients_started_or_without_an_id_is_not_theirs() -> None:
    told = Told.of(exchange(**SENT), visit("0-0", 1.5), visit("0-7", -5), visit("", 3))
    assert told.losses == []


@pytest.mark.parametrize(("client", "kind", "verdict"), [(0, "get", Verdict.GRACEFUL), (1, "post", Verdict.LOSSY)])
def test_who_may_not_be_repeated_is_wronged_by_it(client: int, kind: str, verdict: Verdict) -> None:
    once = exchange(client=client, kind=kind, **SENT)
    told = Told.of(
        once, visit(f"{client}-0", 1.2), visit(f"{client}-0", 1.5, instance="1"), change(Phase.REQUESTED, at(500))
    )
    judgement = judge(told.observation)
    assert told.observation.counts.failure == 0
    assert any("1 request carried out twice" in reason for reason in judgement.reasons)
    assert Told.of(once, visit(f"{client}-0", 1.2)).observation.kinds.by_kind[kind].repeated == 0
    alone = Told.of(once, visit(f"{client}-0", 1.2), visit(f"{client}-0", 1.5, instance="1"))
    assert judge(alone.observation).verdict is verdict
    (loss,) = alone.losses
    assert (loss.kind, loss.fate, loss.cause) == (kind, Fate.ANSWERED_TWICE, Cause.REPEATED)
    assert (loss.evidence, loss.at_ns) == ("carried out again, at backend 1", at(1.5))


def test_a_repeat_is_charged_to_the_change_in_whose_window_it_came() -> None:
    events: list[Event] = [
        exchange(**SENT),
        visit("0-0", 1.5),
        change(Phase.REQUESTED, at(500)),
        change(Phase.APPLIED, at(510)),
        visit("0-0", 600, instance="1"),
        change(Phase.REQUESTED, at(4000), number=2),
    ]
    told = Told.of(*events)
    first, second = told.observation.changes
    assert (first.kinds.by_kind["get"].repeated, second.kinds.by_kind) == (1, {})
    (loss,) = told.losses
    assert (loss.change, loss.at_ns, loss.exchange) == (1, at(600), None)


def test_of_other_peoples_backends_only_the_failures_are_told() -> None:
    told = Told.of(exchange(**SENT), failed("timeout", number=1), started=attrs.evolve(STARTED, hosted=False))
    assert [(loss.fate, loss.cause) for loss in told.losses] == [(None, Cause.PROXY_STALLED)]
    assert told.fates == {}


def test_who_makes_up_requests_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "KEPT", 50)
    told = Told()
    told.take(Started, [STARTED])
    for number in range(300):
        told.take(Arrival, [visit(f"0-{number + 5}", number, "answered" if number % 2 else "received")])
    ledger = told.observation.ledger
    assert len(ledger._arrived) + len(ledger._open) <= 50
    told.take(Ended, [Ended(at(1_000_000))])
    assert ledger.total[Fate.NEVER_SENT] == 300


def test_who_loses_all_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "KEPT", 50)
    told = Told()
    told.take(Started, [STARTED])
    for number in range(300):
        told.take(Exchange, [failed("status 503", number=number, status=503, ended_ns=at(2 + number / 100))])
    ledger = told.observation.ledger
    assert len(ledger._open) <= 50 + 1  # and the latest batch
    assert len(ledger._settled) <= 50
    told.take(Ended, [Ended(at(1_000_000))])
    assert ledger.total == Counter({Fate.LOST_NEVER_ARRIVED: 300})
    assert len(told.losses) == 300


# Whatever comes when, and in whatever pieces.

STAGES = ("received", "executed", "answered")


@attrs.frozen
class Truth:
    """What became of one request."""

    fate: Fate
    events: tuple[Event, ...]


@st.composite
def truths(draw: st.DrawFn) -> list[Truth]:
    """Return requests of two clients, one after another, each with what became of it."""
    told = []
    for client, kind in ((0, "get"), (1, "post")):
        now_ms = 1.0
        for number in range(draw(st.integers(0, 6))):
            answered = draw(st.booleans())
            ended_ms = now_ms + draw(st.integers(1, 3000))
            stages = draw(st.lists(st.sampled_from(STAGES), max_size=3))
            if answered and not {"executed", "answered"} & set(stages):
                stages.append("answered")
            visits = list(_visits(draw, f"{client}-{number}", stages, now_ms, ended_ms, answered=answered))
            fields: dict[str, Any] = {"client": client, "number": number, "kind": kind, "written_ns": at(now_ms)}
            make = exchange if answered else failed
            more: dict[str, Any] = {} if answered else {"failure": "truncated"}
            told.append(
                Truth(_fate(stages, answered=answered), (make(**fields, **more, ended_ns=at(ended_ms)), *visits))
            )
            now_ms = ended_ms + draw(st.integers(0, 9000))
    return told


def _visits(
    draw: st.DrawFn, request_id: str, stages: Sequence[str], begun_ms: float, ended_ms: float, *, answered: bool
) -> Iterator[Arrival]:
    """Yield what backends tell: one who answers does so before the client has it, others at any time."""
    for order, stage in enumerate(stages):
        in_time = answered and order == max(range(len(stages)), key=lambda i: STAGES.index(stages[i]))
        latest_ms = ended_ms - 0.5 if in_time else ended_ms + 12_000
        ms = draw(st.floats(begun_ms, max(begun_ms, latest_ms)))
        whole = visit(request_id, ms, stage, instance=str(order))
        if stage == "answered" and draw(st.booleans()):
            yield visit(request_id, ms, draw(st.sampled_from(STAGES[:2])), instance=str(order))
            whole.again = True
        elif stage != "answered" and draw(st.booleans()):
            yield attrs.evolve(whole)
            whole = attrs.evolve(whole, given_up_ns=whole.told_ns + NS_PER_MS, again=True)
        yield whole


def _fate(stages: Sequence[str], *, answered: bool) -> Fate:
    executed = sum(stage != "received" for stage in stages)
    if answered:
        return Fate.ANSWERED_TWICE if executed > 1 else Fate.ANSWERED_ONCE
    if executed:
        return Fate.LOST_EXECUTED if executed == 1 else Fate.LOST_EXECUTED_TWICE
    return Fate.LOST_UNEXECUTED if stages else Fate.LOST_NEVER_ARRIVED


@given(truths(), st.lists(st.floats(0, 60_000), max_size=8), st.lists(st.floats(0, 60_000), max_size=8))
def test_every_fate_is_exact_in_whatever_pieces_it_is_told(
    requests: list[Truth], until_ms: list[float], said_ms: list[float]
) -> None:
    events = [event for truth in requests for event in truth.events]
    events += [Said(f"line {number}", at(ms)) for number, ms in enumerate(said_ms)]
    whole, split = Told.of(*events), Told.of(*events, until_ms=until_ms)
    expected = Counter(truth.fate for truth in requests)
    assert +whole.observation.ledger.total == expected
    assert whole.fates == split.fates
    assert sorted(_shown(whole.losses)) == sorted(_shown(split.losses))
    tallies = whole.observation.kinds.by_kind
    assert sum(tally.ledger()["answered_once"] for tally in tallies.values()) == expected[Fate.ANSWERED_ONCE]
    twice = sum(number for fate, number in expected.items() if fate.twice)
    assert sum(tally.repeated for tally in tallies.values()) == twice
    assert sum(tally.fates[Fate.LOST_EXECUTED] for tally in tallies.values()) <= expected[Fate.LOST_EXECUTED]


def _shown(losses: Sequence[Loss]) -> list[str]:
    return [f"{loss.request_id} {loss.fate} {loss.cause} {loss.at_ns} {loss.evidence}" for loss in losses]


# Causes.

REMOVED: list[Event] = [
    change(Phase.REQUESTED, at(100), "remove", "0"),
    change(Phase.APPLIED, at(150), "remove", "0"),
    BackendLeaving("0", at(1150)),
]
KILLED = BackendKilled("0", at(2000.5))
#: The same, of one that had its last request before it was removed.
KILLED_WITH_IT: list[Event] = [
    change(Phase.REQUESTED, at(1990), "remove", "0"),
    change(Phase.APPLIED, at(2000.4), "remove", "0"),
    KILLED,
]
AFTER = {"written_ns": at(2000), "ended_ns": at(2001)}
UNAVAILABLE: dict[str, Any] = {"failure": "status 503", "status": 503}
#: By their connections: one opened before the change, one after it.
OLD = exchange(connect_ns=NS_PER_MS, written_ns=at(10), ended_ns=at(11))
NEW = exchange(connect_ns=NS_PER_MS, written_ns=at(1600), ended_ns=at(1601))


def lost(failure: str, **more: Any) -> Exchange:
    """Return the second request of client 0, which is lost after everything else."""
    return failed(**{"failure": failure, "number": 1, "carried": 1, **AFTER, **more})


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        ([OLD, *REMOVED, lost("closed before response, reused")], Cause.KEEP_ALIVE_RACE),
        ([OLD, *REMOVED, lost("reset before response, reused")], Cause.KEEP_ALIVE_RACE),
        ([NEW, *REMOVED, lost("closed before response, reused"), visit("0-1", 2000.2, instance="1")], Cause.PROXY_CUT),
        ([OLD, lost("closed before response, reused"), visit("0-1", 2000.2)], Cause.PROXY_CUT),
        ([OLD, *REMOVED, lost("truncated"), visit("0-1", 2000.2, instance="1")], Cause.OLD_PROCESS_KILLED),
        ([OLD, *REMOVED, lost(**UNAVAILABLE)], Cause.STALE_GENERATION),
        ([NEW, *REMOVED, lost(**UNAVAILABLE)], Cause.BACKEND_GONE),
        ([NEW, lost(**UNAVAILABLE)], Cause.PROXY_REFUSED),
        # That there is no such route is no backend's doing, whichever has gone meanwhile.
        ([NEW, *REMOVED, lost("status 404", status=404)], Cause.PROXY_REFUSED),
        ([NEW, BackendKilled("1", at(1700)), lost("status 404", status=404)], Cause.PROXY_REFUSED),
        ([NEW, lost("grpc status UNAVAILABLE", status=200)], Cause.PROXY_REFUSED),
        ([NEW, lost("trailers lost", status=200, instance="1")], Cause.ANSWER_SPOILT),
        ([NEW, BackendKilled("1", at(1700)), lost(**UNAVAILABLE)], Cause.REPEAT_REFUSED),
        (
            [NEW, lost(**UNAVAILABLE), visit("0-1", 2000.2, "received", given_up_ns=at(2000.5))],
            Cause.REPEAT_REFUSED,
        ),
        ([NEW, *KILLED_WITH_IT, lost(**UNAVAILABLE), visit("0-1", 2000.2, "executed")], Cause.REPEAT_REFUSED),
        ([NEW, *KILLED_WITH_IT, lost(**UNAVAILABLE), visit("0-1", 2000.2, "received")], Cause.REPEAT_REFUSED),
        ([NEW, KILLED, lost(**UNAVAILABLE), visit("0-1", 2000.2, "executed")], Cause.REPEAT_REFUSED),
        (
            [NEW, *KILLED_WITH_IT, lost("closed before response, reused"), visit("0-1", 2000.2, "executed")],
            Cause.REPEAT_REFUSED,
        ),
        ([NEW, *KILLED_WITH_IT, lost("truncated"), visit("0-1", 2000.2, "executed")], Cause.BACKEND_GONE),
        # It had its answer, or had been given up: that it was killed later is another story.
        ([NEW, *KILLED_WITH_IT, lost(**UNAVAILABLE), visit("0-1", 2000.2)], Cause.STALE_GENERATION),
        (
            [NEW, *KILLED_WITH_IT, lost(**UNAVAILABLE), visit("0-1", 2000.2, "executed", given_up_ns=at(2000.4))],
            Cause.STALE_GENERATION,
        ),
        # It was sent to one that had been removed.
        ([NEW, *REMOVED[:2], lost(**UNAVAILABLE), visit("0-1", 2000.2, "executed"), KILLED], Cause.BACKEND_GONE),
        ([OLD, *REMOVED[:2], lost(**UNAVAILABLE), visit("0-1", 2000.2, "executed"), KILLED], Cause.STALE_GENERATION),
        ([NEW, lost("status 503", status=503, instance="1"), visit("0-1", 2000.2)], Cause.UNKNOWN),
        ([NEW, *REMOVED[:2], lost("truncated"), visit("0-1", 2000.2, "executed"), KILLED], Cause.BACKEND_GONE),
        ([NEW, *REMOVED, lost("truncated"), visit("0-1", 2000.2, "executed")], Cause.PROXY_CUT),  # it ends that first
        ([OLD, *REMOVED, lost("truncated"), visit("0-1", 2000.2, "executed")], Cause.OLD_PROCESS_KILLED),
        ([NEW, lost("refused", connection=-1, carried=0)], Cause.NOBODY_LISTENED),
        ([NEW, lost("connect timeout", connection=-1, carried=0)], Cause.NOBODY_LISTENED),
        ([NEW, lost("reset before response, fresh", carried=0)], Cause.LISTEN_QUEUE_DROPPED),
        ([NEW, lost("timeout"), visit("0-1", 2000.2)], Cause.PROXY_STALLED),
        ([NEW, lost("wrong body"), visit("0-1", 2000.2)], Cause.ANSWER_SPOILT),
        ([NEW, lost("message out of order"), visit("0-1", 2000.2)], Cause.ANSWER_SPOILT),
        # A session is cut as an answer is.
        ([NEW, *KILLED_WITH_IT, lost("closed mid-session"), visit("0-1", 2000.2, "executed")], Cause.BACKEND_GONE),
        ([NEW, *REMOVED, lost("reset mid-session"), visit("0-1", 2000.2, "executed")], Cause.PROXY_CUT),
        ([OLD, *REMOVED, lost("closed mid-session"), visit("0-1", 2000.2, "executed")], Cause.OLD_PROCESS_KILLED),
        ([NEW, lost("own limit")], Cause.OURS),
        ([NEW, lost("aborted")], Cause.OURS),
        ([NEW, lost("something new")], Cause.UNKNOWN),
    ],
)
def test_each_loss_has_a_cause_out_of_the_list(events: list[Event], cause: Cause) -> None:
    first = [visit("0-0", 5 if events[0] is OLD else 1599)]
    assert Told.of(*first, *events).causes == [cause]


@pytest.mark.parametrize(
    ("held", "cause", "told"),
    [
        ([Held(0, {40000: 0}, at(90))], Cause.BACKEND_GONE, (0, "held by generation 0;")),
        ([Held(0, {40000: 0}, at(90)), Held(1, {40000: 0}, at(160))], Cause.STALE_GENERATION, (0, "the newest was 1;")),
        ([Held(1, {40000: 1}, at(160))], Cause.BACKEND_GONE, (1, "held by generation 1;")),
        ([Held(1, {40001: 1}, at(160))], Cause.STALE_GENERATION, (None, "")),  # by when it was opened
        ([Held(0, {40000: 0}, at(5))], Cause.STALE_GENERATION, (None, "")),  # that was another's port then
    ],
)
def test_who_held_the_connection_is_evidence(held: list[Event], cause: Cause, told: tuple[int | None, str]) -> None:
    (loss,) = Told.of(visit("0-0", 10.2), OLD, *REMOVED, *held, lost(**UNAVAILABLE)).losses
    assert (loss.cause, loss.generation) == (cause, told[0])
    assert told[1] in loss.evidence
    assert told[1] or "held by" not in loss.evidence


@pytest.mark.parametrize(
    ("failure", "stood", "cause"),
    [
        ({"failure": "timeout"}, [(2500, 9000)], Cause.OURS),
        ({"failure": "timeout"}, [(2500, 4500), (5000, 8000)], Cause.OURS),
        ({"failure": "connect timeout", "written_ns": 0, "connect_ns": 7 * NS_PER_S}, [(2500, 9000)], Cause.OURS),
        (UNAVAILABLE, [(2500, 9000)], Cause.OURS),  # by a backend of ours, which stood still too
        ({"failure": "timeout"}, [(2500, 4500)], Cause.PROXY_STALLED),  # it had time enough besides
        ({"failure": "timeout"}, [(100, 1900), (9100, 20_000)], Cause.PROXY_STALLED),
        ({"failure": "truncated"}, [(2500, 9000)], Cause.PROXY_CUT),  # nobody had to hear of that
    ],
)
def test_what_nobody_was_there_to_hear_is_no_doing_of_the_proxys(
    failure: dict[str, Any], stood: list[tuple[int, int]], cause: Cause
) -> None:
    still = [StoodStill(at(since), at(until)) for since, until in stood]
    told = Told.of(visit("0-0", 1599), NEW, *still, lost(**{**failure, "ended_ns": at(9000)}), visit("0-1", 2000.2))
    assert told.causes == [cause]
    assert cause is not Cause.OURS or " ms of that proxyreload itself stood still" in told.losses[0].evidence
    reasons = " ".join(judge(told.observation).reasons)
    assert ("stood still while 1 exchange waited, which failed by that" in reasons) is (cause is Cause.OURS)


def test_what_the_proxy_refused_at_once_and_was_heard_late_is_its_own_doing() -> None:
    still = StoodStill(at(2000.5), at(2900))
    told = Told.of(visit("0-0", 1599), NEW, still, lost(**{**UNAVAILABLE, "ended_ns": at(2901)}))
    assert told.causes == [Cause.PROXY_REFUSED]


def test_how_a_session_ended_and_what_was_unanswered_is_evidence() -> None:
    words = "FIN without a close frame, message 7 unanswered"
    (loss,) = Told.of(visit("0-0", 1599), NEW, lost("closed mid-session", message=words)).losses
    assert f"closed mid-session 1.0 ms after sending; {words}; " in loss.evidence


def test_a_backend_that_has_been_added_again_is_gone_no_more() -> None:
    back = change(Phase.REQUESTED, at(1300), "add", "0", number=2)
    told = Told.of(visit("0-0", 1599), NEW, *REMOVED, back, lost(**UNAVAILABLE))
    assert told.causes == [Cause.PROXY_REFUSED]


def test_the_evidence_is_kept_with_it() -> None:
    told = Told.of(visit("0-0", 5), OLD, *REMOVED, lost(**UNAVAILABLE))
    (loss,) = told.losses
    assert loss.evidence == (
        "connection from before the change; it had carried 1 and rested for 1989.0 ms; "
        "status 503 1.0 ms after sending; no backend received it; backend 0 was removed, and gone for 0.85 s by its end"
    )
    assert (loss.change, loss.change_ns, loss.rested_ns) == (1, at(100), 1989 * NS_PER_MS)
    assert told.observation.causes == {Cause.STALE_GENERATION: 1}


def test_what_the_proxys_own_page_says_is_evidence() -> None:
    page = {**UNAVAILABLE, "message": "503 No server; try again"}
    (loss,) = Told.of(visit("0-0", 10.2), OLD, lost(**page)).losses
    assert "after sending; its page: 503 No server, try again; no backend received it" in loss.evidence
    (loss,) = Told.of(visit("0-0", 10.2), OLD, lost("wrong body", status=200, message="not ours")).losses
    assert "page" not in loss.evidence


# What the kernel and the proxy say of it.


def cut(last_state: LastState | None, size: int = 118, **more: Any) -> CutExchange:
    """Return the same as `lost`, of whose connection's end the kernel was asked."""
    plain = lost("closed before response, reused", **more)
    return CutExchange(**attrs.asdict(plain), size=size, last_state=last_state)


@pytest.mark.parametrize(
    ("fin", "gone", "unacknowledged", "told"),
    [
        (True, False, 118, "FIN was sent before any of its 118 bytes had come"),
        (True, True, 118, "FIN was sent before any of its 118 bytes had come, then RST"),
        (True, True, 500, "FIN was sent before any of its 118 bytes had come, then RST"),
        (True, False, 18, "FIN was sent before 18 of its 118 bytes had come"),
        (True, False, 0, "FIN came, and all its 118 bytes were acknowledged"),
        (False, True, 118, "no FIN came, and none of its 118 bytes was acknowledged"),
        (False, True, 18, "no FIN came, and 18 of its 118 bytes were not acknowledged"),
        (False, True, 0, "no FIN came, and all its 118 bytes were acknowledged"),
    ],
)
def test_what_the_kernel_knew_is_evidence(told: str, unacknowledged: int, *, fin: bool, gone: bool) -> None:
    (loss,) = Told.of(visit("0-0", 10.2), OLD, cut(LastState(fin, gone, unacknowledged))).losses
    assert f"reused 1.0 ms after sending; {told}; no backend received it" in loss.evidence
    begun = cut(LastState(fin, gone, unacknowledged), first_byte_ns=at(2000.5))
    (loss,) = Told.of(visit("0-0", 10.2), OLD, begun).losses
    assert (told in loss.evidence) is bool(unacknowledged)  # who has begun to answer has taken it


@pytest.mark.parametrize("exchange_", [cut(None), cut(LastState(fin=True, gone=True, unacknowledged=0), size=0)])
def test_what_it_did_not_know_is_not_told(exchange_: CutExchange) -> None:
    (loss,) = Told.of(visit("0-0", 10.2), OLD, exchange_).losses
    assert "FIN" not in loss.evidence


@pytest.mark.parametrize(
    ("fin", "unacknowledged", "cause"),
    [(True, 118, Cause.KEEP_ALIVE_RACE), (True, 18, Cause.PROXY_CUT), (False, 118, Cause.PROXY_CUT)],
)
def test_what_cannot_have_come_is_a_race_whatever_a_backend_has_not_told(
    unacknowledged: int, cause: Cause, *, fin: bool
) -> None:
    unknown = RecordLost("1", at(1999), at(2002))
    told = Told.of(visit("0-0", 10.2), OLD, cut(LastState(fin, gone=True, unacknowledged=unacknowledged)), unknown)
    assert (told.causes, told.losses[0].fate) == ([cause], Fate.LOST_UNKNOWN)


def lines(*said: Said, **more: Any) -> list[str]:
    """Return the parts of a loss's evidence that the proxy has said."""
    (loss,) = Told.of(visit("0-0", 10.2), OLD, *said, lost("closed before response, reused", **more)).losses
    assert len(loss.evidence) <= EVIDENCE_LIMIT
    return [part for part in loss.evidence.split("; ") if "the proxy said" in part]


def test_the_two_nearest_lines_are_told_in_their_order() -> None:
    said = [Said("long before", at(999)), Said("first", at(1990)), Said("second", at(2000.9)), Said("later", at(3001))]
    assert lines(*said) == ["11.0 ms before the proxy said: first", "0.1 ms before the proxy said: second"]
    assert lines(*said, Said("too late", at(3001.5)))[1:] == ["0.1 ms before the proxy said: second"]
    assert lines(said[0], said[3]) == ["1000.0 ms after the proxy said: later"]
    assert lines(said[0], Said("just in time", at(1000))) == ["1001.0 ms before the proxy said: just in time"]
    assert lines() == []


def test_a_line_with_the_clients_port_is_told_before_a_nearer_one() -> None:
    said = [Said(f"line {number}", at(2001 + number)) for number in range(3)]
    named = Said("127.0.0.1:40000 SC--", at(2500))
    assert lines(*said, named) == [
        "0.0 ms before the proxy said: line 0",
        "499.0 ms after the proxy said: " + named.text,
    ]
    assert lines(*said, Said("pid 140000 or 400001", at(2500)))[1:] == ["1.0 ms after the proxy said: line 1"]
    assert lines(*said, Said("port 0", at(2500)), front_port=0)[1:] == ["1.0 ms after the proxy said: line 1"]


def test_a_line_divides_no_parts_and_is_cut_where_there_is_no_room() -> None:
    assert lines(Said("no; backend 0: answered", at(2001))) == ["0.0 ms before the proxy said: no, backend 0: answered"]
    first, second = lines(Said("x" * 200, at(2001)), Said("y" * 200, at(2002)))
    assert first.partition(": ")[2] == "x" * (LINE_LIMIT - 1) + "…"
    assert "yyy…" in second
    assert lines(Said("x" * LINE_LIMIT, at(2001)))[0].endswith("said: " + "x" * LINE_LIMIT)
    crowd = [visit("0-1", 2000.2, "received", instance=f"backend {number:03}") for number in range(7)]
    (loss,) = Told.of(visit("0-0", 10.2), OLD, Said("x" * 200, at(2001)), lost("truncated"), *crowd).losses
    assert loss.evidence.endswith("received in part")


def test_what_a_proxy_says_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings_module, "_LINES_KEPT", 5)
    surroundings = surroundings_module.Surroundings()
    for number in range(20):
        surroundings.said([Said(f"line {number}", at(number))])
    kept = [said.text for said in surroundings.said_around(at(0), at(0))]
    assert 5 <= len(kept) <= 10
    assert kept == [f"line {number}" for number in range(20 - len(kept), 20)]


def test_of_many_lines_the_nearest_are_looked_at() -> None:
    surroundings = surroundings_module.Surroundings()
    surroundings.said([Said(f"line {number}", at(number)) for number in range(1000)])
    around = [said.text for said in surroundings.said_around(at(400), at(500))]
    assert around == [f"line {number}" for number in range(481, 521)]
    around = [said.text for said in surroundings.said_around(at(-100), at(-90))]
    assert around == [f"line {number}" for number in range(20)]


def test_of_other_peoples_backends_what_was_said_until_then_is_told() -> None:
    events: list[Event] = [Said("before", at(1)), LOST, Said("after", at(2.5))]
    for until_ms in ((), (1.5,), (2.1, 50)):
        told = Told.of(*events, started=attrs.evolve(STARTED, hosted=False), until_ms=until_ms)
        assert told.losses[0].evidence.endswith("1.0 ms before the proxy said: before")


def test_it_is_told_when_nothing_more_is_expected_of_it() -> None:
    told = Told()
    told.take(Started, [STARTED])
    told.take(Exchange, [LOST])
    told.take(Exchange, [exchange(number=1, written_ns=at(3), ended_ns=LOST.ended_ns + SETTLES_NS - 1)])
    assert told.losses == []
    told.take(Exchange, [exchange(number=2, written_ns=at(3), ended_ns=LOST.ended_ns + SETTLES_NS)])
    told.take(Exchange, [exchange(number=3, written_ns=at(3), ended_ns=LOST.ended_ns + SETTLES_NS + 1)])
    assert [loss.at_ns for loss in told.losses] == [LOST.ended_ns]
    assert SETTLES_NS < 10 * NS_PER_S
    assert isinstance(change(Phase.REQUESTED, 1), Change)

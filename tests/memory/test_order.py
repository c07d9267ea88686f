"""Whatever order events are delivered in, and in whatever pieces: they are judged by when they happened."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.events import (
    Arrival,
    BackClosed,
    Broken,
    Change,
    Ended,
    Ending,
    Event,
    Exchange,
    FrontClosed,
    Phase,
    Started,
)
from proxyreload.history.order import (
    FOREVER_NS,
    LAG_LIMIT_NS,
    SETTLE_INTERVAL_S,
    History,
    Source,
    when,
)
from proxyreload.verdict.judgement import Judgement, judge, judge_change
from proxyreload.verdict.observation import Observation, observe

from .clocks import START_NS, Time, some_examples
from .happened import change, exchange, failed

#: What was handed on: events of one kind, then others.
Pieces = list[tuple[type, list[Event]]]


@attrs.define(eq=False)
class Line:
    """A history, its clock in the test's hands, and all that it handed on."""

    now_ns: int = START_NS
    pieces: Pieces = attrs.field(factory=list)
    history: History = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.history = History(lambda kind, events: self.pieces.append((kind, list(events))), lambda: self.now_ns)

    @property
    def events(self) -> list[Event]:
        return [event for _kind, events in self.pieces for event in events]

    def settle(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.history.settle()


def ended(at: int, **more: Any) -> Exchange:
    """Return an exchange that ended so many ns after the start."""
    return exchange(**{"written_ns": START_NS + at, "ended_ns": START_NS + at, **more})


def told(source: Source, *events: Event) -> None:
    """Let a source tell events."""
    for event in events:
        if isinstance(event, Exchange):
            source.exchanged(event)
        elif isinstance(event, Arrival):
            source.arrived(event)
        else:
            source.publish(event)


def test_what_happened_later_is_handed_on_later_whenever_it_was_told() -> None:
    line = Line()
    late, early = ended(20), ended(10)
    told(line.history.here, late, early)
    line.settle(START_NS + 30)
    assert line.pieces == [(Exchange, [early, late])]


def test_nothing_is_handed_on_before_all_that_happened_before_it_has_been_told() -> None:
    line = Line()
    other = line.history.source("backend 0", START_NS + 5)
    told(line.history.here, ended(10), ended(3))
    line.settle(START_NS + 100)
    assert [when(event) for event in line.events] == [START_NS + 3]
    other.until_ns = START_NS + 11
    line.settle(START_NS + 100)
    assert [when(event) for event in line.events] == [START_NS + 3, START_NS + 10]


def test_a_change_divides_what_happened_before_it_from_what_happened_after() -> None:
    line = Line()
    requested = change(Phase.REQUESTED, START_NS + 15)
    told(line.history.here, ended(20), requested, ended(10), ended(15))
    line.settle(START_NS + 30)
    assert [(kind, [when(each) - START_NS for each in events]) for kind, events in line.pieces] == [
        (Exchange, [10]),
        (Change, [15]),
        (Exchange, [15, 20]),
    ]


def test_the_end_comes_after_all_of_its_moment() -> None:
    line = Line()
    told(line.history.here, Ended(START_NS + 10), ended(10))
    line.history.stop()
    assert [kind for kind, _events in line.pieces] == [Exchange, Ended]


def test_a_change_is_requested_before_it_is_applied_also_in_the_same_moment() -> None:
    line = Line()
    phases = [(2, Phase.REQUESTED), (1, Phase.APPLIED), (1, Phase.REQUESTED)]
    told(line.history.here, *(change(phase, START_NS + 10, number=number) for number, phase in phases))
    line.settle(START_NS + 30)
    assert [(event.number, event.phase) for event in line.events if isinstance(event, Change)] == [
        (1, Phase.REQUESTED),
        (1, Phase.APPLIED),
        (2, Phase.REQUESTED),
    ]


def test_a_source_that_has_told_everything_is_waited_for_no_longer_and_what_it_told_stays() -> None:
    line = Line()
    other = line.history.source("backend 0", START_NS)
    closed = BackClosed("0", 50000, 1, probe_only=False, closed_ns=START_NS + 5)
    told(other, closed)
    line.settle(START_NS + 10)
    assert line.events == []
    line.history.remove(other)
    line.settle(START_NS + 10)
    assert line.events == [closed]


def test_a_source_that_lags_too_far_behind_is_waited_for_no_longer_and_what_it_tells_then_is_late() -> None:
    line = Line()
    other = line.history.source("backend 0", START_NS)
    told(line.history.here, ended(10))
    line.settle(START_NS + LAG_LIMIT_NS)
    assert (line.events, line.history.late) == ([], 0)
    line.settle(START_NS + LAG_LIMIT_NS + 20)
    assert len(line.events) == 1
    told(other, BackClosed("0", 50000, 1, probe_only=False, closed_ns=START_NS + 5))
    line.settle(START_NS + LAG_LIMIT_NS + 30)
    assert (len(line.events), line.history.late) == (2, 1)


def test_nothing_waits_longer_than_the_interval() -> None:
    time = Time()
    pieces: Pieces = []
    history = History(lambda kind, events: pieces.append((kind, list(events))), time.ns)
    history.start(time)
    history.here.exchanged(ended(0))
    time.advance(SETTLE_INTERVAL_S)
    assert len(pieces) == 1
    history.here.exchanged(ended(5))
    history.stop()
    assert len(pieces) == 2
    assert time.getDelayedCalls() == []


# Any order of delivery, any batches.

_SPAN = 40
_moments = st.integers(0, _SPAN)


@st.composite
def _exchanges(draw: st.DrawFn) -> list[Event]:
    made: list[Event] = []
    for number in range(draw(st.integers(0, 12))):
        written, lasted = draw(_moments), draw(st.integers(0, 12))
        times = {
            "written_ns": START_NS + written,
            "due_ns": START_NS + written,
            "ended_ns": START_NS + written + lasted,
        }
        who = {"client": draw(st.integers(0, 2)), "number": number, "connection": draw(st.integers(0, 2))}
        if draw(st.integers(0, 3)) == 0:
            made.append(failed("timeout", **times, **who))
        else:
            connect_ns = draw(st.sampled_from((0, 2)))
            made.append(exchange(**times, **who, instance=draw(st.sampled_from("012")), connect_ns=connect_ns))
    return made


@st.composite
def _closings(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    fronts: list[Event] = [
        FrontClosed(number, 0, 40000, 1, draw(st.sampled_from(Ending)), START_NS + draw(_moments), probe=False)
        for number in range(draw(st.integers(0, 4)))
    ]
    backs: list[Event] = [
        BackClosed(draw(st.sampled_from("012")), 50000 + number, 1, draw(st.booleans()), START_NS + draw(_moments))
        for number in range(draw(st.integers(0, 6)))
    ]
    return fronts, backs


@st.composite
def _changes(draw: st.DrawFn) -> list[Event]:
    made: list[Event] = []
    moments = sorted(draw(st.lists(_moments, max_size=8)))
    for number, (requested, over) in enumerate(pairwise(moments), 1):
        if number % 2:
            action, instance = draw(st.sampled_from((("add", "2"), ("remove", "0"), ("reload", ""))))
            phase = draw(st.sampled_from((Phase.APPLIED, Phase.APPLIED, Phase.FAILED)))
            words = "no" if phase is Phase.FAILED else ""
            made.append(change(Phase.REQUESTED, START_NS + requested, action, instance, number))
            made.append(change(phase, START_NS + over, action, instance, number, message=words))
    return made


@st.composite
def _arrivals(draw: st.DrawFn) -> list[Event]:
    return [
        Arrival(draw(st.sampled_from("012")), f"{number}-0", 50000, number, at_ns, at_ns, at_ns)
        for number in range(draw(st.integers(0, 6)))
        for at_ns in [START_NS + draw(st.integers(-3, _SPAN))]
    ]


@st.composite
def _told(draw: st.DrawFn) -> list[list[Event]]:
    """Return what each of three sources has to tell: this process, and those of two backends."""
    fronts, backs = draw(_closings())
    mine: list[Event] = [
        Started(START_NS),
        Ended(START_NS + 2 * _SPAN),
        *draw(_exchanges()),
        *draw(_changes()),
        *fronts,
    ]
    if draw(st.booleans()):
        mine.append(Broken("it broke", START_NS + draw(_moments)))
    sources: list[list[Event]] = [mine, [], []]
    for event in [*backs, *draw(_arrivals())]:
        sources[draw(st.integers(1, 2))].append(event)
    return sources


def conclusion(observation: Observation) -> tuple[Judgement, Any]:
    """Return the verdict, and all figures that it rests on."""
    return judge(observation), (
        observation.counts.line(),
        observation.counts.by_failure,
        [(attrs.asdict(each), judge_change(each)) for each in observation.changes],
        attrs.asdict(observation.before),
        dict(observation.answers_by_instance),
        observation.arrivals_by_instance,
        [(each.name, each.latency.count, each.latency.max_us) for each in observation.phases],
        observation.broken,
    )


def concluded_at_once(sources: Sequence[Sequence[Event]]) -> tuple[Judgement, Any]:
    """Return what comes of a history that is told as a whole."""
    line = Line()
    for events in sources:
        told(line.history.here, *events)
    line.history.stop()
    return conclusion(observe(line.pieces))


def deliver(line: Line, sources: Sequence[Sequence[Event]], chance: random.Random) -> None:
    """Tell events in an order of chance, in batches of chance, each source with its own watermark."""
    line.now_ns = START_NS - 10
    who = [line.history.here, *(line.history.source(name, START_NS - 10) for name in ("backend 0", "backend 1"))]
    left = [chance.sample(list(events), len(events)) for events in sources]
    while any(left):
        index = chance.choice([number for number, events in enumerate(left) if events])
        batch = [left[index].pop() for _ in range(min(len(left[index]), chance.randint(1, 5)))]
        told(who[index], *batch)
        until_ns = min(map(when, left[index]), default=START_NS + 3 * _SPAN)
        if index:
            who[index].until_ns = until_ns
        else:
            line.now_ns = until_ns
        if chance.random() < 0.5:
            line.history.settle()
    line.history.hand_on(FOREVER_NS)


@some_examples
@given(_told(), st.integers(0, 2**32))
def test_the_verdict_is_the_same_for_any_order_of_delivery_and_any_batches(
    sources: list[list[Event]], seed: int
) -> None:
    line = Line()
    deliver(line, sources, random.Random(seed))
    assert line.history.late == 0
    assert len(line.events) == sum(map(len, sources))
    assert conclusion(observe(line.pieces)) == concluded_at_once(sources)


@some_examples
@given(_told(), st.integers(0, 2**32))
def test_events_are_handed_on_in_the_order_of_time(sources: list[list[Event]], seed: int) -> None:
    line = Line()
    deliver(line, sources, random.Random(seed))
    for kind in {kind for kind, _events in line.pieces}:
        moments = [when(event) for other, events in line.pieces if other is kind for event in events]
        assert moments == sorted(moments)


@some_examples
@given(_told(), st.integers(0, 2**32))
def test_the_verdict_is_the_same_in_whatever_pieces_a_history_is_observed(
    sources: list[list[Event]], seed: int
) -> None:
    line, chance = Line(), random.Random(seed)
    for events in sources:
        told(line.history.here, *events)
    line.history.stop()
    pieces: Pieces = []
    for kind, events in line.pieces:
        while events:
            size = chance.randint(1, len(events))
            pieces.append((kind, events[:size]))
            events = events[size:]  # noqa: PLW2901
    assert conclusion(observe(pieces)) == concluded_at_once(sources)

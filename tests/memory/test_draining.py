"""What had begun at a removed backend: until when it goes on there, by both sides' account; and what proves a removal."""

import random
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Arrival,
    BackendKilled,
    Drained,
    Ended,
    Event,
    Exchange,
    Phase,
    RecordLost,
    Started,
    Stopping,
)
from proxyreload.history.order import FOREVER_NS, History, when
from proxyreload.system.clock import ns
from proxyreload.terminal.lines import drained_line
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.draining import Drain
from proxyreload.verdict.judgement import Verdict, is_effective, judge
from proxyreload.verdict.observation import Observation, observe

from .clocks import START_NS, some_examples
from .happened import change, exchange, failed, record
from .observing import observed, run_json

#: Clients 0 and 1 stream, 2 sends slow requests, the others small ones.
KINDS = {"0": "stream", "1": "stream", "2": "slow", **{str(client): "get" for client in range(3, 10)}}


def at(second: float) -> int:
    return START_NS + ns(second)


def arrives(request_id: str, received_s: float, ended_s: float = 0, *, given_up: bool = False) -> list[Arrival]:
    """Return what backend 0 tells of a request that takes a while: that it came, and that it is over if it is."""
    come = Arrival("0", request_id, 50000, 0, at(received_s), at(received_s))
    if not ended_s:
        return [come]
    over = attrs.evolve(come, again=True, given_up_ns=at(ended_s)) if given_up else None
    return [come, over or attrs.evolve(come, again=True, answered_ns=at(ended_s))]


def ends(client: int, sent_s: float, ended_s: float, failure: str = "", **more: object) -> Exchange:
    """Return what a client has come to at backend 0, or at none if it failed without an answer."""
    times = {
        "written_ns": at(sent_s),
        "due_ns": at(sent_s),
        "ended_ns": at(ended_s),
        "first_byte_ns": at(sent_s + 0.01),
    }
    who = {"client": client, "kind": KINDS[str(client)], "long": client < 3}
    if failure:
        return failed(failure, **{**times, "first_byte_ns": 0, **who, **more})
    return exchange(**{**times, "instance": "0", **who, **more})


#: Backend 0 is removed; that is applied at 2.5 s.
REMOVAL = [
    change(Phase.REQUESTED, at(2), "remove", "0", 1),
    change(Phase.APPLIED, at(2.5), "remove", "0", 1),
]
OTHERS = [
    exchange(client=9, number=n, instance="1", written_ns=at(n / 10), ended_ns=at(n / 10 + 0.01)) for n in range(90)
]
BEFORE = [exchange(client=8, number=n, written_ns=at(n / 10), ended_ns=at(n / 10 + 0.01)) for n in range(19)]


def story(*events: Event, hosted: bool = True, stops_s: float = 9.5) -> list[Event]:
    """Return these events and those around them, in the order of time."""
    told = [Started(START_NS, kinds=KINDS, hosted=hosted), *OTHERS, *BEFORE, *REMOVAL, *events]
    return sorted([*told, Stopping(at(stops_s)), Ended(at(10))], key=when)


def told(*events: Event, hosted: bool = True, stops_s: float = 9.5) -> tuple[Drain, list[Drained], Observation]:
    """Observe a run with these events; returns the drain, when it was told to be over, and all that was observed."""
    bus = EventBus()
    observation, said = observed(bus), record(bus)
    for event in story(*events, hosted=hosted, stops_s=stops_s):
        bus.deliver(type(event), [event])
    drain = observation.changes[0].drain
    assert drain is not None
    return drain, [event for event in said if isinstance(event, Drained)], observation


def test_a_stream_that_ends_there_is_the_end_of_it() -> None:
    drain, drained, observation = told(*arrives("0-0", 1, 6), ends(0, 1, 6.02))
    assert (drain.drained_ns, dict(drain.kinds), drain.failed, dict(drain.left)) == (at(6.02), {"stream": 1}, 0, {})
    assert drained == [Drained(1, "remove backend 0", at(6.02), {"stream": 1})]
    assert observation.changes[0].drained_ns == at(6.02)
    assert judge(observation).verdict is Verdict.SEAMLESS


def test_it_lasts_until_both_sides_say_so() -> None:
    drain, drained, _observation = told(*arrives("0-0", 1, 4), ends(0, 1, 6), *arrives("2-0", 2, 7), ends(2, 2, 3))
    assert drain.drained_ns == at(7)
    assert [event.at_ns for event in drained] == [at(7)]


def test_what_failed_counts_by_when_it_failed_and_whoever_was_to_answer() -> None:
    cut = ends(0, 1, 5, "truncated", instance="0", status=200, first_byte_ns=at(1.1))
    unknown = ends(2, 2, 5.5, "timeout")
    drain, _drained, observation = told(*arrives("0-0", 1, 5.01, given_up=True), cut, *arrives("2-0", 2, 5.2), unknown)
    assert (drain.drained_ns, dict(drain.kinds), drain.failed) == (at(5.5), {"stream": 1, "slow": 1}, 2)
    # A stream that broke off later than others had answered is no sign that anything new was sent there.
    assert observation.changes[0].stragglers == 0
    assert observation.changes[0].silence == 64


def test_what_is_left_when_the_clients_stop_is_said_and_nothing_that_they_end_is_its_end(tmp_path: Path) -> None:
    drain, drained, observation = told(
        *arrives("0-0", 1, 9.51), ends(0, 1, 9.505), *arrives("1-0", 1, 4), ends(1, 1, 4.01), *arrives("2-0", 2)
    )
    assert (drain.drained_ns, drained) == (0, [])
    assert (dict(drain.left), dict(drain.kinds)) == ({"stream": 1, "slow": 1}, {"stream": 2, "slow": 1})
    lines = list(summary_lines(observation, judge(observation), "it"))
    assert any("not drained when the run ended: 1 slow, 1 stream left" in line for line in lines)
    [written] = run_json(observation, tmp_path)["changes"]
    assert written["drained_us"] is None
    assert written["drained"] == {
        "at_us": None,
        "under_way": {"stream": 2, "slow": 1},
        "failed": 0,
        "left": {"stream": 1, "slow": 1},
    }


def test_where_nothing_was_under_way_it_is_drained_when_it_is_applied(tmp_path: Path) -> None:
    drain, drained, observation = told()
    assert (drain.drained_ns, dict(drain.kinds), drained) == (at(2.5), {}, [])
    [written] = run_json(observation, tmp_path)["changes"]
    assert written["drained_us"] is None
    assert written["drained"] == {"at_us": 2_500_000, "under_way": {}, "failed": 0, "left": {}}
    assert not any("drained" in line for line in summary_lines(observation, judge(observation), "it"))


def test_of_other_peoples_backends_the_clients_tell_it() -> None:
    drain, _drained, _observation = told(ends(0, 1, 6.02), ends(2, 2.4, 4.5), hosted=False)
    assert (drain.drained_ns, dict(drain.kinds)) == (at(6.02), {"stream": 1, "slow": 1})
    drain, _drained, _observation = told(ends(0, 1, 9.6), hosted=False)
    assert (drain.drained_ns, dict(drain.left)) == (0, {"stream": 1})


@pytest.mark.parametrize("gone", [BackendKilled("0", at(4)), RecordLost("0", at(3.9), at(4))])
def test_what_a_backend_had_when_it_was_killed_has_ended_then(gone: Event) -> None:
    drain, _drained, _observation = told(*arrives("0-0", 1), gone, ends(0, 1, 4.02, "truncated"))
    assert (drain.drained_ns, drain.failed, dict(drain.left)) == (at(4.02), 1, {})


def test_what_is_sent_there_afterwards_is_no_part_of_it_however_long_it_takes() -> None:
    drain, _drained, observation = told(*arrives("0-0", 3, 8), ends(0, 3, 8.01))
    assert (dict(drain.kinds), drain.drained_ns) == ({}, at(2.5))
    assert observation.changes[0].stragglers == 1
    assert judge(observation).verdict is Verdict.INEFFECTIVE


def test_what_nobody_has_sent_is_waited_for_as_long_as_the_backend_has_it() -> None:
    drain, _drained, _observation = told(*arrives("77-0", 1, 5))
    assert (drain.drained_ns, dict(drain.kinds)) == (at(5), {"unknown": 1})


def test_only_what_is_sent_after_it_was_applied_proves_a_removal() -> None:
    # Half of the answers were the removed one's; those of the other to what had been sent before say nothing.
    many = [
        exchange(client=7, number=n, instance="1", kind="slow", written_ns=at(2.4), ended_ns=at(3 + n / 100))
        for n in range(100)
    ]
    bus = EventBus()
    observation = observed(bus)
    events: list[Event] = [Started(START_NS, kinds=KINDS), *OTHERS[:19], *BEFORE, *REMOVAL, *many, Ended(at(10))]
    for event in sorted(events, key=when):
        bus.deliver(type(event), [event])
    assert observation.changes[0].silence == 0
    assert is_effective(observation.changes[0]) == (False, "backend 0 still answers")


def test_a_backend_that_comes_and_goes_again_has_a_drain_each_time() -> None:
    again = [
        change(Phase.REQUESTED, at(3), "add", "0", 2),
        change(Phase.APPLIED, at(3.1), "add", "0", 2),
        change(Phase.REQUESTED, at(5), "remove", "0", 3),
        change(Phase.APPLIED, at(5.5), "remove", "0", 3),
    ]
    _drain, drained, observation = told(
        *arrives("0-0", 1, 8), ends(0, 1, 8.01), *again, *arrives("1-0", 4, 7), ends(1, 4, 7.01)
    )
    first, _added, second = observation.changes
    assert (first.drained_ns, second.drained_ns) == (at(8.01), at(7.01))
    assert [(event.number, event.at_ns) for event in drained] == [(3, at(7.01)), (1, at(8.01))]


def test_the_terminal_says_when_it_was() -> None:
    line = drained_line(Drained(3, "remove backend 0", at(4.5), {"stream": 2, "slow": 1}), START_NS)
    assert line == "   4.500000  change 3: remove backend 0 drained of 2 stream, 1 slow"
    _drain, _drained, observation = told(*arrives("0-0", 1, 6), ends(0, 1, 6.5, "truncated"))
    lines = [line for line in summary_lines(observation, judge(observation), "it") if "drained" in line]
    assert lines == [f"    {lines[0].strip()}"]
    assert lines[0].endswith("drained after 4500.0 ms (1 stream, 1 failure)")


@some_examples
@given(st.data())
def test_it_is_the_same_in_whatever_order_and_pieces_it_is_told(data: st.DataObject) -> None:
    events: list[Event] = []
    for client in range(7):
        sent_s = data.draw(st.sampled_from((1.0, 2.2, 2.6, 4.0)))
        lasts_s = data.draw(st.sampled_from((0.5, 3.0, 8.0)))
        events.append(ends(client, sent_s, sent_s + lasts_s, data.draw(st.sampled_from(("", "timeout")))))
        if data.draw(st.booleans()):
            after_s = data.draw(st.sampled_from((0.4, 2.9, 3.2, 0)))
            events += arrives(f"{client}-0", sent_s + 0.1, after_s and sent_s + 0.1 + after_s)
    whole = story(*events)
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    assert _figures(_delivered(whole, chance)) == _figures(_delivered(whole, None))


def _delivered(events: Sequence[Event], chance: random.Random | None) -> Observation:
    """Return what is observed of a history that is told as a whole, or in an order and in pieces of chance."""
    pieces: list[tuple[type, list[Event]]] = []
    history = History(lambda topic, some: pieces.append((topic, list(some))), lambda: START_NS)
    here = history.here
    for event in events if chance is None else chance.sample(list(events), len(events)):
        if isinstance(event, Exchange):
            here.exchanged(event)
        elif isinstance(event, Arrival):
            here.arrived(event)
        else:
            here.publish(event)
    history.hand_on(FOREVER_NS)
    if chance is None:
        return observe(pieces)
    return observe((topic, [event]) for topic, some in pieces for event in some)


def _figures(observation: Observation) -> object:
    [removal] = observation.changes
    drain = removal.drain
    assert drain is not None
    return drain.drained_ns, drain.kinds, drain.failed, drain.left, removal.silence, removal.stragglers

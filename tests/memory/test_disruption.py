"""For how long a change kept clients from being served, for new and for reused connections, and who connected at once."""

from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.events import Ended, Event, Exchange, Phase, Started
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.disruption import Disruption
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import observe
from proxyreload.verdict.tally import kinds_of

from .clocks import START_NS, some_examples
from .happened import change, exchange
from .observing import run_json


def at(ms: float) -> int:
    return START_NS + ns(ms / 1000)


def sent(ms: float, ended_ms: float, failure: str = "", carried: int = 1, kind: str = "get", **more: Any) -> Exchange:
    """Return an exchange that was sent and ended then."""
    times = {"due_ns": at(ms), "written_ns": at(ms), "first_byte_ns": at(ended_ms), "ended_ns": at(ended_ms)}
    return attrs.evolve(exchange(), failure=failure, carried=carried, kind=kind, **{**times, **more})


def disrupted(*exchanges: Exchange, batches: int = 1) -> Disruption:
    """Return what a window that began at 0 has of them, delivered in so many batches at least."""
    told = Disruption(at(0))
    ordered = sorted(exchanges, key=lambda each: each.ended_ns)
    size = max(1, len(ordered) // batches)
    for first in range(0, len(ordered), size):
        batch = ordered[first : first + size]
        told.ended(batch, kinds_of(batch), [each for each in batch if each.failure])
    return told


def test_the_longest_time_without_a_success_begins_with_the_change() -> None:
    told = disrupted(sent(30, 40), sent(41, 45), sent(60, 70), sent(71, 72)).kinds["get"]
    assert told.as_run() == {"without_success_us": 40_000, "new_us": 0, "reused_us": 0}


def test_failures_of_new_and_of_reused_connections_are_told_apart() -> None:
    told = disrupted(
        sent(1, 2),
        sent(10, 11, "closed before response, reused"),
        sent(12, 13, "refused", carried=0),
        sent(20, 21, "refused", carried=0),
        sent(19, 22, "closed before response, reused"),
        sent(25, 26),
        sent(30, 31, "refused", carried=0),
        sent(32, 33, carried=0),
        sent(40, 41, "refused", carried=0),
    ).kinds["get"]
    assert told.as_run() == {"without_success_us": 24_000, "new_us": 19_000, "reused_us": 12_000}


def test_a_success_of_what_was_sent_before_it_ends_no_outage() -> None:
    told = disrupted(sent(10, 11, "refused", carried=0), sent(5, 12, carried=0), sent(14, 15, "refused", carried=0))
    assert told.kinds["get"].new.longest_ns == 5 * NS_PER_MS


def test_what_was_turned_away_is_neither() -> None:
    told = disrupted(sent(1, 2), sent(3, 9, "turned away"), sent(10, 20)).kinds["get"]
    assert told.as_run() == {"without_success_us": 18_000, "new_us": 0, "reused_us": 0}


outcomes = st.tuples(
    st.integers(0, 50),
    st.integers(0, 20),
    st.sampled_from(["", "", "refused", "turned away"]),
    st.integers(0, 1),
    st.sampled_from(["get", "post"]),
)


@given(st.lists(outcomes, min_size=1, max_size=30, unique_by=lambda each: each[0] + each[1]), st.integers(2, 30))
@some_examples
def test_it_is_the_same_in_whatever_pieces_it_comes(made: list[tuple[int, int, str, int, str]], batches: int) -> None:
    exchanges = [sent(start, start + took, failure, carried, kind) for start, took, failure, carried, kind in made]
    assert disrupted(*exchanges).as_run() == disrupted(*exchanges, batches=batches).as_run()


def test_connections_of_the_busiest_tenth_of_a_second_are_counted() -> None:
    told = Disruption(at(0))
    told.opened([at(ms) for ms in (-5, 1, 2, 3, 95, 150, 160, 170, 180, 190, 249, 251, 70_000)])
    assert told.storm == 6


def test_it_stands_with_the_change_and_is_said_where_something_was_lost(tmp_path: Path) -> None:
    failed = sent(120, 125, "refused", carried=0, client=3, connection=1, connect_ns=NS_PER_MS, status=0, instance="")
    history: list[Event] = [
        Started(START_NS, kinds={"3": "get"}),
        sent(50, 51),
        change(Phase.REQUESTED, at(100), "reload", "", 1),
        change(Phase.APPLIED, at(110), "reload", "", 1),
        failed,
        sent(130, 135, carried=0, client=3, connection=2, connect_ns=NS_PER_MS),
        Ended(at(200)),
    ]
    observation = observe((type(event), [event]) for event in history)
    (told,) = run_json(observation, tmp_path)["changes"]
    assert told["disruption"] == {
        "kinds": {"get": {"without_success_us": 35_000, "new_us": 5_000, "reused_us": 0}},
        "connections_opened_100ms": 2,
    }
    lines = list(summary_lines(observation, judge(observation), "x"))
    assert "    longest without a success: get 35.0 ms; new connections failed for 5.0 ms" in lines
    assert "    2 connections opened in the busiest 100 ms" in lines

"""What the terminal says of the fates and causes of what was lost."""

import json
from pathlib import Path

import attrs
import pytest

from proxyreload.history.events import Event, Phase, RecordLost
from proxyreload.ledger.fate import Fate
from proxyreload.record.runfile import RunFile
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import judge

from .happened import change, exchange, failed
from .test_ledger import LOST, SENT, STARTED, Told, at, visit


def lines(told: Told) -> list[str]:
    return list(summary_lines(told.observation, judge(told.observation), "it"))


def test_where_nothing_is_lost_nothing_is_said() -> None:
    assert not [line for line in lines(Told.of(exchange(**SENT), visit("0-0", 1.5))) if "fates" in line]


def test_fates_and_causes_are_said_in_words() -> None:
    told = Told.of(
        LOST,
        failed("truncated", number=1, written_ns=at(3), ended_ns=at(4)),
        visit("0-1", 3.5),
        failed("timeout", number=2, written_ns=at(5), ended_ns=at(6)),
        RecordLost("1", at(4.5), at(7)),
    )
    said = lines(told)
    assert (
        "fates of the lost: 1 never reached a backend (safe to repeat), 1 were carried out (their clients cannot know), "
        "1 nobody knows: a backend died before it had told"
    ) in said
    assert "causes: 1 keep-alive race, 1 proxy cut it, 1 proxy stalled" in said


def test_of_other_peoples_backends_it_is_said_that_nobody_knows() -> None:
    told = Told.of(LOST, started=attrs.evolve(STARTED, hosted=False))
    assert "fates: not known, for the backends are somebody else's" in lines(told)
    assert "causes: 1 keep-alive race" in lines(told)


@pytest.mark.parametrize("hosted", [True, False])
def test_the_run_file_counts_fates_where_the_backends_are_ours(tmp_path: Path, *, hosted: bool) -> None:
    events: list[Event] = [change(Phase.REQUESTED, at(0.5)), exchange(number=1, **SENT), visit("0-1", 1.5), LOST]
    told = Told.of(*events, started=attrs.evolve(STARTED, hosted=hosted))
    file = RunFile(tmp_path / "run.json")
    file.open({"proxy_version": "1"})
    file.finish(told.observation, judge(told.observation))
    run = json.loads(file.path.read_text(encoding="utf-8"))
    counted = {fate.value: 0 for fate in Fate} | {"answered_once": 1, "lost_never_arrived": 1}
    summary, (changed,) = run["summary"], run["changes"]
    ledgers = [summary["ledger"], summary["kinds"]["get"]["ledger"], changed["kinds"]["get"]["ledger"]]
    assert ledgers == [counted if hosted else None] * 3
    assert summary["causes"] == {"keep-alive race": 1}


def test_what_is_carried_out_again_in_a_window_takes_nothing_from_it_that_it_has_not() -> None:
    """Written before the change, which makes the proxy repeat it."""
    sent = {"written_ns": at(1), "due_ns": at(1), "ended_ns": at(3)}
    told = Told.of(change(Phase.REQUESTED, at(1.5)), visit("0-0", 1.1), visit("0-0", 2), exchange(**sent))
    (changed,) = told.observation.changes
    for tally in (changed.kinds.by_kind["get"], told.observation.kinds.by_kind["get"]):
        ledger = tally.ledger()
        assert (ledger["answered_once"], ledger["answered_twice"]) == (0, 1)

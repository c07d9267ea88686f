"""Mechanisms by kinds of traffic, a mark for each condition."""

from collections import Counter
from io import StringIO

import attrs
from rich.console import Console

from proxyreload.comparison.bykind import MARKS, KindTable, print_by_kind, told, verdict_of
from proxyreload.comparison.condition import Condition
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.trial import Trial
from proxyreload.verdict.judgement import Verdict

from .compared import RUN, trial

CANNOT = MARKS["cannot"]
NEAR, FAR = Condition("near"), Condition("far")


def row(name: str, condition: Condition, **verdicts: tuple[Verdict, int]) -> Row:
    lost = sum(failures for _verdict, failures in verdicts.values())
    made = attrs.evolve(
        trial(Verdict.LOSSY if lost else Verdict.SEAMLESS, lost),
        failures=Counter({"timeout": lost}) if lost else Counter(),
        kinds={kind: (100, failures) for kind, (_verdict, failures) in verdicts.items()},
        verdicts={kind: verdict for kind, (verdict, _failures) in verdicts.items()},
        left_out={"grpc": "it speaks HTTP/1.1"},
    )
    return row_of(name, [made], condition=condition)


ROWS = [
    row("fake:quick", NEAR, websocket=(Verdict.SEAMLESS, 0), get=(Verdict.RACY, 0)),
    row("fake:quick", FAR, websocket=(Verdict.LOSSY, 3), get=(Verdict.GRACEFUL, 0)),
    row_of("fake:old", [Trial(1, RUN, why="it has no way", cannot=True)], condition=NEAR),
    row_of("fake:gone", [Trial(1, RUN, why="it is not there")], condition=FAR),
]


def test_each_cell_has_a_mark_for_each_condition_with_what_was_lost() -> None:
    assert [*KindTable(ROWS).lines()] == [
        ["mechanism", "get", "grpc", "websocket"],
        ["fake:quick", "△ ○", f"{CANNOT} {CANNOT}", "● ✗3"],
        ["fake:old", CANNOT, CANNOT, CANNOT],
        ["fake:gone", "·", "·", "·"],
    ]


def test_the_legend_says_what_each_mark_is_and_whose() -> None:
    marks, order = KindTable(ROWS).legend()
    assert all(f"{mark} {verdict}" in marks for verdict, mark in MARKS.items())
    assert order == "in each cell: near; far"
    assert len(KindTable(ROWS[:1]).legend()) == 1


def test_every_verdict_has_a_mark_of_its_own_shape() -> None:
    assert {verdict.value for verdict in Verdict} < MARKS.keys()
    assert len(set(MARKS.values())) == len(MARKS)


def test_what_cannot_be_carried_is_none_of_what_was_sent() -> None:
    assert [verdict_of(ROWS[0], kind) for kind in ("get", "grpc", "idle")] == ["racy", "cannot", ""]
    assert told(ROWS[1], "websocket") == "✗3"


def test_of_one_kind_alone_nothing_is_printed() -> None:
    file = StringIO()
    print_by_kind(Console(file=file), [row_of("fake:quick", [trial(Verdict.SEAMLESS)])])
    assert file.getvalue() == ""
    print_by_kind(Console(file=file, width=100), ROWS)
    assert "in each cell: near; far" in file.getvalue()

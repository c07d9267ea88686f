"""What a report shows of what lives long: ends by a protocol's word, messages, old processes, drains."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxyreload.errors import UsageError
from proxyreload.record.paths import RunPaths
from proxyreload.record.rundata import read_record
from proxyreload.report.connections import CUT, ENDINGS, OPEN, front_connections
from proxyreload.report.livedwords import NAMED_AT_MOST, lived_words
from proxyreload.report.outliving import colour_of, lived_on
from proxyreload.report.page import page
from proxyreload.report.palette import Fill
from proxyreload.report.section import Budget, Panel, Section, section
from proxyreload.report.story import Story, read_story
from proxyreload.report.strips import END_MARKS

from .test_report_page import Page
from .written import Row, change, lost, row, run_content, write_rows, write_run

S = 1_000_000
DRAINED = {"at_us": 5 * S, "under_way": {"stream": 2, "slow": 1}, "failed": 1, "left": {}}
LEFT = {"at_us": None, "under_way": {"stream": 2}, "failed": 0, "left": {"stream": 1}}
GENERATIONS: list[dict[str, object]] = [
    {
        "number": 0,
        "change": None,
        "since_us": 0,
        "replaced_us": 2_100_000,
        "until_us": 4 * S,
        "on_it": [{"at_us": 2_200_000, "clients": {"stream": 2, "get": 1}}, {"at_us": 3 * S, "clients": {"stream": 2}}],
        "connections": [[0, 0], [1, 0]],
    },
    {"number": 1, "change": 1, "since_us": 2_100_000, "on_it": [], "connections": [[1, 1]]},
]
CLOSED_BY = [[0, 0, 2_500_000, "goaway"], [1, 0, 3 * S, "close frame"], [1, 1, 4 * S, "reset"]]
PACES: list[dict[str, object]] = [
    {"client": 0, "connection": 0, "request": 0, "since_us": 0, "slice_us": S, "messages": [10, 0, 5]}
]
REMOVE = {"action": "remove", "instance": "0"}
ROWS = [
    row(S, 0, connection=0),
    row(S, 1, connection=0),
    row(3 * S, 0, connection=1),
    row(3_500_000, 1, connection=1),
    row(5 * S, 1, connection=2),
    lost(5_500_000, 1, "reset mid-response", connection=2),
    lost(5_500_000, 0, "truncated", connection=1),
]


def story(folder: Path, *changes: dict[str, object], rows: list[Row] = ROWS, **summary: object) -> Story:
    content = run_content(summary, changes=list(changes))
    run = write_run(folder / "run.json", content)
    return read_story(RunPaths(write_rows(folder / "data.csv", rows), run))


def shown(told: Story) -> Section:
    return section(told, 1, Budget())


def renderers(panel: Panel) -> list[Any]:
    """Return what is drawn in a panel."""
    return list(panel.drawn.renderers)


def test_each_end_has_a_mark_of_its_own_by_shape_and_colour() -> None:
    looks = [(shape, colour) for shape, _words, colour in END_MARKS.values()]
    assert len({shape for shape, _colour in looks}) == len(looks)
    known = {name: look for name, look in zip(END_MARKS, looks, strict=True) if name != "closed"}
    assert len({colour for _shape, colour in known.values()}) == len(known)
    assert set(END_MARKS) | {OPEN} == set(ENDINGS)


def test_how_a_connection_ended_is_told_by_the_run_file_and_by_the_class_of_a_failure(tmp_path: Path) -> None:
    front = front_connections(story(tmp_path, closed_by=CLOSED_BY))
    told = [
        (int(client), int(number), ENDINGS[ending], int(ended_us))
        for client, number, ending, ended_us in zip(
            front.client, front.number, front.ending, front.ended_us, strict=True
        )
    ]
    assert told == [
        (0, 0, "goaway", 2_500_000),
        (0, 1, CUT, 5_500_000),
        (1, 0, "close frame", 3 * S),
        (1, 1, "reset", 4 * S),
        (1, 2, "reset", 5_500_000),
    ]
    assert front.broke_off.tolist() == [False, True, False, True, True]


def test_the_legend_has_them_where_there_are_some(tmp_path: Path) -> None:
    [front] = [panel for panel in shown(story(tmp_path, closed_by=CLOSED_BY)).panels if panel.name == "front"]
    labels = {key.label: key.shape for key in front.keys}
    assert (labels["GOAWAY"], labels["close frame"], labels["reset"]) == ("triangle", "inverted_triangle", "asterisk")
    assert "How they ended: 1 cut, 1 goaway, 1 close frame, 2 reset." in front.caption
    [front] = [panel for panel in shown(story(tmp_path, rows=ROWS[:3])).panels if panel.name == "front"]
    assert not {"GOAWAY", "close frame", "reset"} & {key.label for key in front.keys}


def test_below_the_strips_is_the_generation_that_held_each_connection(tmp_path: Path) -> None:
    [front] = [panel for panel in shown(story(tmp_path, generations=GENERATIONS)).panels if panel.name == "front"]
    keys = {key.label: key.colour for key in front.keys}
    assert keys["held by generation 0"] == colour_of(0) != colour_of(1) == keys["held by generation 1"]
    bands = {
        each.glyph.fill_color: len(each.data_source.data["left"])
        for each in renderers(front)
        if getattr(each.glyph, "fill_color", None) in (colour_of(0), colour_of(1))
    }
    assert bands == {colour_of(0): 2, colour_of(1): 1}


@pytest.mark.parametrize("generations", [[], GENERATIONS[:1]])
def test_of_one_generation_nothing_is_said(tmp_path: Path, generations: list[dict[str, object]]) -> None:
    told = shown(story(tmp_path, generations=[{**each, "replaced_us": None} for each in generations]))
    [front] = [panel for panel in told.panels if panel.name == "front"]
    assert not [key for key in front.keys if "generation" in key.label]
    assert not [panel for panel in told.panels if panel.name == "lived"]


def test_a_strip_is_lighter_where_fewer_messages_came(tmp_path: Path) -> None:
    [front] = [panel for panel in shown(story(tmp_path, paces=PACES)).panels if panel.name == "front"]
    [slices] = [each.data_source.data for each in renderers(front) if each.data_source.name == "paces"]
    assert slices["left"].tolist() == [0, 1, 2]
    alphas = slices["alpha"].tolist()
    assert alphas[0] == 0 < alphas[2] < alphas[1]
    assert "The lighter a strip, the fewer messages came then." in front.caption
    [front] = [panel for panel in shown(story(tmp_path)).panels if panel.name == "front"]
    assert "lighter" not in front.caption


def test_what_lived_on_has_bars_and_is_told_in_words(tmp_path: Path) -> None:
    changes = [
        change(1, 2 * S, action="reload", instance=""),
        change(2, 3 * S, **REMOVE, drained=DRAINED),
        change(3, 4 * S, **{**REMOVE, "instance": "1"}, drained=LEFT),
    ]
    told = story(tmp_path, *changes, generations=GENERATIONS)
    rows = lived_on(told, {"0": Fill("#123456")})
    assert [(each.label, each.begins_us, each.ends_us) for each in rows] == [
        ("gen. 0", 2_100_000, 4 * S),
        ("drain 0", 3_001_000, 5 * S),
        ("drain 1", 4_001_000, 6 * S),
    ]
    assert [each.fill.colour for each in rows[:2]] == [colour_of(0), "#123456"]
    [panel] = [panel for panel in shown(told).panels if panel.name == "lived"]
    assert panel.caption.endswith(
        "Generation 0 lived on for 1.9 s after change 1; on it were 2 stream, 1 get, at the last look 2 stream. "
        "Backend 0 drained for 2.0 s after change 2: 2 stream, 1 slow, 1 of them failed. "
        "Backend 1 drained still when the run ended: 1 stream of 2 stream."
    )


def test_what_ends_at_once_has_no_bar(tmp_path: Path) -> None:
    soon = {"at_us": 3_010_000, "under_way": {"get": 2}, "failed": 0, "left": {}}
    told = story(tmp_path, change(2, 3 * S, **REMOVE, drained=soon))
    assert lived_on(told, {}) == []
    assert not [panel for panel in shown(told).panels if panel.name == "lived"]


def test_of_many_only_some_are_named(tmp_path: Path) -> None:
    changes = [change(n, n * 100_000, **REMOVE, drained=DRAINED) for n in range(1, 40)]
    many: list[dict[str, object]] = [
        {**GENERATIONS[0], "number": n, "change": n or None, "connections": [], "on_it": [], "until_us": None}
        for n in range(30)
    ]
    told = story(tmp_path, *changes, generations=many)
    assert len(lived_on(told, {})) == 24
    assert told.record is not None
    words = lived_words(told.record)
    assert words.count(" drained for ") == words.count(" lived on for ") == NAMED_AT_MOST
    assert "So did 24 more generations." in words
    assert "So did 33 more removed backends." in words
    assert "Generation 0 lived on for 3.9 s after change 1, to the end of the run; no client was seen on it." in words


def test_the_table_of_changes_says_when_each_was_drained(tmp_path: Path) -> None:
    changes = [
        change(1, 2 * S),
        change(2, 3 * S, **REMOVE, drained=DRAINED),
        change(3, 4 * S, **REMOVE, drained=LEFT),
    ]
    run = write_run(tmp_path / "run.json", run_content({}, changes=changes))
    text = page([RunPaths(write_rows(tmp_path / "data.csv", ROWS), run)])
    table = text.partition("<caption>The changes</caption>")[2].partition("</table>")[0]
    assert "drained after, ms" in table
    assert [not re.search(r"2000\.0|not yet", each) for each in table.split("<tr>")[2:]] == [True, False, False]
    assert '<td class="number">2000.0</td>' in table
    assert '<td class="number">not yet</td>' in table
    assert Page(text).figures["verdict"] == "seamless"


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("closed_by", [[0, 0, 1]], "summary.closed_by are not clients, connections, µs and ends"),
        ("closed_by", [[0, 0, 1, "<script>"]], "summary.closed_by are not clients, connections, µs and ends"),
        ("closed_by", [[0, -1, 1, "reset"]], "summary.closed_by are not whole numbers"),
        ("generations", [{"number": 1, "since_us": 0}], "summary.generations are not numbered from 0"),
        ("generations", [{"number": 0, "since_us": 0, "connections": [[1]]}], "connections are not whole numbers"),
        ("paces", [{**PACES[0], "messages": ["x"]}], "messages are not whole numbers"),
        ("paces", [{**PACES[0], "slice_us": 0}], "slice_us is no length of time"),
    ],
)
def test_what_is_none_of_that_is_one_line(tmp_path: Path, key: str, value: object, complaint: str) -> None:
    run = write_run(tmp_path / "run.json", run_content({key: value}))
    with pytest.raises(UsageError, match=complaint.replace(".", r"\.")):
        read_record(run)


def test_a_drain_that_is_none_is_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run.json", run_content(changes=[change(1, S, drained={"at_us": "x"})]))
    with pytest.raises(UsageError, match="at_us is not a whole number"):
        read_record(run)


def test_each_goaway_is_marked_when_it_was_told(tmp_path: Path) -> None:
    goaways = [{"client": 0, "time_us": 2 * S}, {"client": 0, "time_us": 2_500_000}, {"client": 9, "time_us": S}]
    [front] = [panel for panel in shown(story(tmp_path, goaways=goaways)).panels if panel.name == "front"]
    [marks] = [each.data_source.data for each in renderers(front) if each.data_source.name == "goaways"]
    assert (marks["x"], marks["y"]) == ([2.0, 2.5], [0, 0])
    assert "GOAWAY" in {key.label for key in front.keys}

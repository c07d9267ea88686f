"""What a report tells of the kinds of traffic: who sent what, when they sent together, what became of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyreload.errors import UsageError
from proxyreload.plan.scenario import parse
from proxyreload.record.paths import RunPaths
from proxyreload.record.rundata import read_record
from proxyreload.report.connections import back_connections, front_changed, front_connections, segments
from proxyreload.report.curves import measured
from proxyreload.report.groups import Group, Volley, figures_of, groups, several, volleys
from proxyreload.report.losses import classes, failed, losses
from proxyreload.report.page import page
from proxyreload.report.section import Budget, Section, section
from proxyreload.report.story import Story, read_story
from proxyreload.report.words import kind_lines, limit, missing_text, scenario_toml, sentence

from .written import Row, change, lost, row, run_content, write_rows, write_run

S = 1_000_000
TRAFFIC: list[dict[str, Any]] = [
    {"kind": "get", "clients": 2, "rate": None, "rtt_ms": 0.0},
    {"kind": "get", "clients": 1, "rate": 20.0, "rtt_ms": 20.0},
    {"kind": "aimed", "clients": 8, "rate": None, "rtt_ms": 20.0, "gap": [1.0, 3.0]},
    {"kind": "download", "clients": 1, "rate": 500_000.0, "rtt_ms": 0.0, "size": 1_000_000},
    {"kind": "fresh", "clients": 1, "rate": 10.0, "rtt_ms": 0.0, "probe": True},
]


def kind(exchanges: int, failures: int = 0, **more: object) -> dict[str, object]:
    """Return what a run file says of a kind."""
    told = {"timeout": failures} if failures else {}
    verdict = "lossy" if failures else "seamless"
    return {"verdict": verdict, "reasons": [], "exchanges": exchanges, "failures": told, "aimed": False, **more}


KINDS = {"get": kind(30), "fresh": kind(2), "aimed": kind(24, 6, aimed=True), "download": kind(1)}


def rows() -> list[Row]:
    """Return two clients of `get`, one far away, eight aimed ones that send together at 2 s, one download, the probe."""
    told = [row(t * 100_000, client) for client in (0, 1) for t in range(1, 50)]
    told += [row(t * S, 2, due=t * S - 20_000) for t in range(1, 6)]
    for client in range(3, 11):
        told.append(row(50_000, client, kind="aimed", connection=0))
        at_us = 2 * S + client * 100
        failing = client < 9
        made = lost if failing else row
        told.append(made(at_us + 500, client, kind="aimed", written=at_us, connection=0, carried=1))
        told.append(row(4 * S + client * 150_000, client, kind="aimed", connection=1, carried=1))
    told.append(row(5 * S, 11, kind="download", written=1 * S, due=1 * S))
    told += [row(S, 12, kind="fresh", connection=0), row(2 * S, 12, kind="fresh", connection=1)]
    return sorted(told, key=lambda each: each["time"])  # type: ignore[arg-type, return-value]


def written(folder: Path, told: Sequence[Row], **more: Any) -> RunPaths:
    failures = sum(each["failure"] != "" for each in told)
    summary = {
        "exchanges": len(told),
        "success": len(told) - failures,
        "failure": failures,
        "verdict": "lossy",
        "kinds": KINDS,
        **more,
    }
    content = run_content(summary, traffic=TRAFFIC, changes=[change(1, 2 * S - 1000)])
    return RunPaths(write_rows(folder / "data.csv", told), write_run(folder / "run.json", content))


@pytest.fixture(name="story")
def _story(tmp_path: Path) -> Story:
    return read_story(written(tmp_path, rows()))


def test_the_groups_are_those_that_were_recorded(story: Story) -> None:
    told = groups(story)
    assert [(group.title, group.first, group.clients, group.aimed) for group in told] == [
        ("get", 0, 2, False),
        ("get, 20 ms away", 2, 1, False),
        ("aimed, 20 ms away", 3, 8, True),
        ("download", 11, 1, False),
        ("fresh, the probe", 12, 1, False),
    ]
    assert several(told)
    assert story.probe == 12


def test_without_a_run_file_they_are_told_by_their_rows(tmp_path: Path) -> None:
    told = groups(read_story(RunPaths(write_rows(tmp_path / "data.csv", rows()))))
    assert [(group.kind, group.first, group.clients, group.probe) for group in told] == [
        ("get", 0, 3, False),
        ("aimed", 3, 8, False),
        ("download", 11, 1, False),
        ("fresh", 12, 1, True),
    ]
    bare = groups(
        read_story(
            RunPaths(
                write_rows(
                    tmp_path / "old.csv", rows(), ("time", "client", "status", "instance", "front port", "back port")
                )
            )
        )
    )
    assert [(group.kind, group.clients) for group in bare] == [("", 13)]
    assert not several(bare)


def test_figures_of_a_group_are_its_rows(story: Story) -> None:
    near, far, aimed, *_rest = (figures_of(story, group) for group in groups(story))
    assert (near.exchanges, near.failures, near.p50_us, near.p99_us) == (98, 0, 300, 300)
    assert (far.exchanges, far.p50_us) == (5, 20_000)
    assert (aimed.exchanges, aimed.failures) == (24, 6)
    assert figures_of(story, Group("get", 99, 1)).p50_us is None


def test_a_volley_is_what_aimed_clients_sent_together_but_for_their_first_requests(story: Story) -> None:
    _near, _far, aimed, *_rest = groups(story)
    assert volleys(story, aimed) == [Volley(2 * S + 300, 8, 6)]
    assert volleys(story, Group("aimed", 3, 8)) == []
    assert volleys(story, Group("aimed", 99, 8, aimed=True)) == []


def test_latencies_and_changed_connections_are_of_the_clients_asked_for_by_number(story: Story) -> None:
    assert set(story.rows.client[measured(story)].tolist()) == {0, 1}
    front = front_connections(story)
    assert len(front) > 13
    assert front_changed(story, front) == 0
    assert int(back_connections(story).changed.sum()) == 0
    assert missing_text(story, 0, 0) == ""


def test_when_a_connection_that_rested_was_closed_is_as_recorded(tmp_path: Path) -> None:
    told = [row(S, 0, connection=0), row(5 * S, 0, connection=1), row(S, 1, connection=0)]
    story = read_story(written(tmp_path, told, closed_idle=[[0, 0, 2 * S], [1, 0, 3 * S], [7, 7, 1]]))
    front = front_connections(story)
    assert front.ended_us.tolist() == [2 * S, 6 * S, 3 * S]
    assert front.ends(story.plain(front.client)) == {"idle": 2, "open": 1}


def test_each_exchange_has_a_stretch_of_its_own_where_there_are_few(tmp_path: Path) -> None:
    told = [row(t * S, 0, written=(t - 1) * S + 1) for t in range(1, 6)]
    story = read_story(written(tmp_path, told))
    found = segments(story, front_connections(story), np.arange(1), 100)
    assert list(zip(found.begin_us.tolist(), found.end_us.tolist(), strict=True)) == [
        ((t - 1) * S + 1, t * S) for t in range(1, 6)
    ]
    rests = [row(t * S, 0) for t in range(1, 6)] + [row(5 * S + t * 1000, 0) for t in range(1, 200)]
    story = read_story(written(tmp_path, rests))
    found = segments(story, front_connections(story), np.arange(1), 100)
    assert len(found.begin_us) == 5, "rests are seen, however usual they are"


def test_what_was_aimed_stands_apart_among_the_failures(tmp_path: Path) -> None:
    story = read_story(written(tmp_path, [*rows(), lost(3 * S, 0)]))
    failure = "reset before response, reused"
    assert classes(story) == [(f"{failure} (aimed)", 6), (failure, 1)]
    told = losses(story, failed(story))
    assert [(loss.kind, loss.aimed, loss.named) for loss in told[-2:]] == [
        ("aimed", True, f"{failure} (aimed)"),
        ("get", False, failure),
    ]


def made(story: Story) -> Section:
    return section(story, 1, Budget())


def test_each_group_has_strips_of_its_own(story: Story) -> None:
    panels = {panel.name: panel for panel in made(story).panels}
    assert [panels[name].title for name in panels if name.startswith("front")] == [
        "Connections of get",
        "Connections of get, 20 ms away",
        "Connections of aimed, 20 ms away",
        "Connections of download",
        "Connections of fresh, the probe",
    ]
    aimed = panels["front-2"]
    assert "8 clients: 24 requests, 6 failures" in aimed.caption
    assert aimed.caption.endswith(
        "Volleys, each at the first sign that connections are being closed: 8 at 2.000 s (6 lost)."
    )
    assert [key.label for key in aimed.keys] == ["a volley"]
    assert "How they ended" not in panels["front-4"].caption, "the probe closes its connections itself"


def test_one_group_alone_has_the_strips_it_always_had(tmp_path: Path) -> None:
    paths = RunPaths(
        write_rows(tmp_path / "data.csv", [row(1000), row(1000, 1), row(1000, 2, connection=0)]),
        write_run(tmp_path / "run.json", run_content(traffic=[TRAFFIC[0], TRAFFIC[-1]])),
    )
    told = made(read_story(paths))
    assert [panel.title for panel in told.panels if panel.name.startswith("front")] == ["The clients' connections"]
    assert told.kinds == []


def test_the_page_has_a_line_for_each_kind(tmp_path: Path) -> None:
    paths = written(tmp_path, rows())
    text = page([paths])
    assert [text.count(f'data-kind="{name}"') for name in KINDS] == [1, 1, 1, 1]
    assert paths.run is not None
    told = {line.name: line.clients for line in kind_lines(read_record(paths.run))}
    assert told == {"get": "2, 1 at 20 ms", "fresh": "the probe", "aimed": "8 at 20 ms", "download": "1"}
    assert "are they of one run?" not in text


def test_the_sentence_tells_what_was_aimed_apart_and_which_kinds_lost(tmp_path: Path) -> None:
    reasons = ["7 failures: 7 timeout", "get lost 1 of 30; for proof: aimed lost 6 of 24; download lost nothing"]
    kinds = {**KINDS, "get": kind(30, 1)}
    numbers = {"exchanges": 57, "success": 50, "failure": 7}
    summary = {"verdict": "lossy", "reasons": reasons, "kinds": kinds, **numbers}
    told = read_record(write_run(tmp_path / "run.json", run_content(summary, traffic=TRAFFIC)))
    assert sentence(told) == (
        "1 of 33 requests failed, and 6 of 24 that were aimed at the closing of connections, while it was changed "
        "once. By kind of traffic: get lost 1 of 30; for proof: aimed lost 6 of 24; download lost nothing."
    )
    assert limit(told) == ""
    clean = {**summary, "kinds": KINDS, "failure": 6, "reasons": reasons[1:]}
    told = read_record(write_run(tmp_path / "run.json", run_content(clean, traffic=TRAFFIC)))
    assert limit(told).startswith("0 failures in 33 exchanges: ")


def test_the_scenario_has_the_traffic_beside_that_of_the_options(tmp_path: Path) -> None:
    told = read_record(write_run(tmp_path / "run.json", run_content(traffic=TRAFFIC)))
    again = parse(scenario_toml(told), "again.toml")
    assert [(step.action, step.at_s) for step in again.steps] == [("add", 1.5), ("pause", None)]
    assert again.groups is not None
    sent = [
        (group.kind.name, group.clients, group.rate_per_s, group.rtt_s, dict(group.values)) for group in again.groups
    ]
    assert sent == [
        ("get", 1, 20.0, 0.02, {}),
        ("aimed", 8, None, 0.02, {"gap": (1.0, 3.0), "streams": 0}),
        ("download", 1, None, 0.0, {"size": 1_000_000, "rate": 500_000}),
    ]
    steps = {"title": "t", "backends": [0], "steps": []}
    alone = read_record(write_run(tmp_path / "run.json", run_content(traffic=TRAFFIC, scenario=steps)))
    assert len(parse(scenario_toml(alone), "again.toml").groups or ()) == 3


def test_what_the_mechanism_cannot_carry_was_not_sent(tmp_path: Path) -> None:
    left_out = {"kind": "grpc", "clients": 0, "cannot": "it speaks no HTTP/2 to the backends"}
    told = read_record(write_run(tmp_path / "run.json", run_content(traffic=[TRAFFIC[0], left_out, TRAFFIC[-1]])))
    assert [sent.kind for sent in told.traffic] == ["get", "fresh"]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"traffic": [{"kind": 1, "clients": 1}]}, "traffic 1: kind is not a text"),
        ({"traffic": [{"kind": "get", "clients": -1}]}, "traffic 1: clients is not a whole number"),
        ({"traffic": [{"kind": "get", "clients": 1, "gap": "x"}]}, "traffic 1: gap is no number, and no range"),
        ({"traffic": [{"kind": "get", "clients": 1, "gap": [1, 2, 3]}]}, "traffic 1: gap is no number, and no range"),
        ({"traffic": [{"kind": "get", "clients": 1, "probe": 1}]}, "traffic 1: probe is not true or false"),
        ({"traffic": [{}] * 101}, "traffic has more than 100 entries"),
    ],
)
def test_what_is_wrong_with_the_traffic_is_told(tmp_path: Path, spoilt: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_record(write_run(tmp_path / "run.json", run_content(**spoilt)))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"kinds": {"get": 1}}, "summary.kinds.get is not a table"),
        ({"kinds": {"get": kind(1, aimed="x")}}, "summary.kinds.get.aimed is not true or false"),
        ({"closed_idle": [[1, 2]]}, "closed_idle are not clients, connections and µs"),
        ({"closed_idle": [[1, 2, "x"]]}, "closed_idle are not clients, connections and µs"),
    ],
)
def test_what_is_wrong_with_kinds_is_told(tmp_path: Path, spoilt: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_record(write_run(tmp_path / "run.json", run_content(spoilt)))


def test_names_of_settings_that_would_be_more_than_keys_are_left_out(tmp_path: Path) -> None:
    hostile = {"kind": 'a"\n[[step]]', "clients": 1, "x]\n[[step]]\nreload": 1, "ok": 2}
    told = scenario_toml(read_record(write_run(tmp_path / "run.json", run_content(traffic=[TRAFFIC[0], hostile]))))
    assert told.count("\n[[step]]\n") == 2, "the run's own"
    assert "ok = 2" in told


def test_a_run_of_several_thousand_changes_has_a_report(tmp_path: Path) -> None:
    number = 6000
    told = [row(t * 1000 + 500, t % 2) for t in range(6000)]
    latency = {"count": 1, "p50_us": 1, "p99_us": 1, "p999_us": 1, "max_us": 1}
    phases = {f"{stretch} {n}": latency for n in range(1, number + 1) for stretch in ("around", "after")}
    changes = [change(n, n * 1000) for n in range(1, number + 1)]
    content = run_content({"exchanges": len(told), "success": len(told), "latency": phases}, changes=changes)
    run = write_run(tmp_path / "run.json", content)
    text = page([RunPaths(write_rows(tmp_path / "data.csv", told), run)])
    assert "The first 1,000 of 6,000 changes." in text
    assert len(text.encode()) < 3_000_000

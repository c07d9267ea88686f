"""What a report says in words."""

from importlib.resources import files
from pathlib import Path

import pytest

from proxyreload.errors import ExitStatus
from proxyreload.plan.scenario import parse
from proxyreload.record.rundata import Record, read_record
from proxyreload.report.words import command_line, limit, notes, scenario_toml, sentence
from proxyreload.verdict.judgement import Verdict

from .written import run_content, write_run


def record(folder: Path, **more: object) -> Record:
    """Return a run's record."""
    return read_record(write_run(folder / "run.json", run_content(**more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (
            {"verdict": "seamless", "exchanges": 12345, "success": 12345},
            (
                "No client noticed anything: all 12,345 requests were answered, over connections that stayed open, "
                "while it was changed once."
            ),
        ),
        (
            {"verdict": "graceful", "exchanges": 1, "success": 1},
            (
                "Nothing was lost: all 1 request were answered while it was changed once. Connections were closed, but "
                "only after that was announced, or while they were idle."
            ),
        ),
        (
            {"verdict": "racy", "exchanges": 12345, "success": 12345},
            (
                "Nothing was lost here: all 12,345 requests were answered while it was changed once. But connections "
                "that rested were closed unannounced: clients farther away, or that had sent a moment later, lose "
                "requests."
            ),
        ),
        (
            {"verdict": "lossy", "exchanges": 48000, "success": 47800, "failure": 200},
            "200 of 48,000 requests failed, 1 in 240, while it was changed once.",
        ),
        (
            {"verdict": "lossy", "exchanges": 10, "success": 10, "reasons": ["1 front connection closed, unasked"]},
            (
                "All 10 requests were answered while it was changed once, but not everything was in order: "
                "1 front connection closed, unasked."
            ),
        ),
        (
            {"verdict": "ineffective", "reasons": ["backend 2 never answered"]},
            "This run shows nothing about the change: the change did not come about. backend 2 never answered.",
        ),
        (
            {"verdict": "invalid", "reasons": ["the proxy died"]},
            "This run is not valid, whatever its figures say: the proxy died.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(tmp_path: Path, summary: dict[str, object], said: str) -> None:
    assert sentence(record(tmp_path, summary=summary)) == said


def test_no_failures_have_a_limit(tmp_path: Path) -> None:
    clean = {"exchanges": 3000, "success": 3000, "detection_limit": None}
    assert "fewer than 1,000 in a million" in limit(record(tmp_path, summary=clean))
    assert limit(record(tmp_path, summary={**clean, "failure": 1})) == ""


def test_the_command_line_as_it_was(tmp_path: Path) -> None:
    assert command_line(record(tmp_path, command=["--plugin", "it", "--csv", "my data.csv"])) == (
        "proxyreload --plugin it --csv 'my data.csv'"
    )


def test_the_command_line_of_the_options_that_were_recorded(tmp_path: Path) -> None:
    assert command_line(record(tmp_path)) == (
        "proxyreload --plugin it:reload --clients 2 --duration 6 --first-port 1030 --seed 0 --front-port 8080"
    )
    watched = record(tmp_path, plugin=None, mechanism=None, options={"clients": 3}, url="http://it.test/;rm")
    assert command_line(watched) == "proxyreload 'http://it.test/;rm' --clients 3"


def test_the_scenario_is_a_file_that_can_be_played_again(tmp_path: Path) -> None:
    text = scenario_toml(record(tmp_path))
    again = parse(text, "again.toml")
    assert (again.title, again.duration_s, again.initial) == ("add 2", 6.0, (0, 1))
    assert [(step.action, step.at_s) for step in again.steps] == [("add", 1.5), ("pause", None)]


@pytest.mark.parametrize("steps", [5, 1.5, "add", {"a": 1}, [1, "x"], None])
def test_a_scenario_whose_steps_are_none_is_no_scenario(tmp_path: Path, steps: object) -> None:
    assert scenario_toml(record(tmp_path, scenario={"title": "t", "steps": steps})) == ""


def test_a_hostile_scenario_stays_a_text(tmp_path: Path) -> None:
    scenario = {"title": 'a"\n[[step]]\\', "backends": [], "steps": [{"action": "add", "instance": 1, "at_s": 1}]}
    assert parse(scenario_toml(record(tmp_path, scenario=scenario)), "again.toml").title == r'a"\n[[step]]\ '.strip()


@pytest.mark.parametrize("where", ["report/templates/report.css", "web/static/page.css"])
def test_a_verdict_of_the_proxys_has_a_colour_of_its_own(where: str) -> None:
    style = files("proxyreload").joinpath(where).read_text(encoding="utf-8")
    of_the_proxys = [verdict.value for verdict in Verdict if verdict.exit_status is not ExitStatus.INVALID]
    assert [name for name in of_the_proxys if f".verdict.{name} {{" not in style] == []


def test_fates_causes_and_what_is_left_of_old_processes_are_said(tmp_path: Path) -> None:
    told = record(
        tmp_path,
        summary={
            "ledger": {"answered_once": 5000, "lost_never_arrived": 1200, "lost_executed": 3, "lost_unknown": 0},
            "causes": {"proxy cut it": 3, "keep-alive race": 1200},
            "old_generation": {"processes": 2, "left": 1, "waited_us": 15_000_000, "unknown": None},
        },
    )
    assert notes(told) == [
        (
            "Of the requests that were lost, 1,200 never reached a backend (safe to repeat), "
            "3 were carried out (their clients cannot know)."
        ),
        "Causes: 1,200 keep-alive race, 3 proxy cut it.",
        "1 process of the old generation still lives after 15.0 s more: what ends later is not seen.",
    ]


@pytest.mark.parametrize("ledger", [None, {"answered_once": 7}])
def test_where_nothing_was_lost_nothing_is_said_of_it(tmp_path: Path, ledger: object) -> None:
    assert notes(record(tmp_path, summary={"ledger": ledger, "causes": {}, "old_generation": None})) == []

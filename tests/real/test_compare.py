"""``proxyreload compare``: the same changes with several mechanisms."""

import json
import re
import signal
from typing import Any

import pytest

from .browser import BROWSER, browser
from .command import PROXYRELOAD, Exits, Place

pytestmark = pytest.mark.real

SHORT = ("--repeat", "3", "--pace", "0.2", "--rate", "100")


def compared(place: Place) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))
    return {row["mechanism"]: row for row in content["rows"]}


def test_mechanisms_stand_side_by_side_and_one_that_fails_does_not_keep_the_others(place: Place) -> None:
    names = ("haproxy:runtime", "nginx:reload", "haproxy:runtime@/no/such/program")
    result = place.run("compare", *names, *SHORT, "--rounds", "2", "--markdown", "table.md", *place.ports)
    assert result.status == 3
    rows = compared(place)
    assert list(rows) == list(names)
    runtime, reload, missing = rows.values()
    assert runtime["verdict"] in {"seamless", "graceful"}
    assert (runtime["changes"], reload["changes"], missing["changes"]) == (12, 12, 0)
    assert reload["front_closed"], "nginx closes its clients' connections"
    assert (missing["verdict"], missing["why"]) == ("not run", "--binary /no/such/program: no such program")
    for row in (runtime, reload):
        assert [trial["round"] for trial in row["trials"]] == [1, 2]
        runs = [json.loads((place.folder / trial["run"]).read_text(encoding="utf-8")) for trial in row["trials"]]
        assert sum(run["summary"]["exchanges"] for run in runs) == row["exchanges"]
        assert sum(run["summary"]["failure"] for run in runs) == sum(row["failures"].values())
        assert {run["options"]["rate"] for run in runs} == {100}
    # Two rounds, each with all of them.
    told = [line.split(": ")[1] for line in result.stderr.splitlines()]
    assert [sorted(told[:3]), sorted(told[3:])] == [sorted(names)] * 2
    for name in names:
        assert f"| {name} |" in (place.folder / "table.md").read_text(encoding="utf-8")
        assert name in result.stdout
    assert re.search(r"^haproxy 2\.\S+, nginx 1\.", result.stdout, re.MULTILINE)
    assert place.left() == []


def test_what_a_mechanism_cannot_do_is_said_and_counts_for_nothing(place: Place) -> None:
    result = place.run("compare", "control:runtime", "haproxy:reload-idle", "--change", "reload", *SHORT, *place.ports)
    rows = compared(place)
    assert rows["control:runtime"]["verdict"] == "cannot"
    assert rows["control:runtime"]["why"].startswith("cannot reload: ")
    assert rows["haproxy:reload-idle"]["verdict"] in {"seamless", "graceful"}
    assert rows["haproxy:reload-idle"]["changes"] == 3
    assert result.status == 0


def test_ended_half_way_it_shows_what_it_has(place: Place) -> None:
    words = ("compare", "haproxy:runtime", "nginx:reload", "--repeat", "2", "--rounds", "9", *place.ports)
    session = place.start(*words, command=("sh", "-c", 'exec "$@" 2>&1', "sh", *PROXYRELOAD))
    session.until("1 of 18: ")
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGINT)
    result = session.ended()
    assert exits.left() == []
    assert result.status == 3
    rows = compared(place)
    assert [len(row["trials"]) for row in rows.values()] in ([1, 1], [2, 1], [1, 2], [2, 2])
    assert {"ineffective", "invalid"} & {row["verdict"] for row in rows.values()}
    assert place.left() == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "name the mechanisms to compare, or say --all"),
        (("haproxy", "--all"), "name the mechanisms to compare, or say --all"),
        (("bogus",), "no plugin 'bogus'"),
        (("haproxy", "--rounds", "0"), "--rounds"),
        (("haproxy", "--repeat", "x"), "--repeat"),
        (("haproxy", "--change", "x"), "--change takes backends, reload, upgrade, rotate, edit, not 'x'"),
        (("haproxy", "--json", "/no/such/folder/x.json"), "/no/such/folder/x.json cannot be written"),
    ],
)
def test_wrong_usage_is_one_line(place: Place, words: tuple[str, ...], complaint: str) -> None:
    result = place.run("compare", *words)
    assert result.status == 2
    (line,) = result.stderr.splitlines()
    assert complaint in line
    assert not (place.folder / "compare").exists()


def test_each_condition_has_a_row_with_its_own_evidence_and_the_command_that_makes_it_again(place: Place) -> None:
    words = ("compare", "haproxy:reload", "--conditions", "far,leaving,killed", "--only", "aimed,stream", *SHORT)
    result = place.run(*words, *place.ports, mix=True)
    rows = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["mechanism"], row["condition"]) for row in rows] == [
        ("haproxy:reload", "far, leaving"),
        ("haproxy:reload", "far, killed"),
    ]
    for row in rows:
        folder = (place.folder / row["trials"][0]["run"]).parent
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert {each["rtt_ms"] for each in run["traffic"] if each["kind"] in {"aimed", "stream"}} == {20}
        assert (run["options"]["kill_removed"] is None) == (row["condition"] == "far, leaving")
        assert "bind" in (folder / "configuration" / "haproxy.cfg").read_text(encoding="utf-8")
        assert (folder / "proxy.log").is_file()
        assert row["command"][:5] == [
            "proxyreload",
            "compare",
            "haproxy:reload",
            "--conditions",
            row["condition"].replace(", ", ","),
        ]
        assert row["command"][5:7] == ["--only", "kind=aimed,kind=stream"]
        assert row["kinds"]["aimed"]["verdict"] == "lossy"
        assert row["kinds"]["aimed"]["causes"]["keep-alive race"] > 0
        assert row["price"]["processes"] > 1
        assert row["disruption"]["connections_opened_100ms"] > 0
    assert result.status == 1
    again = place.run(*words, "--resume", *place.ports, mix=True)
    assert [line.endswith(", as it was before") for line in again.stderr.splitlines()] == [True, True]
    assert json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))["rows"] == rows
    planned = place.run(*words, "--resume", "--plan", *place.ports, mix=True)
    assert planned.stdout.splitlines()[-1] == "1 mechanism under 2 conditions, once: 2 runs, 0 s"
    repeated = place.run(*rows[1]["command"][1:], "--plan", mix=True)
    assert repeated.stdout.splitlines()[-1].startswith("1 mechanism, once: 1 run, ")


@BROWSER
def test_its_page_leads_to_the_pages_of_its_runs(place: Place) -> None:
    names = ("haproxy:runtime", "nginx:reload")
    result = place.run("compare", *names, *SHORT, *place.ports, report=True)
    assert result.stdout.splitlines()[-1] == "written: compare.json, compare.html"
    rows = compared(place)
    with browser() as shown:
        shown.driver.get((place.folder / "compare.html").as_uri())
        assert [cells[0] for cells in shown.table(".matrix")] == list(names)
        for name in names:
            failures = shown.text(f'[data-mechanism="{name}"] [data-figure=failure]')
            assert failures == str(sum(rows[name]["failures"].values()))
        shown.ask("document.querySelector('[data-mechanism=\"nginx:reload\"] a').click()")
        assert shown.drawn() > 0
        run = json.loads((place.folder / rows["nginx:reload"]["trials"][0]["run"]).read_text(encoding="utf-8"))
        assert shown.text("[data-figure=exchanges]").replace(",", "") == str(run["summary"]["exchanges"])
        assert shown.text("[data-figure=verdict]") == run["summary"]["verdict"]
        assert shown.complaints() == []

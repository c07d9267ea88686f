"""A removed backend drains while the run goes on, an old process lives on for its streams; the report shows both."""

import json
from collections.abc import Iterator

import pytest

from .browser import BROWSER, Browser, browser
from .command import Place, Result
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: So many that some are at the removed backend, and so long that they are still there after the next changes.
SCENARIO = """\
duration = 8
[[traffic]]
kind = "stream"
clients = 12
length = 5
[[traffic]]
kind = "slow"
clients = 2
[[step]]
at = 2
remove = 0
[[step]]
at = 2.5
add = 0
[[step]]
at = 3
reload = true
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("draining"))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="module")
def job(place: Place) -> Result:
    path = place.write("long.toml", SCENARIO)
    words = ("--clients", "2", "--rate", "100", "--log", "changes")
    return place.run("--plugin", "haproxy:runtime", "--scenario", path, *words, *place.ports)


def test_a_removal_is_applied_while_streams_go_on_there_and_the_next_changes_do_not_wait(
    place: Place, job: Result
) -> None:
    assert_whole(place, job)
    remove, add, reload = job.changes
    assert [change["error"] for change in job.changes] == [None, None, None]
    assert remove["verdict"] in {"seamless", "graceful"}
    drained = remove["drained"]
    assert drained["under_way"]["stream"] > 0
    assert (drained["failed"], drained["left"]) == (0, {})
    # It comes back, and the process is replaced, while what had begun there goes on.
    assert remove["applied_us"] < add["requested_us"] < drained["at_us"]
    assert add["drained"] is reload["drained"] is None
    last = max(int(row.time) for row in job.rows if row.instance == "0" and int(row.written) < remove["applied_us"])
    assert drained["at_us"] >= last
    assert remove["drained_us"] == drained["at_us"]
    assert remove["stragglers"] == 0
    assert "change 1: remove backend 0 drained of " in job.stdout
    assert job.summary["left_undone"] == []


def test_it_is_told_for_how_long_and_for_whom_an_old_process_lived_on(job: Result) -> None:
    old, new = job.summary["generations"]
    reload = job.changes[2]
    assert (old["change"], new["change"]) == (None, 3)
    assert reload["requested_us"] < old["replaced_us"] == new["since_us"]
    assert old["until_us"] is None or old["until_us"] > old["replaced_us"]
    assert old["on_it"][0]["clients"]["stream"] > 0
    held = {tuple(which) for which in old["connections"]}
    streams = {row.client for row in job.rows if row.kind == "stream"}
    assert {client for client, _connection in held} >= streams
    assert not held & {tuple(which) for which in new["connections"]}


def test_it_is_told_when_the_events_of_the_streams_came(job: Result) -> None:
    whole = [pace for pace in job.summary["paces"] if sum(pace["messages"]) == 50]
    assert whole
    assert {pace["client"] for pace in whole} <= {row.client for row in job.rows if row.kind == "stream"}


@BROWSER
def test_the_report_shows_drains_old_processes_and_each_end_with_a_mark_of_its_own(place: Place, job: Result) -> None:
    content = job.run_json
    whose = {row.client: [row.client, int(row.connection), row.time] for row in job.rows if row.kind == "stream"}
    hows = ("goaway", "close frame", "reset")
    content["summary"]["closed_by"] = [[*which, how] for which, how in zip(whose.values(), hows, strict=False)]
    place.write("marked.json", json.dumps(content))
    made = place.run("report", "marked.json", "--output", "marked.html")
    assert (made.status, made.stderr) == (0, "")
    with browser() as shown:
        shown.open(place.folder / "marked.html")
        assert shown.complaints() == []
        _assert_shown(shown, job)


def _assert_shown(page: Browser, job: Result) -> None:
    legend = page.text("#front-1 .keys")
    assert [each for each in ("held by generation 0", "GOAWAY", "close frame", "reset") if each not in legend] == []
    lived = page.text("#lived-1 figcaption")
    assert "Generation 0 lived on for" in lived
    assert f"Backend 0 drained for {_drained_s(job):.1f} s after change 1" in lived
    found = page.ask(
        "const names = {}; for (const drawn of Bokeh.documents) for (const model of drawn._all_models.values()) "
        "if (model.name === 'lived' || model.name === 'paces') "
        "names[model.name] = Math.max(names[model.name] ?? 0, model.data.left.length); return names"
    )
    assert found["lived"] >= 2
    assert found["paces"] > 0
    remove = job.changes[0]
    drained_ms = (remove["drained"]["at_us"] - remove["requested_us"]) / 1000
    nothing = "\N{EN DASH}"
    assert [row[5] for row in page.table("table.changes")] == [f"{drained_ms:.1f}", nothing, nothing]


def _drained_s(job: Result) -> float:
    remove = job.changes[0]
    drained_us: int = remove["drained"]["at_us"] - remove["applied_us"]
    return drained_us / 1_000_000

"""The quiet mix: what a run sends unless it is told what, and what that shows."""

import json
from typing import Any

import pytest

from .command import Place, Result
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: Every kind, that of the probe included.
ALL = {"get", "fresh", *("aimed", "download", "grpc", "h2", "idle", "post", "slow", "stream", "upload", "websocket")}


def run(place: Place, mechanism: str, *words: str) -> Result:
    """Run one to its end, with the traffic of every run."""
    result = place.run("--plugin", mechanism, "--log", "none", *words, *place.ports, mix=True)
    assert_whole(place, result)
    return result


def kinds(result: Result) -> dict[str, Any]:
    """Return what became of each."""
    found: dict[str, Any] = result.summary["kinds"]
    return found


def test_a_run_sends_some_of_everything_and_a_seamless_change_loses_none_of_it(place: Place) -> None:
    result = run(place, "haproxy:runtime")
    assert {group["kind"] for group in result.run_json["traffic"]} == ALL
    assert set(kinds(result)) == ALL
    assert result.verdict in {"seamless", "graceful"}
    assert {kind: told["failures"] for kind, told in kinds(result).items() if told["failures"]} == {}
    # The ancestor's ten clients are where they were.
    plain = [group for group in result.run_json["traffic"] if group["kind"] == "get"]
    assert [(group["clients"], group["rtt_ms"]) for group in plain] == [(10, 0), (10, 20)]


@pytest.mark.parametrize("mechanism", ["nginx:reload", "haproxy:reload"])
def test_a_reload_that_closes_what_rests_is_lossy_in_a_default_run(place: Place, mechanism: str) -> None:
    result = run(place, mechanism)
    assert result.verdict == "lossy"
    assert [change["verdict"] for change in result.changes] == ["lossy", "lossy"]
    aimed = kinds(result)["aimed"]
    assert sum(aimed["failures"].values()) >= 20
    (sentence,) = [line for line in result.stdout.splitlines() if line.startswith("verdict: lossy (")]
    assert f"aimed lost {sum(aimed['failures'].values())} of {aimed['exchanges']}" in sentence


def test_what_rested_across_a_reload_is_lost_when_the_removed_backend_has_left(place: Place) -> None:
    result = run(place, "haproxy:reload-idle")
    assert result.verdict == "lossy"
    added, removed = result.changes
    assert added["verdict"] == "graceful"
    lost = removed["failures"]
    assert set(lost) == {"status 503"}
    # What was connected while a busy machine took its time with the change is at the old process too.
    assert 1 <= removed["outdated"] <= lost["status 503"]
    assert kinds(result)["idle"]["failures"] == {"status 503": kinds(result)["idle"]["failures"]["status 503"]}
    rows = (place.folder / "losses.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert all("its page: 503 Service Unavailable No server is available to handle" in row for row in rows)
    (sentence,) = [line for line in result.stdout.splitlines() if line.startswith("verdict: lossy (")]
    assert f"{removed['outdated']} answered after the change over " in sentence
    assert "what helps: option redispatch 1, as in haproxy:reload-redispatch, https://" in result.stdout


def test_a_refused_connection_that_is_tried_elsewhere_cures_it_and_repeats_no_post(place: Place) -> None:
    result = run(place, "haproxy:reload-redispatch")
    assert result.verdict == "graceful"
    assert result.summary["failures"] == {}


def test_traffic_that_is_named_is_all_there_is(place: Place) -> None:
    result = run(place, "haproxy:runtime", "--duration", "3", "--traffic", "get=3,idle=2")
    assert [(group["kind"], group["clients"]) for group in result.run_json["traffic"]] == [
        ("get", 3),
        ("idle", 2),
        ("fresh", 1),
    ]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("duration = 2\n[[traffic]]\nkind = 'post'\n", ["get", "post", "fresh"]),
        ("duration = 2\ntraffic = []\n", ["get", "fresh"]),
        (
            "duration = 2\n",
            ["get", "get", *sorted(ALL - {"get", "fresh"}), "fresh"],
        ),
    ],
)
def test_a_scenario_says_what_is_sent_or_leaves_it(place: Place, text: str, groups: list[str]) -> None:
    result = run(place, "haproxy:runtime", "--scenario", place.write("own.toml", text))
    assert [group["kind"] for group in result.run_json["traffic"]] == groups


def test_compare_sends_it_too(place: Place) -> None:
    words = ("compare", "haproxy:runtime", "haproxy:reload", "--repeat", "2", "--rate", "50")
    result = place.run(*words, *place.ports, mix=True)
    assert result.status == 1, result.stderr
    told = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))
    assert {group["kind"] for group in told["traffic"]} == ALL
    assert "get=10; 20 ms away: get=10, aimed=100, download=1, idle=40, " in told["what"]
    verdicts = {row["mechanism"]: row["verdict"] for row in told["rows"]}
    assert verdicts["haproxy:runtime"] in {"seamless", "graceful"}
    assert verdicts["haproxy:reload"] == "lossy"


def test_compare_sends_what_it_is_told(place: Place) -> None:
    words = ("compare", "haproxy:runtime", "--repeat", "1", "--traffic", "get=4,idle=2", "--rate", "100")
    result = place.run(*words, *place.ports)
    assert result.status == 0, result.stderr
    told = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))
    assert [(group["kind"], group["clients"]) for group in told["traffic"]] == [("get", 4), ("idle", 2), ("fresh", 1)]
    assert ", get=4, idle=2; get 100 requests/s, 1 round, " in told["what"]


DRAINING = """
duration = 9
[[traffic]]
kind = "stream"
clients = 8
length = 30
[[step]]
at = 1.5
remove = 0
[[step]]
at = 3.5
add = 0
"""


@pytest.mark.parametrize("where", [(), ("--backend-processes",)])
def test_a_backend_that_is_added_again_while_it_drains_cuts_nothing(place: Place, where: tuple[str, ...]) -> None:
    words = ("--scenario", place.write("draining.toml", DRAINING), "--stop-removed", "0.5", *where)
    result = run(place, "nginx:reload-min-timeout", *words)
    # The streams that began before the removal outlive the addition.
    began = [
        row for row in result.rows if row.kind == "stream" and row.instance == "0" and int(row.written) < 1_500_000
    ]
    added_us = result.changes[1]["requested_us"]
    assert [row for row in began if row.time > added_us]
    assert result.summary["failures"] == {}
    assert result.summary["answers_by_instance"]["0"] > len(began)

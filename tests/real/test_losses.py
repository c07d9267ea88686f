"""``losses.csv`` of real runs: each loss is a row, with what became of it and why."""

import csv
import signal
from collections import Counter
from pathlib import Path

import pytest

from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.record.lossfile import CARRIED_OUT_TWICE, COLUMNS

from .command import MORE, Exits, Place

pytestmark = pytest.mark.real

#: Far enough away that a reload never loses nothing.
AIMED = ("--plugin", "nginx:reload", "--traffic", "get=10,aimed=60", "--rtt", "20")


def losses(place: Place) -> list[dict[str, str]]:
    """Return the rows of the file, each by its columns."""
    content = (place.folder / "losses.csv").read_text(encoding="utf-8")
    assert content.endswith("\n")
    head, *rows = csv.reader(content.splitlines(), strict=True)
    assert tuple(head) == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_each_loss_of_a_reload_has_a_fate_and_a_cause(place: Place) -> None:
    result = place.run(*AIMED, "--duration", "4", *place.ports)
    assert result.stderr == ""
    result.assert_complete()
    told = [row for row in losses(place) if row["failure"] != CARRIED_OUT_TWICE]  # which nginx may do to a GET
    failed = [row for row in result.rows if row.failure]
    assert len(failed) > 10
    keys = ("time", "client", "kind", "request", "failure", "carried")
    assert sorted(tuple(row[key] for key in keys) for row in told) == sorted(
        (str(row.time), str(row.client), row.kind, str(row.request), row.failure, str(row.carried)) for row in failed
    )
    fates, causes = (Counter(row[column] for row in told) for column in ("fate", "cause"))
    assert causes.keys() <= {cause.value for cause in Cause}
    assert Counter(result.summary["causes"]) - causes <= Counter({Cause.REPEATED.value: 10})
    lost = {fate.value: result.summary["ledger"][fate.value] for fate in Fate if not fate.answered}
    assert {fate: number for fate, number in lost.items() if number} == fates
    assert "0" in {row["generation"] for row in told if row["change"] == "1"}
    assert any("; FIN was sent before any of its " in row["evidence"] for row in told)
    assert any(" the proxy said: [notice] " in row["evidence"] for row in told)
    assert max(len(row["evidence"]) for row in told) <= 400
    for change in result.changes:
        charged = [row for row in told if row["change"] == str(change["number"])]
        assert len(charged) == sum(change["failures"].values())
        assert all(int(row["since change us"]) > 0 for row in charged)
    assert "written: data.csv, losses.csv, run.json" in result.stdout.splitlines()
    assert place.left() == []


def test_what_a_run_that_is_killed_has_written_is_whole_rows(place: Place) -> None:
    session = place.start(*AIMED, "--change", "reload", "--repeat", "1000", *place.ports)
    path: Path = place.folder / "losses.csv"
    while not path.exists() or path.stat().st_size < 1000:
        session.until(MORE)
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    assert exits.left() == []
    assert losses(place)
    assert place.left() == []


def test_a_request_that_the_proxy_repeats_is_told_though_its_client_had_its_answer(place: Place) -> None:
    words = ("--plugin", "nginx:reload", "--traffic", "get=2,slow=20", "--kill-removed", "0.001", "--duration", "6")
    result = place.run(*words, *place.ports)
    result.assert_complete()
    twice = [row for row in losses(place) if row["failure"] == CARRIED_OUT_TWICE]
    assert len(twice) == result.summary["ledger"]["answered_twice"] > 0
    assert {(row["kind"], row["fate"], row["cause"]) for row in twice} == {
        ("slow", "answered_twice", "repeated by the proxy")
    }
    seen = {(row.client, row.request): row.failure for row in result.rows}
    assert {seen[int(row["client"]), int(row["request"])] for row in twice} == {""}
    assert f"{len(twice)} request" in " ".join(result.summary["reasons"])
    assert place.left() == []

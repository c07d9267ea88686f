"""``losses.csv``: one whole row for each loss, whatever is in it and whatever the disk does."""

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Started
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.loss import Loss
from proxyreload.record.lossfile import CARRIED_OUT_TWICE, COLUMNS, LossFile
from proxyreload.system.clock import NS_PER_MS

from .clocks import START_NS, some_examples
from .disks import calls_of, cut_short
from .happened import exchange, failed


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> LossFile:
    return begun(tmp_path / "losses.csv")


def begun(path: Path) -> LossFile:
    file = LossFile(path)
    file.open()
    file.started([Started(START_NS)])
    return file


def loss(**overrides: Any) -> Loss:
    """Return a request of client 3 that the keep-alive race has lost, or what the overrides make of it."""
    lost = failed(
        *("closed before response, reused",),
        client=3,
        number=17,
        connection=2,
        carried=5,
        front_port=41234,
        written_ns=START_NS + 30 * NS_PER_MS,
        ended_ns=START_NS + 31 * NS_PER_MS,
    )
    fields: dict[str, Any] = {
        "request_id": "3-17",
        "kind": "idle",
        "fate": Fate.LOST_NEVER_ARRIVED,
        "cause": Cause.KEEP_ALIVE_RACE,
        "evidence": "no backend received it",
        "at_ns": lost.ended_ns,
        "exchange": lost,
        "rested_ns": 1_500_000,
        "change": 2,
        "change_ns": START_NS + 20 * NS_PER_MS,
    }
    return Loss(**{**fields, **overrides})


def rows(path: Path) -> list[list[str]]:
    """Return the rows of a file, the head left out."""
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened, strict=True))[1:]


def row(file: LossFile, each: Loss) -> dict[str, str]:
    """Return one loss's row, by column."""
    file.lost([each])
    return dict(zip(COLUMNS, rows(file.path)[-1], strict=True))


def test_where_nothing_is_lost_there_is_the_head_alone(file: LossFile) -> None:
    assert file.path.read_text(encoding="utf-8") == (
        "time,client,kind,request,failure,front port,connection,carried,idle us,"
        "fate,generation,cause,change,since change us,evidence\n"
    )
    assert file.missing(0) == ""


def test_a_request_that_the_race_has_lost(file: LossFile) -> None:
    assert row(file, loss()) == {
        "time": "31000",
        "client": "3",
        "kind": "idle",
        "request": "17",
        "failure": "closed before response, reused",
        "front port": "41234",
        "connection": "2",
        "carried": "5",
        "idle us": "1500",
        "fate": "lost_never_arrived",
        "generation": "",
        "cause": "keep-alive race",
        "change": "2",
        "since change us": "10000",
        "evidence": "no backend received it",
    }


def test_what_was_lost_before_the_first_change_is_charged_to_none(file: LossFile) -> None:
    written = row(file, loss(change=0, change_ns=0))
    assert (written["change"], written["since change us"]) == ("", "")


def test_what_was_under_way_when_its_change_came_was_written_before_it(file: LossFile) -> None:
    assert row(file, loss(change_ns=START_NS + 32 * NS_PER_MS))["since change us"] == "-2000"


def test_a_request_without_a_connection_counts_from_when_one_was_begun(file: LossFile) -> None:
    refused = failed(
        "refused",
        connection=-1,
        front_port=0,
        written_ns=0,
        connect_ns=NS_PER_MS,
        ended_ns=START_NS + 31 * NS_PER_MS,
    )
    written = row(file, loss(exchange=refused, cause=Cause.NOBODY_LISTENED, rested_ns=0))
    told = ("front port", "connection", "carried", "idle us", "since change us")
    assert [written[column] for column in told] == ["", "", "0", "", "10000"]


@pytest.mark.parametrize(("generation", "cell"), [(None, ""), (0, "0"), (3, "3")])
def test_the_generation_that_held_the_connection_is_told_where_it_is_known(
    file: LossFile, generation: int | None, cell: str
) -> None:
    assert row(file, loss(generation=generation))["generation"] == cell


def test_where_backends_are_somebody_elses_there_is_no_fate(file: LossFile) -> None:
    assert row(file, loss(fate=None))["fate"] == ""


@pytest.mark.parametrize("told", [exchange(client=3, number=17), None])
def test_a_success_that_was_carried_out_twice(file: LossFile, told: Any) -> None:
    again_ns = START_NS + 25 * NS_PER_MS
    twice = loss(fate=Fate.ANSWERED_TWICE, cause=Cause.REPEATED, exchange=told, at_ns=again_ns, rested_ns=0)
    written = row(file, twice)
    assert (written["client"], written["request"], written["fate"]) == ("3", "17", "answered_twice")
    assert (written["failure"], written["cause"]) == (CARRIED_OUT_TWICE, "repeated by the proxy")
    assert (written["time"], written["since change us"]) == ("25000", "5000")


def test_a_failure_that_was_carried_out_twice_keeps_its_class(file: LossFile) -> None:
    assert row(file, loss(fate=Fate.LOST_EXECUTED_TWICE))["failure"] == "closed before response, reused"


@pytest.mark.parametrize(
    ("request_id", "client", "number"),
    [
        ("3-99", "3", "99"),
        ("p10-4", "10", "4"),
        ("b0-1", "", "b0-1"),
        ("", "", ""),
        ("3-", "", "3-"),
        ("٣-1", "", "٣-1"),
        ("=1+1", "", "'=1+1"),
        ("1-1\n2,2", "", "1-1\\n2,2"),
        ("1-" + "9" * 62, "", "1-" + "9" * 62),
    ],
)
def test_a_request_that_nobody_sent_is_told_by_what_it_said_it_was(
    file: LossFile, request_id: str, client: str, number: str
) -> None:
    made_up = loss(request_id=request_id, fate=Fate.NEVER_SENT, cause=Cause.MADE_UP, exchange=None, rested_ns=0)
    written = row(file, made_up)
    assert (written["client"], written["request"], written["failure"]) == (client, number, "")
    assert [written[column] for column in ("front port", "connection", "carried", "idle us")] == [""] * 4


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("a,;\"'=+\n\r\t\x00\x1b 0", max_size=20)


@some_examples
@given(HOSTILE, HOSTILE)
def test_whatever_is_told_there_is_one_line_and_its_other_columns_stay_whole(evidence: str, request_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = begun(Path(folder) / "losses.csv")
        written = row(file, loss(evidence=evidence, request_id=request_id, exchange=None))
        file.close()
        assert file.path.read_bytes().count(b"\n") == 2
    assert (written["fate"], written["cause"], written["change"]) == ("lost_never_arrived", "keep-alive race", "2")
    assert written["evidence"].isprintable()
    assert not written["evidence"].startswith(("=", "+", "-", "@"))


def test_evidence_is_bounded(file: LossFile) -> None:
    assert len(row(file, loss(evidence="x" * 100_000))["evidence"]) < 1100


def test_losses_are_rows_in_the_order_they_came(file: LossFile) -> None:
    losses = [loss(exchange=failed("timeout", number=number)) for number in (4, 1, 3)]
    file.lost(losses[:2])
    file.lost(losses[2:])
    assert [each[COLUMNS.index("request")] for each in rows(file.path)] == ["4", "1", "3"]
    assert file.missing(3) == ""


def test_it_writes_what_the_bus_brings_while_the_run_goes_on(tmp_path: Path) -> None:
    bus, file = EventBus(), LossFile(tmp_path / "losses.csv")
    file.open()
    file.subscribe(bus)
    bus.publish(Started(START_NS))
    bus.deliver(Loss, [loss(), loss()])
    assert [each[0] for each in rows(file.path)] == ["31000", "31000"]


def test_a_batch_is_one_system_call(file: LossFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_of(monkeypatch)
    file.lost([loss() for _ in range(100)])
    assert len(calls) == 1


# Whether it can be written, and is whole at the end.


def test_a_file_of_an_earlier_run_is_written_over_once_it_is_begun(file: LossFile) -> None:
    file.lost([loss()])
    file.close()
    content = file.path.read_bytes()
    again = LossFile(file.path)
    again.claim()
    assert file.path.read_bytes() == content
    again.open()
    assert rows(file.path) == []
    again.close()
    again.close()


def test_a_file_that_another_run_writes_is_left_alone(file: LossFile) -> None:
    file.lost([loss()])
    with pytest.raises(
        UsageError, match=rf"losses\.csv cannot be written: another run is writing it \(pid {os.getpid()}\)"
    ):
        LossFile(file.path).claim()
    assert len(rows(file.path)) == 1


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere/losses\.csv cannot be written: No such file or directory"):
        LossFile(tmp_path / "nowhere" / "losses.csv").claim()


def test_a_full_disk_at_the_start_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="/dev/full cannot be written: No space left on device"):
        LossFile(Path("/dev/full")).open()


def test_rows_that_were_not_written_are_told(file: LossFile) -> None:
    file.lost([loss()])
    assert file.missing(2) == f"{file.path} has 1 rows of 2 losses"


def test_a_file_that_was_moved_is_told(file: LossFile) -> None:
    file.path.rename(file.path.with_name("moved"))
    assert file.missing(0).startswith(f"{file.path} is not the file that the rows were written to")


@pytest.mark.parametrize("room", [0, 1, 100, 180, 400])
def test_a_disk_that_fills_up_leaves_whole_rows(file: LossFile, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    cut_short(monkeypatch, room)
    with pytest.raises(OSError, match=r"No space left on device; \d rows were written"):
        file.lost([loss() for _ in range(8)])
    monkeypatch.undo()
    assert file.path.read_bytes().endswith(b"\n")
    assert all(len(each) == len(COLUMNS) for each in rows(file.path))
    assert file.missing(8) == ""  # which has been told

"""``data.csv``: one whole row for each exchange, whatever is in it and whatever the disk does."""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange, Started
from proxyreload.record.csvfile import COLUMNS, CsvFile, status_text
from proxyreload.system.clock import NS_PER_MS
from proxyreload.system.untrusted import as_cell

from .clocks import START_NS, some_examples
from .disks import calls_of, cut_short
from .happened import exchange, exchanges_st, failed


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> CsvFile:
    file = CsvFile(tmp_path / "data.csv")
    file.open()
    file.started([Started(START_NS)])
    return file


def rows(file: CsvFile) -> list[list[str]]:
    """Return the rows of a file, the head left out."""
    with file.path.open(newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened, strict=True))[1:]


def row(file: CsvFile, each: Exchange) -> dict[str, str]:
    """Return one exchange's row, by column."""
    file.exchanged([each])
    return dict(zip(COLUMNS, rows(file)[-1], strict=True))


def test_the_first_six_columns_are_the_ancestors(file: CsvFile) -> None:
    head = file.path.read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("time,client,status,instance,front port,back port,")


def test_the_head_names_every_column(file: CsvFile) -> None:
    head = file.path.read_text(encoding="utf-8").splitlines()[0]
    assert head.split(",") == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_success(file: CsvFile) -> None:
    whole = row(
        file,
        exchange(
            client=3,
            number=17,
            due_ns=START_NS + 1_000_999,
            written_ns=START_NS + 2 * NS_PER_MS,
            first_byte_ns=START_NS + 3 * NS_PER_MS,
            ended_ns=START_NS + 4 * NS_PER_MS,
            connect_ns=500_000,
            connection=2,
            carried=5,
            announced=True,
        ),
    )
    assert whole == {
        "time": "4000",
        "client": "3",
        "status": "200",
        "instance": "0",
        "front port": "40000",
        "back port": "50000",
        "request": "17",
        "due": "1000",
        "written": "2000",
        "first byte": "3000",
        "connect": "500",
        "kind": "get",
        "connection": "2",
        "carried": "5",
        "announced": "yes",
        "failure": "",
    }


def test_a_failure_without_a_connection(file: CsvFile) -> None:
    refused = row(file, failed("refused", connection=-1, front_port=0, written_ns=0))
    empty = ("instance", "front port", "back port", "written", "first byte", "connect", "connection", "announced")
    assert [refused[column] for column in empty] == [""] * len(empty)
    assert (refused["status"], refused["failure"]) == ("refused", "refused")


def test_how_long_a_connection_was_tried_that_there_never_was_is_no_time_to_connect(file: CsvFile) -> None:
    tried = failed("connect timeout", connection=-1, front_port=0, written_ns=0, connect_ns=4 * NS_PER_MS)
    tried = attrs.evolve(tried, ended_ns=START_NS + 5 * NS_PER_MS)
    assert tried.sent_ns == START_NS + NS_PER_MS
    written = row(file, tried)
    assert (written["time"], written["written"], written["connect"], written["connection"]) == ("5000", "", "", "")
    opened = failed("timeout", connection=0, connect_ns=4 * NS_PER_MS)
    assert opened.sent_ns == opened.written_ns
    assert row(file, opened)["connect"] == "4000"


def test_a_failure_keeps_the_port_of_its_connection(file: CsvFile) -> None:
    assert row(file, failed("timeout", front_port=41234))["front port"] == "41234"


@pytest.mark.parametrize(
    ("each", "status"),
    [
        (exchange(), 200),
        (exchange(status=503, failure="status 503"), 503),
        (failed("timeout"), "timeout"),
        (failed("malformed response", message="Invalid status code"), "malformed response: Invalid status code"),
        (
            exchange(failure="wrong body", message="not from a backend of ours"),
            "wrong body: not from a backend of ours",
        ),
    ],
)
def test_the_status_is_the_code_or_the_errors_name_and_message(each: Exchange, status: str | int) -> None:
    assert status_text(each) == status


@pytest.mark.parametrize("message", ["a,b", 'say "hi"', "é…漢", "=1+1", "'", ""])
def test_a_message_is_read_back_as_it_was(file: CsvFile, message: str) -> None:
    assert row(file, failed("wrong body", message=message))["status"] == f"wrong body: {message}".removesuffix(": ")


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("a,;\"'\n\r\t\x00\x1b 0", max_size=20)


@some_examples
@given(HOSTILE, HOSTILE)
def test_whatever_a_message_has_in_it_there_is_one_row_and_its_other_columns_stay_whole(
    message: str, instance: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = CsvFile(Path(folder) / "data.csv")
        file.open()
        file.started([Started(START_NS)])
        written = row(file, failed("wrong body", message=message, instance=instance))
        file.close()
        assert len(rows(file)) == 1
    assert (written["front port"], written["failure"], written["client"]) == ("40000", "wrong body", "0")
    assert written["status"].startswith("wrong body")
    if message.isprintable() and instance.isprintable():
        assert written["instance"] == as_cell(instance)
        assert written["status"] == status_text(failed("wrong body", message=message))


@pytest.mark.parametrize("instance", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", '=HYPERLINK("http://x.test")'])
def test_what_a_backend_says_is_no_formula(file: CsvFile, instance: str) -> None:
    for _time in range(2):  # also once it is known
        assert row(file, exchange(instance=instance))["instance"] == f"'{instance}"


def test_no_number_of_ours_is_taken_for_a_formula(file: CsvFile) -> None:
    assert row(file, exchange(due_ns=START_NS - NS_PER_MS))["due"] == "-1000"


def test_each_exchange_is_a_row_in_the_order_they_came(file: CsvFile) -> None:
    exchanges = [exchange(client=n % 3, number=n, ended_ns=START_NS + (50 - n) * NS_PER_MS) for n in range(50)]
    file.exchanged(exchanges[:20])
    file.exchanged(exchanges[20:])
    assert [(int(r[1]), int(r[6])) for r in rows(file)] == [(n % 3, n) for n in range(50)]
    assert file.rows == 50


def written(path: Path, batches: list[list[Exchange]]) -> list[list[str]]:
    """Return the rows that these batches become."""
    file = CsvFile(path)
    file.open()
    file.started([Started(START_NS)])
    for batch in batches:
        file.exchanged(batch)
    file.close()
    return rows(file)


@some_examples
@given(exchanges_st)
def test_a_row_does_not_depend_on_the_rows_around_it(exchanges: list[Exchange]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        together = written(Path(folder) / "together", [exchanges] if exchanges else [])
        alone = written(Path(folder) / "alone", [[each] for each in exchanges])
    assert together == alone
    assert [(r[1], r[3], r[5], r[10], r[11], r[13], r[14]) for r in together] == [
        (
            str(e.client),
            e.instance,
            str(e.back_port or ""),
            str(e.connect_ns // 1000 or ""),
            str(e.connection) if e.connection >= 0 else "",
            "yes" if e.announced else "",
            e.failure,
        )
        for e in exchanges
    ]


def test_a_batch_is_one_system_call(file: CsvFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_of(monkeypatch)
    file.exchanged([exchange(number=n) for n in range(100)])
    assert len(calls) == 1


def test_rows_can_be_read_while_the_run_goes_on(file: CsvFile) -> None:
    file.exchanged([exchange()])
    assert len(rows(file)) == 1


def test_a_file_of_an_earlier_run_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x" * 10_000)
    file = CsvFile(path)
    file.open()
    file.close()
    assert path.read_text() == ",".join(COLUMNS) + "\n"


def test_it_writes_what_the_bus_brings(tmp_path: Path) -> None:
    bus, file = EventBus(), CsvFile(tmp_path / "data.csv")
    file.open()
    file.subscribe(bus)
    bus.publish(Started(START_NS))
    bus.exchanged(exchange(ended_ns=START_NS + NS_PER_MS))
    bus.stop()
    file.close()
    assert [r[0] for r in rows(file)] == ["1000"]


# Whether it is whole at the end.


def test_a_file_that_has_every_row_misses_nothing(file: CsvFile) -> None:
    file.exchanged([exchange(number=n) for n in range(10)])
    assert file.missing(10) == ""


def test_rows_that_were_not_written_are_told(file: CsvFile) -> None:
    file.exchanged([exchange()])
    assert file.missing(2) == f"{file.path} has 1 rows of 2 exchanges"


def test_a_file_that_was_moved_removed_or_replaced_is_told(file: CsvFile) -> None:
    file.exchanged([exchange()])
    content = file.path.read_bytes()
    told = f"{file.path} is not the file that the rows were written to: somebody has moved or removed that"
    file.path.rename(file.path.with_name("moved"))
    assert file.missing(1) == told
    file.path.write_bytes(content)
    assert file.missing(1) == told


@pytest.mark.parametrize("more", [False, True])
def test_a_file_that_somebody_else_has_written_to_is_told(file: CsvFile, *, more: bool) -> None:
    file.exchanged([exchange()])
    with file.path.open("a" if more else "w") as others:
        others.write("x")
    file.exchanged([exchange(number=1)])
    size = file.path.stat().st_size
    assert file.missing(2).startswith(f"somebody else has written to {file.path}: it has {size} bytes, not ")


def test_rows_go_behind_whatever_somebody_else_has_written(file: CsvFile) -> None:
    with file.path.open("a") as others:
        others.write("x\n")
    file.exchanged([exchange()])
    assert [len(each) for each in rows(file)] == [1, len(COLUMNS)]


def test_a_device_is_believed() -> None:
    file = CsvFile(Path("/dev/null"))
    file.open()
    file.exchanged([exchange()])
    assert file.missing(1) == ""
    file.close()


def test_what_the_disk_did_not_take_is_told_once(file: CsvFile, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(monkeypatch, 0)
    with pytest.raises(OSError, match="No space left"):
        file.exchanged([exchange()])
    monkeypatch.undo()
    assert file.missing(1) == ""


def test_a_file_that_was_never_begun_misses_nothing(tmp_path: Path) -> None:
    assert CsvFile(tmp_path / "data.csv").missing(0) == ""


def test_a_file_that_another_run_writes_is_left_alone(file: CsvFile) -> None:
    file.exchanged([exchange()])
    content = file.path.read_bytes()
    with pytest.raises(
        UsageError, match=rf"data\.csv cannot be written: another run is writing it \(pid {os.getpid()}\)"
    ):
        CsvFile(file.path).open()
    assert file.path.read_bytes() == content
    file.close()
    CsvFile(file.path).open()


def test_claiming_leaves_the_rows_of_the_run_before(file: CsvFile) -> None:
    file.close()
    content = file.path.read_bytes()
    again = CsvFile(file.path)
    again.claim()
    assert file.path.read_bytes() == content
    again.close()


def test_closing_twice_is_no_error(file: CsvFile) -> None:
    file.close()
    file.close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "data.csv"
    with pytest.raises(UsageError, match=r"nowhere/data\.csv cannot be written: No such file or directory"):
        CsvFile(path).open()


def test_a_full_disk_at_the_start_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="/dev/full cannot be written: No space left on device"):
        CsvFile(Path("/dev/full")).open()


@pytest.mark.parametrize("room", [0, 1, 80, 81, 150, 299])
def test_a_disk_that_fills_up_leaves_whole_rows(file: CsvFile, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    file.exchanged([exchange(number=0)])
    cut_short(monkeypatch, room)
    with pytest.raises(OSError, match="No space left on device") as raised:
        file.exchanged([exchange(number=n, client=7) for n in range(1, 9)])
    monkeypatch.undo()
    assert file.path.read_bytes().endswith(b"\n")
    left = rows(file)
    assert [int(r[6]) for r in left] == list(range(len(left)))
    assert all(len(r) == len(COLUMNS) for r in left)
    assert file.rows == len(left)
    assert f"{len(left)} rows were written" in str(raised.value)


def test_a_row_of_two_lines_is_kept_or_left_whole(file: CsvFile, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "first line\n" + "x" * 40 + "\nthird line"
    cut_short(monkeypatch, 100)
    with pytest.raises(OSError, match="No space left"):
        file.exchanged([failed("wrong body", message=message)])
    monkeypatch.undo()
    assert rows(file) == []


def test_a_write_that_takes_a_part_is_continued(file: CsvFile, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:13]))
    file.exchanged([exchange(number=n) for n in range(20)])
    monkeypatch.undo()
    assert [int(r[6]) for r in rows(file)] == list(range(20))


def test_a_disk_that_fills_up_is_reported_once_and_the_others_go_on(
    file: CsvFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported, others = list[str](), list[Exchange]()
    bus = EventBus(lambda name, failure: reported.append(f"{name}: {failure.value}"))
    file.subscribe(bus)
    bus.subscribe(Exchange, others.extend, "another")
    cut_short(monkeypatch, 100)
    for number in range(3):
        bus.exchanged(exchange(number=number))
        bus.flush()
    assert len(reported) == 1
    assert reported[0].startswith(str(file.path))
    assert "No space left on device" in reported[0]
    assert len(others) == 3


LIMITED = """
import csv, resource, signal, sys
from pathlib import Path
from proxyreload.history.events import Started
from proxyreload.record.csvfile import CsvFile
from memory.clocks import START_NS
from memory.happened import exchange

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = CsvFile(Path(sys.argv[1]))
file.open()
file.started([Started(START_NS)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    file.exchanged([exchange(number=n) for n in range(100)])
except OSError as error:
    print(file.rows, error)
"""


def test_a_limit_of_the_systems_leaves_whole_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    with path.open(newline="") as opened:
        written = list(csv.reader(opened, strict=True))[1:]
    assert 0 < len(written) < 100
    assert all(len(each) == len(COLUMNS) for each in written)
    assert done.stdout.startswith(f"{len(written)} [Errno 27] File too large; {len(written)} rows were written")

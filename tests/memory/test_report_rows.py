"""Rows as columns."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.record.csvfile import COLUMNS
from proxyreload.report.batches import OTHER, UNKNOWN, Names, Parsed, Plain
from proxyreload.report.losses import losses
from proxyreload.report.rowfile import ANCESTORS, read_rows
from proxyreload.report.story import Story

from .clocks import some_examples
from .written import lost, row, write_rows

HEAD = ",".join(COLUMNS) + "\n"
WHOLE = "1000,0,200,0,40000,50000,0,700,700,990,,0,0,,,get\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def test_each_column_is_read(file: Path) -> None:
    write_rows(
        file,
        [
            row(2000, 3, instance="1", front_port=41000, back_port=51000, connection=7, carried=8, announced="yes"),
            lost(3000, 4, "refused", front_port="", connection="", written=""),
        ],
    )
    rows = read_rows(file)
    assert rows.detailed
    assert len(rows) == 2
    assert rows.time_us.tolist() == [2000, 3000]
    assert rows.client.tolist() == [3, 4]
    assert rows.front_port.tolist() == [41000, UNKNOWN]
    assert rows.back_port.tolist() == [51000, UNKNOWN]
    assert rows.due_us.tolist() == [1700, 2700]
    assert rows.written_us.tolist() == [1700, UNKNOWN]
    assert rows.connection.tolist() == [7, UNKNOWN]
    assert rows.carried.tolist() == [8, 0]
    assert rows.announced.tolist() == [True, False]
    assert [rows.instances[code] for code in rows.instance] == ["1", ""]
    assert [rows.failures[code] for code in rows.failure] == ["", "refused"]
    assert [rows.statuses[code] for code in rows.status] == ["200", "refused"]


def test_a_file_without_rows_is_a_run_without_requests(file: Path) -> None:
    assert len(read_rows(write_rows(file, []))) == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("message", ["timeout: none", 'timeout: "none", really', "timeout: one\nand two", "timeout\0"])
def test_whatever_stands_in_one_row_the_others_are_read_the_same(file: Path, end: str, message: str) -> None:
    write_rows(file, [row(t * 10, t % 3) for t in range(1, 9)] + [lost(100, 0, "timeout", status=message)], end=end)
    rows = read_rows(file)
    assert rows.time_us.tolist() == [*range(10, 90, 10), 100]
    assert rows.client.tolist() == [*(t % 3 for t in range(1, 9)), 0]
    assert [rows.failures[code] for code in rows.failure[-2:]] == ["", "timeout"]
    assert rows.statuses[rows.status[-1]].startswith("timeout")


def test_rows_are_read_in_pieces(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxyreload.report.rowfile._BYTES_AT_ONCE", 100)
    write_rows(file, [lost(t) if t % 7 == 0 else row(t) for t in range(1, 200)])
    rows = read_rows(file)
    assert rows.time_us.tolist() == list(range(1, 200))
    assert np.flatnonzero(rows.failure).tolist() == [t - 1 for t in range(7, 200, 7)]


texts_st = st.text(st.characters(codec="utf-8", exclude_characters=',"\r\n\0'), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 10**18 - 1), texts_st), min_size=1, max_size=20))
@some_examples
def test_plain_rows_are_what_the_csv_module_reads(rows: list[tuple[int, str]]) -> None:
    data = "".join(f"{number},{text},\n" for number, text in rows).encode()
    plain = Plain.of(data, 3)
    assert plain is not None
    parsed = Parsed(list(zip(*[(str(number), text, "") for number, text in rows], strict=True)))
    ours, theirs = Names(), Names()
    assert plain.numbers(0).tolist() == parsed.numbers(0).tolist()
    assert plain.numbers(2).tolist() == [UNKNOWN] * len(rows)
    one = [ours.texts[code] for code in plain.codes(1, ours)]
    assert one == [theirs.texts[code] for code in parsed.codes(1, theirs)]


@pytest.mark.parametrize("data", [b"1,2\n3\n", b"1\n2,3\n", b"1,2", b'"1",2\n', b"1,2\r\n", b"1,2\0\n", b"1,2,3\n"])
def test_what_is_not_plain_is_left_to_the_csv_module(data: bytes) -> None:
    assert Plain.of(data, 2) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.csv:1: its columns do not begin with time, client,"),
        ("{}\n", "data.csv:1: its columns"),
        (HEAD.replace("client", "who"), "data.csv:1: its columns"),
        (HEAD.replace("failure", "time"), "data.csv:1: its columns"),
        ("a" * 3_000_000, "data.csv:1: its columns"),
        (HEAD + WHOLE + "1,2,3\n", "data.csv:3: 3 fields, not 16"),
        (HEAD + WHOLE + WHOLE[:-13], "data.csv:3: 10 fields, not 16"),
        (HEAD + WHOLE + "\n", "data.csv:3: 0 fields, not 16"),
        (HEAD + WHOLE.replace("1000", "soon"), "data.csv:2: time: 'soon' is no such number"),
        (HEAD + WHOLE.replace("1000", ""), "data.csv:2: time: '' is no such number"),
        (HEAD + WHOLE.replace("1000", "-1"), "data.csv:2: time: '-1' is no such number"),
        (HEAD + WHOLE.replace("1000", "9" * 16), "data.csv:2: time: '9999999999999999' is no such number"),
        (HEAD + WHOLE.replace("1000", "9" * 19), "data.csv:2: time: '9999999999999999999' is no such number"),
        (HEAD + WHOLE.replace("1000", "9" * 9000), "data.csv:2: time: '9999"),
        (HEAD + WHOLE.replace("40000", "70000"), "data.csv:2: front port: '70000' is no such number"),
        (HEAD + WHOLE.replace("40000", "4\x1b[31m"), r"data.csv:2: front port: '4\\\\x1b\[31m' is no such number"),
        (HEAD + WHOLE.replace("200", '"a\nb"') + "x\n", "data.csv:4: 1 fields"),
        (HEAD + WHOLE.replace("200", "a" * 200_000) + '"', "data.csv:2: field larger than field limit"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(file: Path, content: str, message: str) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_rows(file)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(str(file))


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.csv: No such file"):
        read_rows(tmp_path / "missing.csv")
    with pytest.raises(UsageError, match="Is a directory"):
        read_rows(tmp_path)


def test_names_are_bounded_and_fit_to_be_shown(file: Path) -> None:
    hostile = ["<script>\x1b[31m\u202e", *(f"{'a' * 1000}{index}" for index in range(400)), *map(str, range(400))]
    rows = read_rows(write_rows(file, [row(t, instance=name) for t, name in enumerate(hostile, 1000)]))
    assert len(rows.instances) <= 258
    assert rows.instances[1] == r"<script>\x1b[31m\u202e"
    assert all(len(name) <= 121 and name.isprintable() for name in rows.instances)
    assert rows.instances[rows.instance[-1]] == OTHER


def test_the_ancestors_columns_are_enough(file: Path) -> None:
    write_rows(
        file,
        [
            *(row(10, 0, front_port=1), row(20, 1, front_port=2), row(30, 0, front_port=1), row(40, 0, front_port=3)),
            *(lost(50, 0, "Error: socket hang up", front_port=3), lost(60, 1, "503", front_port="")),
        ],
        ANCESTORS,
    )
    rows = read_rows(file)
    assert not rows.detailed
    connections = rows.connection.tolist()
    assert connections[0] == connections[2] != connections[3] == connections[4]
    assert connections[5] == UNKNOWN
    assert [rows.failures[code] for code in rows.failure] == ["", "", "", "", "Error", "status 503"]


def test_the_ancestors_errors_are_classes_however_many_different_messages_there_are(file: Path) -> None:
    write_rows(file, [lost(t, failure=f"timeout: request {t}") for t in range(1000, 2000)], ANCESTORS)
    rows = read_rows(file)
    assert {rows.failures[code] for code in rows.failure} == {"timeout"}


def test_a_row_takes_sixty_bytes_and_is_held_once(file: Path) -> None:
    many = 200_000
    file.write_text(HEAD + WHOLE * many)
    read_rows(file)  # what is imported or compiled for it is no row
    tracemalloc.start()
    try:
        rows = read_rows(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(rows) == many
    assert peak < 60 * many + 8_000_000  # and the rows under way, of which there are only so many


def test_more_rows_than_lines_are_read_all_the_same(file: Path) -> None:
    file.write_text(HEAD.replace("\n", "\r") + WHOLE.replace("\n", "\r") * 1000)
    with pytest.raises(UsageError):
        read_rows(file)  # the head must end with its line
    file.write_text(HEAD + WHOLE.replace("\n", "\r") * 1000)
    assert read_rows(file).time_us.tolist() == [1000] * 1000


def test_the_widest_numbers_that_are_allowed_are_kept(file: Path) -> None:
    widest = 2**31 - 1
    write_rows(file, [row(10**15, widest, front_port=65535, back_port=65535, connection=widest, carried=widest)])
    rows = read_rows(file)
    assert (rows.time_us[0], rows.client[0], rows.connection[0], rows.carried[0]) == (10**15, widest, widest, widest)
    (loss,) = losses(Story("", rows, None), np.array([0]))
    assert (loss.client, loss.age_us) == (widest, 300)
    write_rows(file, [row(10, connection=widest + 1)])
    with pytest.raises(UsageError, match="connection"):
        read_rows(file)

"""The files that a story is told from: whatever is in them, it is told, or one line says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.explanation.passages import AROUND, read_passages
from proxyreload.explanation.sources import find_sources
from proxyreload.record import csvlines
from proxyreload.record.csvfile import COLUMNS as ROW_COLUMNS
from proxyreload.record.lossfile import COLUMNS
from proxyreload.record.lossrows import read_losses

from .clocks import some_examples
from .exits import status_of
from .written import change, loss_row, lost, row, run_content, write_rows, write_run

OPTIONS = {"csv": "data.csv", "losses": "losses.csv"}
TRAFFIC = [{"kind": "get", "clients": 3, "rate": None, "rtt_ms": 20.0}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one loss."""
    write_rows(tmp_path / "losses.csv", [loss_row()], COLUMNS)
    write_rows(tmp_path / "data.csv", [row(1000), lost(2_101_000, request=7, written=2_100_000)])
    content = run_content({"verdict": "lossy", "exchanges": 2, "success": 1, "failure": 1}, options=OPTIONS)
    return write_run(tmp_path / "run.json", {**content, "traffic": TRAFFIC})


def complaint(path: Path, *words: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Return the one line that `explain` ends with, and nothing else."""
    assert status_of("explain", str(path), *words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("proxyreload: ")
    assert err.count("\n") == 1
    assert err.isascii() or err.rstrip().isprintable()
    return err


def edit(path: Path, old: str, new: str) -> None:
    """Change what a file says."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("losses.csv", "2101000,", "soon,", "losses.csv:2: time: 'soon' is no such number"),
        ("losses.csv", "2101000,", ",", "losses.csv:2: time is empty"),
        ("losses.csv", "2101000,", "-5,", "losses.csv:2: time: '-5' is no such number"),
        ("losses.csv", "2101000,", f"{10**30},", "losses.csv:2: time: '1000000000000000000000000000000' is no"),
        ("losses.csv", "2101000,", "٣,", "losses.csv:2: time: "),
        ("losses.csv", "2101000,", "2101000,0,", "losses.csv:2: 16 fields, not 15"),
        ("losses.csv", "time,", "when,", "losses.csv:1: it has no column 'time'"),
        ("losses.csv", "time,", "time,time,", "losses.csv:1: two of its columns have one name"),
        ("losses.csv", "keep-alive race", '"keep', "losses.csv:2: "),
        ("data.csv", "2100000", "\x1b[31m", r"data.csv:3: written: '\x1b[31m' is no such number"),
        ("data.csv", "2101000,0,", "2101000,0,0,", "data.csv:3: 17 fields, not 16"),
        ("data.csv", "written", "writ", "data.csv:1: it has no column 'written'"),
        ("run.json", '"losses.csv"', '"no.csv"', "its losses, 'no.csv', are not beside it"),
        ("run.json", '"losses.csv"', "7", "losses is not a path"),
        ("run.json", '"losses": ', '"x": ', "names no file of losses: it was written by an earlier proxyreload"),
        ("run.json", '"finished": true', '"finished": false', "the run did not come to its end"),
        ("run.json", "{", "", "run.json:1: not JSON"),
        ("run.json", '"url":', '"rows": [], "url":', "is a comparison: name the run.json of one of its runs"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    file: str, old: str, new: str, words: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(run.parent / file, old, new)
    assert words in complaint(run, capfd=capfd)


@pytest.mark.parametrize("file", ["losses.csv", "data.csv"])
@pytest.mark.parametrize("filling", [b"x", b'"', b"0,0,", b"2101000,0,"])
def test_a_line_without_end_is_not_read_to_its_end(
    file: str, filling: bytes, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (run.parent / file).open("ab") as opened:
        opened.write(filling * (10_000_000 // len(filling)))
    assert f"{file}:" in complaint(run, capfd=capfd)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--loss", "0"), "--loss takes a whole number from 1 to 1000000000, not '0'"),
        (("--loss", "x"), "--loss takes a whole number from 1 to 1000000000, not 'x'"),
        (("--loss", "2"), "losses.csv has 1 rows"),
        (("run.json",), "name one run"),
    ],
)
def test_what_cannot_be_told(words: tuple[str, ...], told: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert told in complaint(run, *words, capfd=capfd)


def test_a_run_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "No such file or directory" in complaint(tmp_path / "run.json", capfd=capfd)
    assert "Is a directory" in complaint(tmp_path, capfd=capfd)


def test_files_are_found_beside_the_run_file_wherever_it_was_written(run: Path) -> None:
    edit(run, '"losses.csv"', '"/nowhere/else/losses.csv"')
    edit(run, '"data.csv"', '"somewhere/data.csv"')
    sources = find_sources(run)
    assert (sources.losses, sources.rows) == (run.parent / "losses.csv", run.parent / "data.csv")


def test_a_client_belongs_to_the_group_that_its_number_falls_into(run: Path) -> None:
    content = json.loads(run.read_text(encoding="utf-8"))
    content["traffic"] = [{"kind": "get", "clients": 2}, {"kind": "post", "clients": 0}, {"kind": "idle", "clients": 1}]
    sources = find_sources(write_run(run, content))
    kinds = [sent.kind if (sent := sources.sent(client)) else None for client in (0, 1, 2, 3, None)]
    assert kinds == ["get", "get", "idle", None, None]


def test_cells_that_were_kept_from_a_spreadsheet_are_as_they_were(tmp_path: Path) -> None:
    write_rows(tmp_path / "losses.csv", [loss_row(failure="'=1+1", evidence="'-x", request="'@7")], COLUMNS)
    [loss] = read_losses(tmp_path / "losses.csv")
    assert (loss.failure, loss.evidence, loss.request, loss.key) == ("=1+1", "-x", "@7", None)


def test_whatever_a_file_says_no_terminal_obeys(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b]0;x\x07\u202e"
    write_rows(run.parent / "losses.csv", [loss_row(kind=bad, failure=bad, fate=bad, cause=bad, evidence=bad)], COLUMNS)
    write_rows(run.parent / "data.csv", [lost(2_101_000, request=7, status=bad, failure=bad, instance=bad)])
    for words in ((), ("--loss", "1")):
        assert status_of("explain", str(run), *words) == 0
        assert all(line.isprintable() for line in capfd.readouterr().out.splitlines())


def test_rows_around_a_request_are_those_of_its_connection(tmp_path: Path) -> None:
    rows = [row(number * 10, 1, request=number, connection=number // 10) for number in range(40)]
    mixed = [
        each for number, one in enumerate(rows) for each in (one, row(number * 10 + 1, 2), row(number * 10 + 2, 11))
    ]
    found = read_passages(write_rows(tmp_path / "data.csv", mixed), {(1, 15), (1, 20), (2, 99)})
    assert set(found) == {(1, 15), (1, 20)}
    passage = found[1, 15]
    assert passage.first is not None
    assert passage.first.number == 10
    assert [each.number for each in passage.before] == [12, 13, 14]
    assert [each.number for each in passage.after] == [16, 17, 18]
    assert len(passage.after) == AROUND
    assert passage.elsewhere is not None
    assert passage.elsewhere.number == 20
    assert (found[1, 20].first, found[1, 20].before) == (None, ())


def test_rows_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvlines, "_BYTES_AT_ONCE", 100)
    rows = [row(number, number % 3, request=number) for number in range(100)]
    path = write_rows(tmp_path / "data.csv", rows)
    found = list(csvlines.read_rows_of(path, ROW_COLUMNS, {1}))
    assert [cells.number("time") for cells in found] == list(range(1, 100, 3))
    assert [cells.line for cells in found] == list(range(3, 102, 3))


def test_no_more_sorts_are_kept_than_there_are(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_rows(run.parent / "losses.csv", [loss_row(f"cause {number}") for number in range(101)], COLUMNS)
    assert "more causes, kinds, fates, failures and changes than there are" in complaint(run, capfd=capfd)


def test_a_request_that_stands_twice_is_taken_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "data.csv", [row(number, request=7) for number in range(1, 100)])
    assert read_passages(path, {(0, 7)})[0, 7].row.time_us == 1


def told_or_one_line(run: Path) -> None:
    """Both stories of a run are told, or raise what is one line."""
    from proxyreload.command.explain import explain

    for words in ([], ["--loss", "1"]):
        complaints = []
        try:
            explain([str(run), *words])
        except UsageError as error:
            complaints = str(error).splitlines()
            assert complaints, "it says nothing"
        assert len(complaints) <= 1


cells_st = st.one_of(
    st.just(""),
    st.integers(-(10**18), 10**18).map(str),
    st.sampled_from(
        ["0", "1", "7", "2101000", "get", "lost_executed", "never_sent", "unknown", "timeout", "status 503"]
    ),
    st.text(max_size=20),
)
loss_st = st.dictionaries(st.sampled_from([name.replace(" ", "_") for name in COLUMNS if name != "cause"]), cells_st)
row_st = st.dictionaries(
    st.sampled_from([name.replace(" ", "_") for name in ROW_COLUMNS if name not in ("time", "client")]), cells_st
)
json_st = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@some_examples
@given(losses=st.lists(loss_st, max_size=3), rows=st.lists(row_st, max_size=3), data=st.data())
def test_whatever_the_cells_are_it_is_told_or_a_line_says_why_not(
    losses: list[dict[str, Any]], rows: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("run")
    cause = data.draw(st.sampled_from(["keep-alive race", "repeated by the proxy", "stale generation", "x"]))
    write_rows(folder / "losses.csv", [loss_row(cause), *(loss_row(cause, **each) for each in losses)][::-1], COLUMNS)
    write_rows(folder / "data.csv", [row(1), *(row(2_000_000, **each) for each in rows)])
    content = run_content(
        {"verdict": data.draw(st.sampled_from(["lossy", "racy", "x"]))}, options=OPTIONS, traffic=TRAFFIC
    )
    told_or_one_line(write_run(folder / "run.json", content))


@some_examples
@given(
    content=st.binary(max_size=200), name=st.sampled_from(["losses.csv", "data.csv"]), kept=st.sampled_from([0, None])
)
def test_whatever_the_bytes_are_it_is_told_or_a_line_says_why_not(
    content: bytes, name: str, kept: int | None, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_rows(folder / "losses.csv", [loss_row()], COLUMNS)
    write_rows(folder / "data.csv", [row(1), lost(2_101_000, request=7)])
    (folder / name).write_bytes((folder / name).read_bytes()[:kept] + content)
    told_or_one_line(write_run(folder / "run.json", run_content(options=OPTIONS, traffic=TRAFFIC)))


@some_examples
@given(key=st.sampled_from(["options", "changes", "summary", "traffic", "plugin", "mechanism"]), value=json_st)
def test_whatever_the_run_file_says_it_is_told_or_a_line_says_why_not(
    key: str, value: Any, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_rows(folder / "losses.csv", [loss_row()], COLUMNS)
    write_rows(folder / "data.csv", [row(1), lost(2_101_000, request=7)])
    content = run_content(options=OPTIONS, traffic=TRAFFIC, changes=[change(1, 2_000_000)])
    told_or_one_line(write_run(folder / "run.json", {**content, key: value}))

"""The run file, as it is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxyreload.errors import UsageError
from proxyreload.record.paths import RunPaths, find
from proxyreload.record.rundata import read_record

from .written import change, latency, row, run_content, write_rows, write_run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def test_what_ran_and_what_became_of_it(file: Path) -> None:
    content = run_content({"verdict": "lossy", "exchanges": 9, "success": 7, "failure": 2, "failures": {"timeout": 2}})
    record = read_record(write_run(file, content))
    assert (record.title, record.version, record.verdict) == ("it:reload", "it 1.0", "lossy")
    assert (record.exchanges, record.success, record.failure, record.failures) == (9, 7, 2, {"timeout": 2})
    assert record.phases["before"].p99_us == 200
    assert record.baseline is not None
    assert (record.baseline.max_us, record.baseline_rate_per_s) == (400, 10)
    told = record.changes[0]
    assert (told.what, told.requested_us, told.over_us, told.settled_us) == (
        "add backend 2",
        2_000_000,
        2_002_000,
        2_001_000,
    )


def test_a_change_that_was_refused(file: Path) -> None:
    refused = change(1, 5000, action="reload", instance="", applied_us=None, effective_us=None, error="no\x1b such")
    told = read_record(write_run(file, run_content(changes=[refused]))).changes[0]
    assert (told.what, told.error, told.over_us, told.settled_us) == ("reload", r"no\x1b such", 5000, 5000)


MORE = {"rate_per_s": 1.5, "latency": {**latency(), "percentiles": [[50.0, 100], [90, 150]]}}


def test_more_percentiles_of_the_baseline_are_taken(file: Path) -> None:
    record = read_record(write_run(file, run_content({"baseline": MORE})))
    assert record.baseline is not None
    assert record.baseline.percentiles == ((50.0, 100.0), (90.0, 150.0))


def test_a_baseline_by_its_name_before_is_one(file: Path) -> None:
    content = run_content({"floor": MORE})
    del content["summary"]["baseline"]
    record = read_record(write_run(file, content))
    assert record.baseline is not None
    assert record.baseline.percentiles == ((50.0, 100.0), (90.0, 150.0))
    assert record.baseline_rate_per_s == 1.5


def test_a_run_without_a_baseline_has_none_by_either_name(file: Path) -> None:
    assert read_record(write_run(file, run_content({"baseline": None, "floor": None}))).baseline is None


def test_texts_are_fit_to_be_shown(file: Path) -> None:
    content = run_content({"reasons": ["\x1b[31m" + "a" * 1_000_000]}, plugin="<script>", proxy_version="\u202e")
    record = read_record(write_run(file, content))
    assert (record.title, record.version) == ("<script>:reload", r"\u202e")
    assert len(record.reasons[0]) < 220
    assert record.reasons[0].isprintable()


def broken(path: str, value: object) -> str:
    """Return a run file in which something stands at `path` that should not."""
    content: Any = run_content()
    *way, last = path.split("/")
    table = content
    for key in way:
        table = table[int(key)] if isinstance(table, list) else table[key]
    table[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "run.json:1: not JSON"),
        ("{\n\n", "run.json:3: not JSON"),
        ("[]", "run.json:1: not a table"),
        ("[" * 100_000, "run.json:1: not JSON"),
        ("9" * 10_000, "run.json:1: not JSON"),
        ("{}", "run.json: format is not 1 or 2"),
        (broken("format", 3), "run.json: format is not 1 or 2"),
        (broken("finished", False), "run.json: finished is not true"),  # noqa: FBT003
        (broken("summary", []), "run.json: summary is not a table"),
        (broken("summary/exchanges", "9"), "run.json: summary.exchanges is not a whole number"),
        (broken("summary/exchanges", -1), "run.json: summary.exchanges is not a whole number"),
        (broken("summary/exchanges", True), "run.json: summary.exchanges is not a whole number"),  # noqa: FBT003
        (broken("summary/exchanges", 10**30), "run.json: summary.exchanges is not a whole number"),
        (broken("summary/reasons", [1]), "run.json: summary.reasons is not a list of texts"),
        (broken("summary/verdict", 1), "run.json: summary.verdict is not a text"),
        (broken("summary/failures", {"a\x1b": "x"}), r"run.json: summary.failures.a\\x1b is not a whole number"),
        (broken("summary/latency", {"before": 1}), "run.json: summary.latency.before is not a table"),
        (broken("summary/baseline/latency/percentiles", [[50]]), "percentiles are not pairs"),
        (broken("summary/baseline/latency/percentiles", [[500, 1]]), "percentiles are not pairs"),
        (broken("changes", [1]), "run.json: changes is not a list of tables"),
        (broken("changes", [{}] * 50_001), "run.json: changes has more than 50000 entries"),
        (broken("changes", [change(1, 9), change(2, 8)]), "run.json: changes are not in the order of their times"),
        (broken("changes/0/requested_us", None), "run.json: changes 1: requested_us is not a whole number"),
        (broken("options/csv", 1), "run.json: options.csv is not a path"),
        (broken("options/csv", "a\0b"), "run.json: options.csv is not a path"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(file: Path, content: str, message: str) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_record(file)
    assert str(caught.value).isprintable()


def test_a_file_without_an_end_is_not_read_to_its_end() -> None:
    with pytest.raises(UsageError, match="/dev/zero: longer than"):
        read_record(Path("/dev/zero"))


def test_rows_are_beside_the_run_file(file: Path) -> None:
    rows = write_rows(file.with_name("data.csv"), [row(1000)])
    assert find(write_run(file, run_content())) == RunPaths(rows, file)


def test_rows_that_were_written_elsewhere_are_looked_for_beside_the_run_file(file: Path) -> None:
    content = run_content()
    content["options"]["csv"] = "/some/where/else/mine.csv"
    rows = write_rows(file.with_name("mine.csv"), [row(1000)])
    assert find(write_run(file, content)) == RunPaths(rows, file)


def test_bare_rows_are_a_run_by_themselves(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "data.csv", [row(1000)])
    assert find(rows) == RunPaths(rows)


def test_missing_files_are_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)  # rows of another run may lie where the tests are started
    with pytest.raises(UsageError, match=r"run\.json: No such file"):
        find(file)
    with pytest.raises(UsageError, match=r"run\.json: its rows, 'data\.csv', are not beside it"):
        find(write_run(file, run_content()))

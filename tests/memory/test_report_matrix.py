"""The page of a comparison."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxyreload.comparison.table import as_json
from proxyreload.errors import UsageError
from proxyreload.record.paths import is_comparison
from proxyreload.report.matrix import matrix_page, read_matrix

from .test_comparison import CANNOT, LOSSY, MISSING, SEAMLESS

ROWS = [SEAMLESS, LOSSY, CANNOT, MISSING]


@pytest.fixture(name="written")
def _written(tmp_path: Path) -> Path:
    return write(tmp_path, {})


def write(folder: Path, spoilt: dict[str, Any]) -> Path:
    path = folder / "compare.json"
    content = json.loads(as_json(ROWS, {"what": "compared", "versions": ["fake: fake 1.2"]}))
    path.write_text(json.dumps({**content, **spoilt}), encoding="utf-8")
    return path


def test_it_reads_what_compare_writes(written: Path) -> None:
    assert is_comparison(written)
    matrix = read_matrix(written)
    assert matrix.what == "compared; fake: fake 1.2"
    assert (matrix.rounds, [line.mechanism for line in matrix.lines]) == (2, [row.name for row in ROWS])
    quick, slow, old, gone = matrix.lines
    assert (quick.verdict, slow.verdict, old.verdict, gone.verdict) == ("seamless", "lossy", "cannot", "not run")
    assert (slow.failures, slow.closed, slow.announced, slow.replaced, slow.stragglers) == ({"timeout": 4}, 6, 4, 8, 10)
    assert (slow.per_change, slow.advice, slow.link) == (0.4, "turn it off", "https://example.test/off")
    assert slow.times == {
        "applied_ms": 2,
        "effective_ms": 2,
        "drained_ms": None,
        "p99_steady_us": 100,
        "p99_around_us": 300,
        "p99_floor_us": 50,
    }
    assert gone.times["applied_ms"] is None


def test_a_verdict_leads_to_its_runs_page_if_there_is_one(written: Path) -> None:
    assert {cell.page for line in read_matrix(written).lines for cell in line.cells} == {""}
    (written.parent / "report.html").touch()
    quick = read_matrix(written).lines[0]
    assert quick.cells[0].page == "report.html"
    page = matrix_page(read_matrix(written))
    assert '<a href="report.html"><span class="verdict seamless">seamless</span></a>' in page


@pytest.mark.parametrize("run", ["/etc/passwd", "javascript:alert(1)", "../x/run.json"])
def test_a_page_that_is_not_there_is_not_led_to(tmp_path: Path, run: str) -> None:
    content = json.loads(as_json([SEAMLESS], {}))
    content["rows"][0]["trials"][0]["run"] = run
    path = tmp_path / "compare.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "<a " not in matrix_page(read_matrix(path))


def test_what_a_proxy_says_is_only_text(tmp_path: Path) -> None:
    content = json.loads(as_json([LOSSY], {}))
    content["rows"][0].update(why="<script>alert(1)</script>", mechanism="<b>")
    content["rows"][0]["cure"]["link"] = "javascript:alert(1)"
    path = tmp_path / "compare.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    page = matrix_page(read_matrix(path))
    assert "<script" not in page
    assert "<b>" not in page
    assert "javascript:" not in page


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"format": 2}, r"compare\.json: format is not 1"),
        ({"rows": 1}, r"compare\.json: rows is not a list"),
        ({"rows": [1]}, r"compare\.json: rows is not a list of tables"),
        ({"rows": [{}]}, r"compare\.json: rows 1: exchanges is not a whole number"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, spoilt: dict[str, Any], message: str) -> None:
    path = write(tmp_path, spoilt)
    with pytest.raises(UsageError, match=message):
        read_matrix(path)

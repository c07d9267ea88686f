"""Many changes, in little time: what an hour's soak looks at, and that it would notice."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.soak import Outcome, Sample, Soak, main, report

pytestmark = pytest.mark.real

SOAK = Soak(changes=40, settled=10, plugin="haproxy", pace_s=0.3, rate_per_s=200, look_s=0.2, exchanges=500)
SAMPLES = [Sample(float(n), n, 60_000_000, 40, 2, frozenset()) for n in range(41)]
OUTCOME = Outcome(status=0, rows=1000, exchanges=1000, changes=40, alive=(), verdict="seamless", mixed=500)


def test_nothing_of_the_mix_is_unexplained(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--mix",
        "--changes",
        "12",
        "--settled",
        "6",
        "--exchanges",
        "500",
        "--pace",
        "0.5",
        "--look",
        "0.1",
        "--rate",
        "50",
    ]
    status = main(words)
    said = capsys.readouterr().out
    assert status == 0, said
    assert "unexplained: 0\n" in said


@pytest.mark.parametrize("plugin", ["haproxy", "haproxy:reload"])
def test_nothing_grows_with_the_changes(capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    words = ["--changes", "60", "--settled", "20", "--pace", "0.1", "--rate", "100", "--look", "0.1"]
    status = main([*words, "--plugin", plugin])
    said = capsys.readouterr().out
    assert status == 0, said
    assert said.startswith("60 changes in ")
    assert "NOT AS IT SHOULD BE" not in said


def test_a_run_that_is_as_it_should_be_is_told_so() -> None:
    seen, wrong = report(SOAK, SAMPLES, OUTCOME)
    assert wrong == []
    assert "rows: 1000, exchanges: 1000, of the mix: 500" in seen


@pytest.mark.parametrize(
    ("samples", "outcome", "said"),
    [
        ({"rss": 81_000_000}, {}, "memory grew by 21.0 MB"),
        ({"descriptors": 49}, {}, "descriptors grew"),
        ({"children": 5}, {}, "processes grew"),
        ({"zombies": frozenset({17})}, {}, "processes that ended and were not reaped: 17"),
        ({}, {"rows": 999}, "999 rows of 1000 exchanges"),
        ({}, {"status": 3}, "it ended with status 3"),
        ({}, {"changes": 39}, "39 changes were applied, not 40"),
        ({}, {"mixed": 499}, "499 exchanges of the mix, not 500: make --pace longer"),
        ({}, {"unexplained": ("get: 2 rows, 3 exchanges",)}, "unexplained: get: 2 rows, 3 exchanges"),
        ({}, {"alive": ("17 haproxy",)}, "processes outlived the run: 17 haproxy"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_what_grows_or_is_missing_is_found(samples: dict[str, Any], outcome: dict[str, Any], said: str) -> None:
    later = [attrs.evolve(each, **samples) if each.changes > 20 else each for each in SAMPLES]
    _seen, wrong = report(SOAK, later, attrs.evolve(OUTCOME, **outcome))
    assert wrong == [said]


def test_a_run_too_short_to_be_looked_at_shows_nothing() -> None:
    _seen, wrong = report(SOAK, SAMPLES[:5], OUTCOME)
    assert wrong == ["5 looks at it before change 10, 0 after: too few to compare"]

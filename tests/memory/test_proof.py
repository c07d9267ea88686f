"""Times to proof are counted from what was written, and told for what they are."""

import sys
from pathlib import Path

import attrs
import pytest

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.loop import BACKENDS, EVERY_S, Rows, scenario
from benchmarks.processes import BenchmarkError
from benchmarks.proof import ALONE, CONTROL, DEFAULT, Proof, Proofs, Try, first_loss
from benchmarks.proof_table import proof
from proxyreload.plan.scenario import parse
from proxyreload.record.csvfile import COLUMNS

RACE = "nginx:reload"
HEAD = ",".join(COLUMNS) + "\n"


def row(ended_us: int, written_us: int | None, failure: str = "") -> str:
    """Return a row of a run's file; a failure's message has what CSV must quote."""
    cells = {
        "time": str(ended_us),
        "written": "" if written_us is None else str(written_us),
        "failure": failure,
        "status": f'"{failure}: a ""reason"", with a comma"' if failure else "200",
    }
    return ",".join(cells.get(column, "") for column in COLUMNS) + "\n"


def written(folder: Path, *rows: str) -> Path:
    log = folder / "loop.csv"
    log.write_text(HEAD + "".join(rows), "utf-8")
    return log


def test_the_first_loss_is_the_one_that_ended_first_and_requests_count_that_were_sent_by_then(tmp_path: Path) -> None:
    rows = [
        *[row(time_us, time_us - 10) for time_us in (100, 200)],
        row(300, 250, "status 503"),
        row(400, None, "refused"),
        row(500, 299),  # on its way when the loss was seen
        row(600, 301),
    ]
    assert first_loss(written(tmp_path, *rows), 60) == Try(shown=True, seconds=0.0003, requests=4)


def test_without_a_loss_nothing_was_shown_however_much_was_sent(tmp_path: Path) -> None:
    rows = [row(100, 90), row(61_000_000, 60_500_000)]
    assert first_loss(written(tmp_path, *rows), 60) == Try(shown=False, seconds=60.0, requests=1)


def test_what_the_instrument_could_not_do_shows_nothing(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="own limit"):
        first_loss(written(tmp_path, row(100, 90), row(200, None, "own limit")), 60)


def test_rows_are_read_as_they_come_and_none_in_part(tmp_path: Path) -> None:
    log = tmp_path / "loop.csv"
    rows = Rows(log)
    assert list(rows.more()) == []
    text = HEAD + row(100, 90, "status 503") + row(200, 190)
    seen = []
    for end in range(0, len(text) + 1, 7):
        log.write_text(text[:end], "utf-8")
        seen += list(rows.more())
    log.write_text(text, "utf-8")
    seen += list(rows.more())
    assert [(each["time"], each["failure"]) for each in seen] == [("100", "status 503"), ("200", "")]


def test_the_loop_changes_backends_at_fixed_times_and_a_removed_one_stays_away() -> None:
    steps = parse(scenario(180.0), "loop.toml").steps
    assert [step.at_s for step in steps] == [EVERY_S * number for number in range(1, 180)]
    removed = {step.instance: step.at_s for step in steps if step.action == "remove"}
    assert set(removed) == set(range(BACKENDS))
    first = next(step.at_s for step in steps if step.action == "remove" and step.instance == 0)
    again = next(step.at_s for step in steps if step.action == "add" and step.instance == 0)
    assert first is not None
    assert again is not None
    assert again - first > 10


def proofs(**tries: list[Try]) -> Proofs:
    names = {"ours": DEFAULT, "alone": ALONE}
    return Proofs([Proof(RACE, names.get(name, name), tuple(each)) for name, each in tries.items()])


def cells(measured: Proofs, *begin: str) -> list[str]:
    """Return the cells of the last row that begins with these."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in proof(measured) if line.startswith("|")]
    return [row for row in rows if tuple(row[: len(begin)]) == begin][-1]


MORE = Try(shown=True, seconds=1.0, requests=9_000)
SHOWN, NEVER = Try(shown=True, seconds=1.0, requests=100), Try(shown=False, seconds=60.0, requests=10**6)


@pytest.mark.parametrize(
    ("requests", "told"),
    [(1_900, ["1,900", "19.0", "20", "missed"]), (2_000, ["2,000", "20.0", "20", "reached"])],
    ids=["too few", "enough"],
)
def test_ours_stands_beside_the_peer_that_took_the_fewest_requests(requests: int, told: list[str]) -> None:
    measured = proofs(ours=[SHOWN], alone=[SHOWN], wrk=[attrs.evolve(SHOWN, requests=requests)], hey=[MORE])
    assert cells(measured, RACE, DEFAULT) == [RACE, DEFAULT, "100", "wrk", *told]


def test_what_no_peer_saw_is_told_with_what_was_not_enough() -> None:
    measured = proofs(ours=[SHOWN], alone=[SHOWN], wrk=[NEVER], hey=[NEVER])
    assert cells(measured, RACE, DEFAULT)[2:] == ["100", "wrk", "not in 1,000,000", "over 10000.0", "20", "reached"]


def test_what_ours_did_not_show_is_missed_whatever_the_peers_saw() -> None:
    for peer in (SHOWN, NEVER):
        assert cells(proofs(ours=[NEVER], alone=[SHOWN], wrk=[peer]), RACE, DEFAULT)[2::5] == ["never", "missed"]


def test_shown_in_less_than_half_of_the_tries_is_never() -> None:
    measured = proofs(ours=[SHOWN], alone=[SHOWN], wrk=[SHOWN, NEVER, NEVER])
    assert cells(measured, RACE, "wrk") == [RACE, "wrk", "1 of 3", "never", "never", "100 to 100"]


def test_who_shows_a_loss_where_there_is_none_is_named() -> None:
    measured = Proofs([Proof(CONTROL, "wrk", (SHOWN,)), Proof(CONTROL, DEFAULT, (NEVER,))])
    assert f"\nWhere nothing is lost ({CONTROL}), a loss was shown by: wrk." in list(proof(measured))

"""What was measured, as Markdown: on the terminal and in `results.md` alike."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from benchmarks.agreement import APART_US, RATE_PER_S, SHARE, Agreement
from benchmarks.memory import ALLOWED_MB, Memory
from benchmarks.rounds import Rounds
from benchmarks.sections import Row

#: What `proxyreload --version` is to take at most.
STARTUP_S = 0.3

AGREEMENT_TITLE = f"Latency at {RATE_PER_S:,}/s through haproxy, from when a request was due"


def lines_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return a table whose columns stand under each other."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def ratios(rows: Sequence[Row], rounds: Rounds) -> Iterator[str]:
    """Return the ratios beside what is asked of them."""
    head = ("against", "ratio", "in its rounds", "at least", "reach for", "", "ours/s", "theirs/s")
    yield from lines_of(head, [_ratio(row, rounds) for row in rows])
    for name, trouble in rounds.troubles.items():
        yield f"\nIn some round no rate of {name}: {trouble}."


def _ratio(row: Row, rounds: Rounds) -> tuple[str, ...]:
    seen = rounds.ratios(row.ours, row.theirs)
    asked = (_asked(row.at_least), _asked(row.reach_for))
    if not seen:
        return (row.title, "not measured", "", *asked, "", "", "")
    ratio = median(seen)
    spread = f"{figure(min(seen))} to {figure(max(seen))}"
    rates = (f"{rounds.rate(name):,.0f}" for name in (row.ours, row.theirs))
    return (row.title, figure(ratio), spread, *asked, _judged(row, ratio), *rates)


def _asked(figure: float | None) -> str:
    return "" if figure is None else f"{figure:g}"


def figure(ratio: float) -> str:
    """Return a ratio with as many digits as it deserves."""
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"  # noqa: PLR2004


def _judged(row: Row, ratio: float) -> str:
    if row.at_least is None or row.reach_for is None:
        return ""
    return "reached" if ratio >= row.reach_for else "enough" if ratio >= row.at_least else "missed"


def agreement(agreements: Sequence[Agreement]) -> Iterator[str]:
    """Return both programs' percentiles side by side."""
    head = ("latency", "proxyreload", "oha", "apart", "", f"within {SHARE:.0%} or {APART_US:.0f} µs")
    yield from lines_of(head, [_agreement(it) for it in agreements])


def _agreement(it: Agreement) -> tuple[str, ...]:
    figures = (f"{median(side):.0f} µs" for side in (it.ours_us, it.theirs_us))
    return (f"p{it.percentile}", *figures, f"{it.apart_us:+.0f} µs", f"{it.apart:+.0%}", "yes" if it.agrees else "no")


def startup(taken_s: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Return how long starts take; what is asked is asked of the first."""
    asked = iter([f"{STARTUP_S} s"])
    rows = [
        (f"`proxyreload {option}`", *map(_seconds, (median(taken), min(taken), max(taken))), next(asked, ""))
        for option, taken in taken_s.items()
    ]
    yield from lines_of(("command", "median", "least", "most", "to be under"), rows)


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.3f} s"


def memory(used: Memory) -> Iterator[str]:
    """Return the resident memory along a run."""
    rows = [(f"{number * used.step:,}", f"{rss / 1e6:.1f} MB") for number, rss in enumerate(used.rss, 1)]
    yield from lines_of(("exchanges", "resident"), rows)
    yield f"\nGrowth after the first {used.step:,}: {used.growth_mb:.1f} MB; to be under {ALLOWED_MB} MB."

"""What was found of each mechanism, for a terminal."""

from collections.abc import Callable, Iterator, Sequence

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.capacity.measurement import Capacity
from proxyreload.capacity.step import Step
from proxyreload.system.markdowntext import table_of, text_of
from proxyreload.system.untrusted import WORDS_LIMIT, line_of
from proxyreload.verdict.judgement import counted
from proxyreload.verdict.repetition import short

_MIB = 1024 * 1024
_MS_PER_S = 1000


@attrs.frozen
class Figure:
    """One figure of a step."""

    title: str
    text: Callable[[Step], str]
    right: bool = True


def outcome(step: Step) -> str:
    """Say what it came to."""
    return ", ".join(sign.value for sign in step.signs) or "kept"


def told(step: Step) -> str:
    """Say it in a line, while others are made."""
    hit = [f"{number} {word}" for number, word in _hits(step) if number]
    found = f": {', '.join(hit)}" if hit else ""
    changes = counted(step.changes, "change")
    why = f" ({step.why})" if step.why else ""
    return f"{step.rate_per_s:g}/s, {step.backends} backends: {outcome(step)} after {changes}{found}{why}"


def _hits(step: Step) -> tuple[tuple[int, str], ...]:
    return ((step.lost, "lost"), (step.refused, "refused"), (step.late, "late"))


def _optional(value: float | None) -> str:
    return "" if value is None else short(value)


PACE = Figure("changes/s", lambda step: f"{step.rate_per_s:g}")
BACKENDS = Figure("backends", lambda step: str(step.backends))
LAGS = (
    Figure("lag ms", lambda step: _optional(step.lag_ms)),
    Figure("worst", lambda step: _optional(step.worst_lag_ms)),
)
COSTS = (
    Figure("p99 µs", lambda step: "" if step.p99_us is None else str(step.p99_us)),
    Figure("MiB", lambda step: "" if step.resident_bytes is None else f"{step.resident_bytes / _MIB:.0f}"),
    Figure("processes", lambda step: "" if step.processes is None else str(step.processes)),
    Figure("CPU ms a change", lambda step: "" if step.cpu_s is None else short(step.cpu_s * _MS_PER_S)),
)
OUTCOMES = (
    Figure("changes", lambda step: str(step.changes)),
    Figure("lost", lambda step: str(step.lost)),
    Figure("refused", lambda step: str(step.refused)),
    Figure("late", lambda step: str(step.late)),
    *LAGS,
    Figure("outcome", outcome, right=False),
)


def print_capacities(console: Console, found: Sequence[Capacity]) -> None:
    """Print two tables of all mechanisms, and two of each one's paces, and of its backends if they were raised.

    One of what was found and one of what that costs: both fit 80 columns.
    """
    _print_summary(console, found)
    for capacity in found:
        steps = sorted(capacity.steps, key=lambda step: step.rate_per_s)
        grown = sorted(capacity.grown, key=lambda step: step.backends)
        more = f", {grown[0].rate_per_s:g} changes/s with more and more backends" if grown else ""
        for title, first, made in (("", PACE, steps), (more, BACKENDS, grown)):
            if made:
                console.print(Text(f"{line_of(capacity.name)}{title}:"), soft_wrap=True)
                for figures in ((first, *OUTCOMES), (first, *COSTS)):
                    rows = [[figure.text(step) for figure in figures] for step in made]
                    _print_table(console, [(figure.title, figure.right) for figure in figures], rows)
    for note in notes(found):
        console.print(Text(line_of(note)), soft_wrap=True)


def kept_words(capacity: Capacity) -> str:
    """Return the pace that is kept, as far as that is known."""
    if capacity.kept is None:
        return "cannot" if capacity.cannot else "none" if capacity.beyond is not None else "not run"
    return f"{'≥ ' if capacity.at_least else ''}{capacity.kept.rate_per_s:g}"


def markdown(found: Sequence[Capacity], above: Sequence[str]) -> str:
    """Return one table of all mechanisms as Markdown, with what was measured `above`, and the notes below."""
    lines = [line for text in above for line in (text_of(text, WORDS_LIMIT), "")]
    figures = (*LAGS, *COSTS)
    head = [title for title, _right in TITLES] + [figure.title for figure in figures]
    cells = [[*_paces(each), *_figures(each, figures)] for each in found]
    lines += table_of(head, [right for _title, right in TITLES] + [True] * len(figures), cells)
    return "\n".join([*lines, "", *(f"- {text_of(note, WORDS_LIMIT)}" for note in notes(found)), ""])


#: Of all mechanisms, and whether what is below them stands at the right.
TITLES = (("mechanism", False), ("changes/s kept", True), ("at more", False))


def _print_summary(console: Console, found: Sequence[Capacity]) -> None:
    for titles, told_of, figures in ((TITLES, _paces, LAGS), (TITLES[:1], lambda each: [each.name], COSTS)):
        rows = [[*told_of(each), *_figures(each, figures)] for each in found]
        _print_table(console, [*titles, *((figure.title, True) for figure in figures)], rows)


def _paces(capacity: Capacity) -> list[str]:
    beyond = capacity.beyond
    shown = "" if beyond is None else f"{outcome(beyond)} at {beyond.rate_per_s:g}"
    return [capacity.name, kept_words(capacity), shown]


def _figures(capacity: Capacity, figures: Sequence[Figure]) -> list[str]:
    """Return those of the pace that is kept, or else of the one that is not."""
    shown = capacity.kept if capacity.kept is not None else capacity.beyond
    return [each.text(shown) if shown is not None else "" for each in figures]


def _print_table(console: Console, titles: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their titles, numbers to the right, and an empty line."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title, right in titles:
        table.add_column(title, justify="right" if right else "left", overflow="fold", vertical="bottom")
    for row in rows:
        table.add_row(*(Text(line_of(text)) for text in row))
    console.print(table)
    console.print()


def notes(found: Sequence[Capacity]) -> Iterator[str]:
    """Yield why there is no figure, and what a proxy said."""
    for capacity in found:
        if capacity.why:
            yield f"{capacity.name}: {capacity.why}"
        beyond = capacity.beyond
        if beyond is not None and beyond.why:
            yield f"{capacity.name}: at {beyond.rate_per_s:g}/s: {beyond.why}"

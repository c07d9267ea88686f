"""What was found of each mechanism, for a terminal."""

from collections.abc import Callable, Iterator, Sequence

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.capacity.measurement import Capacity
from proxyreload.capacity.step import Step
from proxyreload.system.untrusted import line_of
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


LAGS = (
    Figure("lag ms", lambda step: _optional(step.lag_ms)),
    Figure("worst", lambda step: _optional(step.worst_lag_ms)),
    Figure("p99 µs", lambda step: "" if step.p99_us is None else str(step.p99_us)),
)
COSTS = (
    Figure("MiB", lambda step: "" if step.resident_bytes is None else f"{step.resident_bytes / _MIB:.0f}"),
    Figure("processes", lambda step: "" if step.processes is None else str(step.processes)),
    Figure("CPU ms", lambda step: "" if step.cpu_s is None else short(step.cpu_s * _MS_PER_S)),
)
STEPS = (
    Figure("changes/s", lambda step: f"{step.rate_per_s:g}"),
    Figure("backends", lambda step: str(step.backends)),
    Figure("changes", lambda step: str(step.changes)),
    Figure("lost", lambda step: str(step.lost)),
    Figure("refused", lambda step: str(step.refused)),
    Figure("late", lambda step: str(step.late)),
    *LAGS,
    *COSTS,
    Figure("outcome", outcome, right=False),
)


def print_capacities(console: Console, found: Sequence[Capacity]) -> None:
    """Print a table of all mechanisms, then one of each one's paces, and of its backends if they were raised."""
    _print_summary(console, found)
    for capacity in found:
        steps = sorted(capacity.steps, key=lambda step: step.rate_per_s)
        grown = sorted(capacity.grown, key=lambda step: step.backends)
        for title, made in (("", steps), (", more and more backends", grown)):
            if made:
                console.print(Text(f"\n{line_of(capacity.name)}{title}"), soft_wrap=True)
                _print_steps(console, made)
    for note in notes(found):
        console.print(Text(line_of(note)), soft_wrap=True)


def kept_words(capacity: Capacity) -> str:
    """Return the pace that is kept, as far as that is known."""
    if capacity.kept is None:
        return "cannot" if capacity.cannot else "none" if capacity.beyond is not None else "not run"
    return f"{'≥ ' if capacity.at_least else ''}{capacity.kept.rate_per_s:g}"


def _print_summary(console: Console, found: Sequence[Capacity]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("mechanism", overflow="fold", vertical="bottom")
    table.add_column("changes/s kept", justify="right", overflow="fold", vertical="bottom")
    table.add_column("at more", overflow="fold", vertical="bottom")
    for figure in (*LAGS, *COSTS):
        table.add_column(figure.title, justify="right", overflow="fold", vertical="bottom")
    for capacity in found:
        beyond, kept = capacity.beyond, capacity.kept
        shown = "" if beyond is None else f"{outcome(beyond)} at {beyond.rate_per_s:g}"
        shown_of = kept if kept is not None else beyond
        figures = [each.text(shown_of) if shown_of is not None else "" for each in (*LAGS, *COSTS)]
        texts = (capacity.name, kept_words(capacity), shown, *figures)
        table.add_row(*(Text(line_of(text)) for text in texts))
    console.print(table)


def _print_steps(console: Console, steps: Sequence[Step]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for figure in STEPS:
        table.add_column(figure.title, justify="right" if figure.right else "left", overflow="fold", vertical="bottom")
    for step in steps:
        table.add_row(*(Text(line_of(figure.text(step))) for figure in STEPS))
    console.print(table)


def notes(found: Sequence[Capacity]) -> Iterator[str]:
    """Yield why there is no figure, and what a proxy said."""
    for capacity in found:
        if capacity.why:
            yield f"{capacity.name}: {capacity.why}"
        beyond = capacity.beyond
        if beyond is not None and beyond.why:
            yield f"{capacity.name}: at {beyond.rate_per_s:g}/s: {beyond.why}"

"""How long a comparison is going to take, told before it begins."""

from collections.abc import Iterator, Sequence

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.comparison.cell import Cell
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.trialfile import kept, stands_for
from proxyreload.plan.settings import Settings
from proxyreload.system.clock import NS_PER_S
from proxyreload.system.untrusted import line_of
from proxyreload.verdict.judgement import counted

#: What a run has besides its changes: the baseline, the proxy's start and end, and its files. As seen, in seconds.
_BESIDE_S = 3.0
#: And for a change until it is proved, besides the pace.
_CHANGE_S = 0.4


@attrs.frozen
class CellTime:
    """How long all rounds of a cell are going to take."""

    cell: Cell
    left_s: float  #: what is kept of an earlier comparison takes no time
    known: bool  #: whether it was run before, in this folder

    def text(self) -> str:
        """Return it, with a mark where it is a guess."""
        return spoken(self.left_s) if self.known or not self.left_s else f"some {spoken(self.left_s)}"


def wall_times(comparison: Comparison) -> list[CellTime]:
    """Return how long each cell is going to take, as the same one did before, or as its steps say.

    A proxy that keeps its old processes, or looks at its hosts by a timer, takes longer than its steps say.
    """
    return [_of(comparison, cell) for cell in comparison.cells]


def _of(comparison: Comparison, cell: Cell) -> CellTime:
    rounds = range(1, comparison.rounds + 1)
    files = [comparison.run_file(cell, number) for number in rounds]
    before = [trial for trial in map(kept, files) if trial is not None and trial.wall_ns]
    each_s = max((trial.wall_ns / NS_PER_S for trial in before), default=0.0) or by_its_steps(cell.settings)
    there = 0
    if comparison.resume:
        there = sum(
            kept(file, stands_for(cell, number)) is not None for number, file in zip(rounds, files, strict=True)
        )
    return CellTime(cell, (comparison.rounds - there) * each_s, bool(before))


def by_its_steps(settings: Settings) -> float:
    """Return how long a run takes by its steps, in seconds."""
    steps = settings.scenario.steps
    paced_s = sum(step.pause_s for step in steps)
    changes = sum(step.action != "pause" for step in steps)
    return _BESIDE_S + max(settings.scenario.duration_s, paced_s) + changes * _CHANGE_S


def spoken(duration_s: float) -> str:
    """Return ``1 h 05 min``, ``12 min`` or ``40 s``."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def total_line(comparison: Comparison, times: Sequence[CellTime]) -> str:
    """Return how many runs there are, and how long all of them are going to take."""
    guessed = "" if all(each.known for each in times) else "some "
    names = len({each.cell.contender.name for each in times})
    conditions, rounds = len(comparison.conditions), comparison.rounds
    under = f" under {conditions} conditions" if conditions > 1 else ""
    often = "once" if rounds == 1 else f"{rounds} times"
    left_s = sum(each.left_s for each in times)
    return (
        f"{counted(names, 'mechanism')}{under}, {often}: {counted(comparison.total, 'run')}, {guessed}{spoken(left_s)}"
    )


def print_wall_times(console: Console, comparison: Comparison, times: Sequence[CellTime]) -> None:
    """Print how long each mechanism is going to take, a column for each condition."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("mechanism", overflow="fold")
    for condition in comparison.conditions:
        table.add_column(Text(condition.name or "takes"), justify="right", overflow="fold")
    for name, cells in _by_name(times):
        table.add_row(Text(line_of(name)), *(Text(each.text()) for each in cells))
    console.print(table)
    console.print(Text(line_of(total_line(comparison, times))), soft_wrap=True)


def _by_name(times: Sequence[CellTime]) -> Iterator[tuple[str, list[CellTime]]]:
    for name in dict.fromkeys(each.cell.contender.name for each in times):
        yield name, [each for each in times if each.cell.contender.name == name]

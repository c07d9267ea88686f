"""``proxyreload explain``: the story of a run's losses."""

import shutil
import sys
from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Anything, Files
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.explanation.causegroups import grouped
from proxyreload.explanation.moments import Case
from proxyreload.explanation.passages import Passage, read_passages
from proxyreload.explanation.screen import Size, Told, screen
from proxyreload.explanation.single import company, find_loss, single
from proxyreload.explanation.sources import Sources, find_sources
from proxyreload.proxy.registry import choose
from proxyreload.record.lossrows import LossRow, read_losses
from proxyreload.record.rundata import Record
from proxyreload.system.bounds import WholeBound

_LOSS = WholeBound(1, 10**9)
#: A screen is no narrower, no wider, no lower and no higher than this.
_WIDTHS, _HEIGHTS = (80, 100), (24, 40)
_US_PER_MS = 1000


class ExplainOptions(Options):
    """proxyreload explain [run.json]."""

    synopsis = "proxyreload explain [options] [run.json]"
    longdesc = (
        "Tells the story of a run's losses on one screen: what caused them, whether any backend had the requests, one "
        "of each cause as a sequence in time, and what cures it. It takes a run.json, the one here if none is named, "
        "whose losses and rows are looked for beside it."
    )
    examples = ("proxyreload explain", "proxyreload explain run.json --loss 1")
    optParameters = [  # noqa: RUF012
        ["loss", None, None, "Tell one in full: the number of its row in losses.csv, from 1"]
    ]
    compData = usage.Completions(optActions={"loss": Anything()}, extraActions=[Files("*.json")])

    def parseArgs(self, *files: str) -> None:
        """Take the run's file; raises `UsageError`."""
        if len(files) > 1:
            msg = "name one run: proxyreload explain run.json"
            raise usage.UsageError(msg)
        self["file"] = Path(files[0] if files else "run.json")


def explain(words: list[str]) -> int:
    """Tell it."""
    options = ExplainOptions()
    options.parseOptions(words)
    number = None if options["loss"] is None else _LOSS.parse("--loss", options["loss"])
    sources = find_sources(options["file"])
    size = _size()
    for line in _screen(sources, size) if number is None else _single(sources, number, size.width):
        print(line)  # noqa: T201
    return ExitStatus.LOSSLESS


def _screen(sources: Sources, size: Size) -> list[str]:
    losses = grouped(read_losses(sources.losses), sources.named)
    aimed = {name for name, kind in sources.record.kinds.items() if kind.aimed}
    examples = {group.cause: group.example(aimed) for group in losses.groups}
    cases = _cases(sources, list(examples.values()))
    missing = "" if sources.rows is not None else "Its rows (data.csv) are not beside it: what went before is not told."
    told = Told(
        sources.record,
        losses,
        {cause: cases[example.number] for cause, example in examples.items()},
        _helps(sources.record),
        missing if losses.groups else "",
    )
    return screen(told, size)


def _single(sources: Sources, number: int, width: int) -> list[str]:
    loss = find_loss(read_losses(sources.losses), number, sources.named)
    case = _cases(sources, [loss])[loss.number]
    near = company(read_losses(sources.losses), loss)
    return single(case, near, _helps(sources.record), sources.record.title, width)


def _cases(sources: Sources, losses: list[LossRow]) -> dict[int, Case]:
    """Return all that is known around these losses, by their numbers."""
    wanted = {key for loss in losses if (key := loss.key) is not None}
    found = read_passages(sources.rows, wanted) if sources.rows is not None else {}
    return {loss.number: _case(sources, loss, found.get(loss.key) if loss.key else None) for loss in losses}


def _case(sources: Sources, loss: LossRow, passage: Passage | None) -> Case:
    change = next((change for change in sources.record.changes if change.number == loss.change), None)
    sent = sources.sent(loss.client)
    away_us = 0 if sent is None else round(sent.rtt_ms * _US_PER_MS / 2)
    return Case(loss, passage, change, away_us)


def _helps(record: Record) -> str:
    """Return what is known to help where the mechanism that was used loses, if its plugin is here and knows."""
    if record.verdict != "lossy" or not record.changes or "://" in record.title:
        return ""
    try:
        cure = choose(record.title).mechanism.cure
    except ProxyreloadError:  # of another installation
        return ""
    return f"{cure.advice}, {cure.link}" if cure is not None else ""


def _size() -> Size:
    """Return the size of the terminal, within bounds; where there is none, what fits any."""
    if not sys.stdout.isatty():
        return Size()
    columns, lines = shutil.get_terminal_size()
    return Size(
        min(max(columns, _WIDTHS[0]), _WIDTHS[1]),
        min(max(lines - 1, _HEIGHTS[0]), _HEIGHTS[1]),  # the last is the prompt's
    )

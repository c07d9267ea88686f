"""``proxyreload explain``: the story of a run's losses."""

import shutil
import sys

from twisted.python import usage

from proxyreload.cli.completers import Anything, Files
from proxyreload.command.onerun import LOSS, OneRunOptions
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.explanation.screen import Size, screen
from proxyreload.explanation.single import company, find_loss, single
from proxyreload.explanation.sources import Sources, find_sources
from proxyreload.explanation.telling import cases, tell
from proxyreload.proxy.registry import choose
from proxyreload.record.lossrows import read_losses
from proxyreload.record.rundata import Record

#: A screen is no narrower, no wider, no lower and no higher than this.
_WIDTHS, _HEIGHTS = (80, 100), (24, 40)


class ExplainOptions(OneRunOptions):
    """proxyreload explain [run.json]."""

    synopsis = "proxyreload explain [options] [run.json]"
    longdesc = (
        "Tells the story of a run's losses on one screen: what caused them, whether any backend had the requests, one "
        "of each cause as a sequence in time, and what cures it. It takes a run.json, the one here if none is named, "
        "whose losses and rows are looked for beside it."
    )
    right = "proxyreload explain run.json"
    examples = ("proxyreload explain", "proxyreload explain run.json --loss 1")
    optParameters = [  # noqa: RUF012
        ["loss", None, None, "Tell one in full: the number of its row in losses.csv, from 1"]
    ]
    compData = usage.Completions(optActions={"loss": Anything()}, extraActions=[Files("*.json")])


def explain(words: list[str]) -> int:
    """Tell it."""
    options = ExplainOptions()
    options.parseOptions(words)
    number = None if options["loss"] is None else LOSS.parse("--loss", options["loss"])
    sources = find_sources(options["file"])
    size = _size()
    for line in _screen(sources, size) if number is None else _single(sources, number, size.width):
        print(line)  # noqa: T201
    return ExitStatus.LOSSLESS


def _screen(sources: Sources, size: Size) -> list[str]:
    return screen(tell(sources, _helps(sources.record)), size)


def _single(sources: Sources, number: int, width: int) -> list[str]:
    loss = find_loss(read_losses(sources.losses), number, sources.named)
    case = cases(sources, [loss])[loss.number]
    near = company(read_losses(sources.losses), loss)
    return single(case, near, _helps(sources.record), sources.record.title, width)


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

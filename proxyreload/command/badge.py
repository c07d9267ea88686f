"""``proxyreload badge``: a run's verdict as a picture of one line."""

from twisted.python import usage

from proxyreload.cli.completers import Files
from proxyreload.command.onerun import OneRunOptions
from proxyreload.errors import ExitStatus
from proxyreload.job.shield import badge
from proxyreload.record.rundata import read_record


class BadgeOptions(OneRunOptions):
    """proxyreload badge [run.json]."""

    synopsis = "proxyreload badge [run.json]"
    longdesc = (
        "Prints an SVG of one line that says what was changed, the verdict, under which traffic and on which day, of "
        "a run.json, the one here if none is named."
    )
    right = "proxyreload badge run.json"
    examples = ("proxyreload badge run.json",)
    compData = usage.Completions(extraActions=[Files("*.json")])


def print_badge(words: list[str]) -> int:
    """Print it."""
    options = BadgeOptions()
    options.parseOptions(words)
    print(badge(read_record(options["file"])), end="")  # noqa: T201
    return ExitStatus.LOSSLESS

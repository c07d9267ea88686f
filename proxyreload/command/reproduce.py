"""``proxyreload reproduce``: one loss of a run, as a maintainer of the proxy wants to be sent it."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.completers import Anything, Files, Folders
from proxyreload.command.onerun import LOSS, OneRunOptions
from proxyreload.command.outputs import cannot
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.explanation.sources import find_sources
from proxyreload.reproduction.bundle import SCRIPT, files_of, write_bundle
from proxyreload.reproduction.case import case_of
from proxyreload.reproduction.knownloss import read_loss
from proxyreload.system.untrusted import line_of


class ReproduceOptions(OneRunOptions):
    """proxyreload reproduce [run.json]."""

    synopsis = "proxyreload reproduce [options] [run.json]"
    longdesc = (
        "Makes a folder, and an archive of it, to be sent to whoever maintains the proxy: its version and "
        "configuration, a Python script that needs no proxyreload, makes the same change and exits with 1 when it has "
        "seen the loss, the request that was lost as text and as packets, and a README for the issue. It takes a "
        "run.json, the one here if none is named, whose losses and rows are looked for beside it."
    )
    right = "proxyreload reproduce run.json --loss 1"
    examples = ("proxyreload reproduce run.json --loss 1",)
    optParameters = [  # noqa: RUF012
        ["loss", None, "1", "Which one: the number of its row in losses.csv, from 1"],
        ["into", None, ".", "The folder in which it is made"],
    ]
    compData = usage.Completions(optActions={"loss": Anything(), "into": Folders()}, extraActions=[Files("*.json")])


def reproduce(words: list[str]) -> int:
    """Make the folder and its archive."""
    options = ReproduceOptions()
    options.parseOptions(words)
    number = LOSS.parse("--loss", options["loss"])
    sources = find_sources(options["file"])
    case = case_of(sources, read_loss(sources.losses, number))
    folder = Path(options["into"]) / f"proxyreload-loss-{number}"
    try:
        archive = write_bundle(files_of(case), folder)
    except OSError as error:
        raise UsageError(cannot(folder, error)) from error
    what = f"{case.choice.name}, {case.turn.name}, {case.among.loss.failure}, {case.among.loss.cause.value}"
    print(line_of(f"{folder}, {archive}: {what}"))  # noqa: T201
    print(line_of(f"see it again: python3 {folder / SCRIPT} --program {case.recipe.program}"))  # noqa: T201
    return ExitStatus.LOSSLESS

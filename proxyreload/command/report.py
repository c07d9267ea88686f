"""``proxyreload report``: the report of a run made again, or one for several."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.record.paths import RunPaths, find, is_comparison
from proxyreload.report.write import write_matrix, write_report
from proxyreload.system.claim import Claim
from proxyreload.system.samefile import require_apart
from proxyreload.system.untrusted import line_of


class ReportOptions(Options):
    """proxyreload report FILE."""

    synopsis = "proxyreload report [options] run.json… | compare.json"
    longdesc = (
        "Makes the HTML report of a run, or one for several runs side by side. Each FILE is a run.json, whose rows "
        "are looked for beside it, or bare rows (data.csv). Of compare.json it makes the page of the comparison."
    )
    examples = ("proxyreload report run.json --output report.html",)
    optParameters = [  # noqa: RUF012
        ["output", "o", "report.html", "Where the report is written"],
        ["rows", None, None, "The rows of the one run named, where they are not beside it"],
    ]
    optFlags = [  # noqa: RUF012
        ["claimed", None, "Whoever starts this has claimed the page (what a run does)"],
    ]
    compData = usage.Completions(
        optActions={"output": Files("*.html"), "rows": Files("*.csv")},
        extraActions=[Files("*.json", repeat=True)],
    )

    def parseArgs(self, *files: str) -> None:
        """Take the runs' files; raises `UsageError`."""
        if not files:
            msg = "name at least one run: proxyreload report run.json"
            raise usage.UsageError(msg)
        self["files"] = [Path(file) for file in files]
        if self["rows"] is not None and len(files) > 1:
            msg = "--rows is for one run: of several, each has its rows beside it"
            raise usage.UsageError(msg)


def make_report(words: list[str]) -> int:
    """Write the report."""
    options = ReportOptions()
    options.parseOptions(words)
    output = Path(options["output"])
    files: list[Path] = options["files"]
    of_many = len(files) == 1 and is_comparison(files[0])
    runs = [] if of_many else _runs(options, files)
    read = {f"the rows of {run.named}": run.rows for run in runs if run.run is not None}
    require_apart({"--output": output}, {str(file): file for file in files} | read)
    claim = None
    try:
        if not options["claimed"]:
            claim = Claim.of(output, whole=True)
    except OSError as error:
        msg = f"{output} cannot be written: {error.strerror}"
        raise UsageError(msg) from error
    try:
        if of_many:
            write_matrix(files[0], output)
        else:
            write_report(runs, output)
    finally:
        if claim is not None:
            claim.release()
    print(line_of(f"{output}: the report of {', '.join(map(str, files))}"))  # noqa: T201
    return ExitStatus.LOSSLESS


def _runs(options: ReportOptions, files: list[Path]) -> list[RunPaths]:
    if options["rows"] is not None:
        return [RunPaths(Path(options["rows"]), files[0])]
    return [find(file) for file in files]

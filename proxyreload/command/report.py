"""``proxyreload report``: the report of a run made again, or one for several."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files
from proxyreload.errors import ExitStatus
from proxyreload.report.paths import find, is_comparison
from proxyreload.report.write import write_matrix, write_report


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
    ]
    compData = usage.Completions(
        optActions={"output": Files("*.html")},
        extraActions=[Files("*.json", repeat=True)],
    )

    def parseArgs(self, *files: str) -> None:
        """Take the runs' files; raises `UsageError`."""
        if not files:
            msg = "name at least one run: proxyreload report run.json"
            raise usage.UsageError(msg)
        self["files"] = [Path(file) for file in files]


def make_report(words: list[str]) -> int:
    """Write the report."""
    options = ReportOptions()
    options.parseOptions(words)
    output = Path(options["output"])
    files = options["files"]
    if len(files) == 1 and is_comparison(files[0]):
        write_matrix(files[0], output)
    else:
        write_report([find(file) for file in files], output)
    print(f"{output}: the report of {', '.join(map(str, options['files']))}")  # noqa: T201
    return ExitStatus.LOSSLESS

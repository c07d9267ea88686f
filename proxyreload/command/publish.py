"""``proxyreload publish``: comparisons as a static site."""

from importlib.util import find_spec
from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.explanation.quantity import counted
from proxyreload.system.bounds import Bound
from proxyreload.system.untrusted import line_of

#: Of gzipped rows, in MB.
_ROWS_MB = Bound(0, 1000, "MB")
#: What stays out is named, so much of it.
_LEFT_OUT_AT_MOST = 10


class PublishOptions(Options):
    """proxyreload publish FOLDER [compare.json…]."""

    synopsis = "proxyreload publish [options] FOLDER [compare.json…]"
    longdesc = (
        "Makes a static site of comparisons, the compare.json here if none is named: the matrix, a page for each "
        "mechanism, and one for each of its cells with the run, rows, configuration and log beside it. What FOLDER "
        "has already stays, at the same addresses. The site needs no server and no network."
    )
    examples = (
        "proxyreload publish site",
        "proxyreload publish site monday/compare.json tuesday/compare.json",
    )
    optParameters = [  # noqa: RUF012
        ["rows", None, "5", "How many MB the rows of a run may have, gzipped, to be put in; 0: none are"],
    ]
    optFlags = [  # noqa: RUF012
        ["no-reports", None, "Leave the reports of the runs out: a MB or more each"],
    ]
    compData = usage.Completions(extraActions=[Files("*.json", repeat=True)])

    def parseArgs(self, *files: str) -> None:
        """Take the folder and the comparisons; raises `UsageError`."""
        if not files:
            msg = "name the folder of the site: proxyreload publish site"
            raise usage.UsageError(msg)
        self["folder"] = Path(files[0])
        self["files"] = [Path(file) for file in files[1:] or ("compare.json",)]


def publish_comparisons(words: list[str]) -> int:
    """Publish them."""
    options = PublishOptions()
    options.parseOptions(words)
    wanted = _ROWS_MB.parse("--rows", options["rows"])
    if find_spec("jinja2") is None:
        msg = "a site needs jinja2, which is not installed: pip install 'proxyreload[report]'"
        raise UsageError(msg)
    from proxyreload.site.evidence import Wanted
    from proxyreload.site.publication import publish

    published = publish(options["folder"], options["files"], Wanted(wanted, reports=not options["no-reports"]))
    for line in published.left_out[:_LEFT_OUT_AT_MOST]:
        print(line_of(f"left out: {line}"))  # noqa: T201
    if len(published.left_out) > _LEFT_OUT_AT_MOST:
        print(f"left out: {len(published.left_out) - _LEFT_OUT_AT_MOST} more")  # noqa: T201
    told = published.collection
    what = f"{counted(len(told.editions), 'edition')}, {counted(len(told.subjects), 'mechanism')}"
    print(line_of(f"{options['folder'] / 'index.html'}: {what}, {counted(published.pages, 'page')}"))  # noqa: T201
    return ExitStatus.LOSSLESS

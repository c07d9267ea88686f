"""``proxyreload vendors``: whose packages a full comparison needs."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Folders
from proxyreload.comparison.vendor import vendors
from proxyreload.errors import ExitStatus
from proxyreload.proxy.registry import installed


class VendorsOptions(Options):
    """proxyreload vendors [FOLDER]."""

    synopsis = "proxyreload vendors [options] [FOLDER]"
    longdesc = (
        "Prints the packages that the files of FOLDER name (vendors, if none is named), one a line, for pip to "
        "install. Each file is TOML: package, plugin, url."
    )
    examples = ("proxyreload vendors >vendors.txt",)
    optFlags = [  # noqa: RUF012
        ["missing", None, "Only those whose plugin is not installed"],
    ]
    compData = usage.Completions(extraActions=[Folders()])

    def parseArgs(self, *folders: str) -> None:
        """Take the folder; raises `UsageError`."""
        if len(folders) > 1:
            msg = "name one folder: proxyreload vendors vendors"
            raise usage.UsageError(msg)
        self["folder"] = Path(folders[0] if folders else "vendors")


def list_vendors(words: list[str]) -> int:
    """Print them."""
    options = VendorsOptions()
    options.parseOptions(words)
    there = installed() if options["missing"] else {}
    for vendor in vendors(options["folder"]):
        if vendor.plugin not in there:
            print(vendor.package)  # noqa: T201
    return ExitStatus.LOSSLESS

"""``proxyreload adopt``: a real configuration made into a template for ``--config``."""

import sys
from pathlib import Path

from twisted.python import usage

from proxyreload.adoption.adopted import Adopter, Wanted
from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files
from proxyreload.command.outputs import cannot
from proxyreload.errors import ExitStatus, ProxyreloadError, UsageError
from proxyreload.proxy.configuration import read
from proxyreload.proxy.registry import installed, load
from proxyreload.system.untrusted import line_of
from proxyreload.system.wholefile import write_whole


class AdoptOptions(Options):
    """proxyreload adopt FILE."""

    synopsis = "proxyreload adopt [options] FILE"
    longdesc = (
        "Makes of a real configuration the template that --config runs: listening where the run's front is, with the "
        "run's backends in place of its servers, without what belongs to the service (user, chroot, pid file, log), "
        "and all else as it is. The template goes to standard output; what was done that changes what a line says, "
        "and what could not be done safely, to standard error, with the line."
    )
    examples = ("proxyreload adopt haproxy.cfg --frontend web --backend app --diff",)
    optParameters = [  # noqa: RUF012
        ["backend", None, "", "The backend whose servers are replaced; without it: the only one"],
        ["frontend", None, "", "The frontend that the clients use; without it: the only one"],
        ["plugin", "p", None, "Whose configuration it is, if its name does not say so"],
        ["into", None, None, "The file that the template is written to, in place of standard output"],
    ]
    optFlags = [["diff", None, "Show on standard error what is different"]]  # noqa: RUF012
    compData = usage.Completions(optActions={"into": Files()}, extraActions=[Files()])

    def parseArgs(self, *files: str) -> None:
        """Take the file; raises `UsageError`."""
        if len(files) != 1:
            msg = "name one file: proxyreload adopt haproxy.cfg --frontend web --backend app"
            raise usage.UsageError(msg)
        self["file"] = Path(files[0])


def adopt(words: list[str]) -> int:
    """Print the template, or write it."""
    options = AdoptOptions()
    options.parseOptions(words)
    path: Path = options["file"]
    if path.is_dir():
        msg = f"{path}: a folder: name the file in it that the proxy is started with"
        raise UsageError(msg)
    adopter = _adopter(options["plugin"], path)
    (text,) = read(path).values()
    adopted = adopter.adopt(text, path, Wanted(options["backend"], options["frontend"]))
    if options["diff"]:
        for line in adopted.difference(text, str(path)):
            print(line_of(line.expandtabs()), file=sys.stderr)  # noqa: T201
    for line in adopted.told(str(path)):
        print(line_of(line), file=sys.stderr)  # noqa: T201
    if options["into"] is None:
        print(adopted.text, end="")  # noqa: T201
        return ExitStatus.LOSSLESS
    into = Path(options["into"])
    if into.exists():
        msg = f"{into}: there is one already"
        raise UsageError(msg)
    try:
        write_whole(into, adopted.text)
    except OSError as error:
        raise UsageError(cannot(into, error)) from error
    return ExitStatus.LOSSLESS


def _adopter(name: str | None, path: Path) -> Adopter:
    """Return the plugin's that is named, or whose files are called like this; raises `UsageError`."""
    adopters: dict[str, Adopter] = {}
    for point in installed().values():
        try:
            adopter = getattr(load(point), "adopts", None)
        except ProxyreloadError:
            continue  # `proxyreload plugins` says what is wrong with it
        if adopter is not None:
            adopters[point.name] = adopter
    found = [adopters[each] for each in adopters if (each == name if name is not None else adopters[each].knows(path))]
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{each}: {', '.join(adopters[each].names)}" for each in adopters)
    what = f"{path.name} may be of several" if found else f"nothing is known of {name or path.name}"
    msg = f"{what}: say --plugin; there are: {known}"
    raise UsageError(msg)

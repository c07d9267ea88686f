"""``proxyreload config``: the configuration that a plugin runs its proxy from, with the places that it fills in."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Folders, Mechanisms
from proxyreload.command.outputs import cannot
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.proxy.registry import choose
from proxyreload.system.untrusted import line_of
from proxyreload.system.wholefile import write_whole


class ConfigOptions(Options):
    """proxyreload config NAME[:MECHANISM]."""

    synopsis = "proxyreload config [options] NAME[:MECHANISM]"
    longdesc = (
        "Prints the configuration that the proxy is run from, as a template: what is filled in for a run stands "
        "between @@ and @@, and comments say what that is. Changed, or made of your own, it is run by --config FILE. "
        "A proxy with several files takes --into FOLDER."
    )
    examples = ("proxyreload config haproxy:reload", "proxyreload config traefik:file --into mine")
    optParameters = [["into", None, None, "The folder in which its files are written"]]  # noqa: RUF012
    compData = usage.Completions(optActions={"into": Folders()}, extraActions=[Mechanisms()])

    def parseArgs(self, *names: str) -> None:
        """Take the mechanism's name; raises `UsageError`."""
        if len(names) != 1:
            msg = "name one mechanism: proxyreload config haproxy:reload"
            raise usage.UsageError(msg)
        (self["name"],) = names


def show(words: list[str]) -> int:
    """Print it, or write its files."""
    options = ConfigOptions()
    options.parseOptions(words)
    choice = choose(options["name"])
    own = choice.mechanism.configuration
    if own is None:
        msg = f"{choice.name} has no configuration that could be another: its plugin writes its own"
        raise UsageError(msg)
    texts = own.texts
    texts[own.main] = own.explained() + texts[own.main]
    if options["into"] is not None:
        _write(texts, Path(options["into"]))
    elif len(texts) > 1:
        msg = f"{choice.name} is run from {len(texts)} files ({', '.join(texts)}): say --into FOLDER"
        raise UsageError(msg)
    else:
        print(texts[own.main], end="")  # noqa: T201
    return ExitStatus.LOSSLESS


def _write(texts: dict[str, str], folder: Path) -> None:
    """Write the files, and name them; none that is there already is touched."""
    paths = {folder / name: text for name, text in texts.items()}
    for path in paths:
        if path.exists():
            msg = f"{path}: there is one already"
            raise UsageError(msg)
    for path, text in paths.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
        except OSError as error:
            raise UsageError(cannot(path, error)) from error
        print(line_of(str(path)))  # noqa: T201

"""``proxyreload cases`` and ``proxyreload case``: famous bugs, and whether they are found."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twisted.python import usage

from proxyreload.casebook.altered import altered
from proxyreload.casebook.bug import Bug, Turn
from proxyreload.casebook.bugfile import known, names
from proxyreload.casebook.casebook import Casebook, Outcome, Planned, Result, Unplanned
from proxyreload.casebook.showing import program_of, told_of, why_cannot
from proxyreload.cli.base import Options
from proxyreload.cli.completers import Folders, Words
from proxyreload.command.outputs import cannot
from proxyreload.command.program import ProgramOptions
from proxyreload.command.toend import run_to_end
from proxyreload.errors import ExitStatus, StartError, UsageError
from proxyreload.plan.settings import Settings
from proxyreload.proxy.named import Named
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import line_of
from proxyreload.terminal.progress import ProgressBar

#: Into a file or a pipe no line is broken.
_WIDE = 200
_TEXT_WIDTH = 100
_PARAMETERS = [
    ["folder", None, "cases", "Where each run's data.csv, losses.csv and run.json are written"],
    ["first-port", None, "1030", "The port of backend 0; the others follow"],
    ["front-port", None, "8080", "The port that the proxies listen on"],
    ["seed", None, "0", "For whatever is drawn by chance"],
]
_WITHOUT_CURE = ["without-cure", None, "Take the cures away: each case must come out wrong"]
_STATUSES = (
    "Exit status: 0 all was found as it is to be, 1 something was not, 3 a case could not be run; one that cannot show "
    "itself with the version that there is counts for nothing."
)


class CasesOptions(Options):
    """proxyreload cases."""

    synopsis = "proxyreload cases [options]"
    longdesc = (
        "Lists the famous bugs that it knows. With --all each is run, as it is and then with its cure, and the table "
        f"has what is expected beside what was found. {_STATUSES}"
    )
    examples = ("proxyreload cases", "proxyreload cases --all")
    optParameters = _PARAMETERS
    optFlags = [["all", None, "Run them all"], _WITHOUT_CURE]  # noqa: RUF012
    compData = usage.Completions(optActions={"folder": Folders()})


class CaseOptions(Options):
    """proxyreload case NAME."""

    synopsis = "proxyreload case [options] NAME|FILE.toml …"
    longdesc = (
        "Runs a famous bug, as it is and then with its cure, and tells what is expected and what was found. A file is "
        f"a case of your own. {_STATUSES}"
    )
    examples = ("proxyreload case nginx-reload-race", "proxyreload case nginx-reload-race --tell")
    optParameters = _PARAMETERS
    optFlags = [  # noqa: RUF012
        ["tell", None, "Only tell of it: where it is from, what it does, by which commands"],
        _WITHOUT_CURE,
    ]
    compData = usage.Completions(optActions={"folder": Folders()}, extraActions=[Words(names(), repeat=True)])

    def parseArgs(self, *given: str) -> None:
        """Take the cases; raises `UsageError`."""
        if not given:
            msg = "name a case (proxyreload cases lists them), or a file"
            raise usage.UsageError(msg)
        self["names"] = given


def list_cases(words: list[str]) -> int:
    """List them, or run them all."""
    options = CasesOptions()
    options.parseOptions(words)
    bugs = [known(name) for name in names()]
    if options["all"]:
        return _run(options, bugs)
    for bug in bugs:
        print(line_of(f"{bug.name:<34} {bug.shown.mechanism}"))  # noqa: T201
        print(line_of(f"    {bug.title}"))  # noqa: T201
        print(line_of(f"    run with: {told_of(bug.shown.mechanism)}"))  # noqa: T201
    return ExitStatus.LOSSLESS


def run_case(words: list[str]) -> int:
    """Run those that are named, or tell of them."""
    options = CaseOptions()
    options.parseOptions(words)
    bugs = [known(name) for name in options["names"]]
    twice = {bug.name for bug in bugs if sum(bug.name == other.name for other in bugs) > 1}
    if twice:
        msg = f"two cases are called {min(twice)}"
        raise UsageError(msg)
    if not options["tell"]:
        return _run(options, bugs)
    for bug in bugs:
        for line in _told(bug):
            print(line_of(line))  # noqa: T201
    return ExitStatus.LOSSLESS


def _run(options: Options, bugs: Sequence[Bug]) -> int:
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    planned = [_planned(options, bug) for bug in bugs]  # what is wrong is known before the first run
    book = Casebook(reactor, monotonic_ns, planned)
    progress = ProgressBar(lambda: book.share, lambda: book.doing)
    book.tell = lambda result: progress.tell(_in_a_line(result))
    results = run_to_end(reactor, book.execute, book.interrupt, progress, "the run of cases")
    _print(results)
    if len(results) < len(bugs) or any(result.why_not for result in results if not result.cannot):
        return ExitStatus.INVALID
    return ExitStatus.LOSSLESS if all(result.right for result in results if not result.cannot) else ExitStatus.LOST


def _planned(options: Options, bug: Bug) -> Planned | Unplanned:
    """Return what the runs of a case are asked to do, the second without the cure if that is taken away."""
    folder = Path(options["folder"]) / bug.name
    turn = bug.shown if options["without-cure"] else bug.cured
    try:
        shown = _settings(options, bug, bug.shown, folder / "shown")
        cured = _settings(options, bug, turn, folder / "cured")
    except StartError as error:  # a version that cannot be had: the others are run
        return Unplanned(bug, str(error))
    return Planned(bug, shown, cured, why_cannot(bug, program_of(shown), program_of(cured)))


def _settings(options: Options, bug: Bug, turn: Turn, folder: Path) -> Settings:
    """Return what a turn of a case asks for, by the words of a command; raises `UsageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scenario = _written(folder / "scenario.toml", bug.scenario)
        config = _configured(turn, folder / "config")
    except OSError as error:
        raise UsageError(cannot(folder, error)) from error
    asked = ProgramOptions()
    asked.parseOptions(
        [
            *("--plugin", turn.mechanism, *turn.words),
            *(["--scenario", str(scenario)] if bug.scenario else []),
            *(["--config", str(config)] if turn.config else []),
            *("--csv", str(folder / "data.csv"), "--losses", str(folder / "losses.csv")),
            *("--run", str(folder / "run.json"), "--no-report", "--log", "none"),
            *("--seed", options["seed"], "--first-port", options["first-port"], "--front-port", options["front-port"]),
        ]
    )
    return asked.settings


def _written(path: Path, text: str) -> Path:
    if text:
        path.write_text(text, encoding="utf-8")
    return path


def _configured(turn: Turn, folder: Path) -> Path:
    """Write the configuration of a turn, if it is not the plugin's own; raises `UsageError`."""
    if not turn.config:
        return folder
    named = Named.of(turn.mechanism)
    own = named.choice.mechanism.configuration
    if own is None:
        msg = f"{named.name} has no configuration that could be another"
        raise UsageError(msg)
    folder.mkdir(exist_ok=True)
    for name, text in altered(own.texts, turn.config).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _told(bug: Bug) -> Iterator[str]:
    """Yield the lines that tell of a case."""
    yield f"{bug.name}: {bug.title}"
    for paragraph in bug.told.split("\n\n"):
        yield from wrap(" ".join(paragraph.split()), _TEXT_WIDTH, initial_indent="    ", subsequent_indent="    ")
    for source in bug.sources:
        yield f"    told of at {source}"
    yield f"    versions: {bug.versions}"
    yield from (f"        {each.versions}: {each.seen}" for each in bug.shows)
    yield from _turn(bug, bug.shown)
    yield f"        run with: {told_of(bug.shown.mechanism)}"
    yield f"        {bug.expected}"
    since = f" ({bug.cured_in})" if bug.cured_in is not None else ""
    yield f"    what helps: {bug.cure}{since}, {bug.cure_source}"
    yield from _turn(bug, bug.cured)
    yield f"        {bug.healed}"
    if bug.scenario:
        yield "    scenario.toml:"
        for line in bug.scenario.strip("\n").splitlines():
            yield f"        {line}"


def _turn(bug: Bug, turn: Turn) -> Iterator[str]:
    """Yield the command of a turn, and what is another in its configuration."""
    words = ["proxyreload", "--plugin", turn.mechanism, *turn.words]
    if bug.scenario:
        words += ["--scenario", "scenario.toml"]
    if turn.config:
        words += ["--config", "config"]
    yield f"    {' '.join(words)}"
    for before, after in turn.config.items():
        yield f"        config: {' '.join(after.split()) or 'nothing'}, in place of {' '.join(before.split())}"


def _in_a_line(result: Result) -> str:
    if result.why_not:
        return f"{result.bug.name}: {'cannot: ' if result.cannot else ''}{result.why_not}"
    return f"{result.bug.name}: {result.shown.finding}; with the cure: {result.healed.finding}: {_word(result)}"


def _word(result: Result) -> str:
    return "as expected" if result.right else "NOT as expected"


def _print(results: Sequence[Result]) -> None:
    """Print the table, and below it what could not be run."""
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("case", "mechanism", "expected", "found", ""):
        table.add_column(title, overflow="fold", vertical="top")
    for result in results:
        cells = (result.bug.name, result.bug.shown.mechanism, *_cells(result.shown))
        table.add_row(*(Text(line_of(cell)) for cell in cells))
        cured = (f"  {result.bug.cure}", result.bug.cured.mechanism, *_cells(result.healed))
        table.add_row(*(Text(line_of(cell)) for cell in cured))
    console.print(table)
    console.print()
    right = sum(result.right for result in results)
    cannot = sum(result.cannot for result in results)
    console.print(Text(f"{right} of {len(results) - cannot} as expected{f', {cannot} cannot' if cannot else ''}"))


def _cells(outcome: Outcome) -> tuple[str, str, str]:
    finding = outcome.finding
    different = "cannot" if finding.cannot else "DIFFERENT"
    return str(outcome.expected), str(finding), "" if outcome.right else different

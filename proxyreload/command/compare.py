"""``proxyreload compare``: many mechanisms side by side."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.text import Text
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

import proxyreload
from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files, Folders, Mechanisms, Words
from proxyreload.cli.signals import on_signals
from proxyreload.command.scenarios import CHANGES, killed_after_s, leaves_after_s, named, ports, repetition
from proxyreload.comparison.cases import as_junit
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.contender import Contender, contenders, everyone
from proxyreload.comparison.markdown import markdown
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.table import as_json, print_table, short_versions, versions
from proxyreload.errors import ExitStatus, ProxyreloadError, UsageError
from proxyreload.plan.settings import BackendSettings, LoadSettings, Settings, Target
from proxyreload.report.write import write_matrix, write_run
from proxyreload.system import bounds
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.terminal.progress import ProgressBar
from proxyreload.verdict.judgement import counted

#: Into a file or a pipe no line is broken.
_WIDE = 200


class CompareOptions(Options):
    """proxyreload compare."""

    synopsis = "proxyreload compare [options] NAME[:MECHANISM][@PROGRAM] … | --all"
    longdesc = (
        "Makes the same changes under the same load with each mechanism, and prints a table. Rounds are interleaved, "
        "each in an order of its own. With @PROGRAM that program is run; an upgrade leads from it to the usual one. "
        "Exit status: 0 nothing was lost, 1 something was, 3 a mechanism did not come to a verdict; what a mechanism "
        "cannot do counts for nothing."
    )
    examples = ("proxyreload compare haproxy:reload haproxy:reload-idle --rounds 3",)
    optParameters = [  # noqa: RUF012
        ["rounds", None, "1", "How often each mechanism has its turn"],
        ["repeat", None, "10", "How often backends are added and removed in each run, or what --change says"],
        ["change", None, "backends", "What is repeated: backends, reload or upgrade"],
        ["pace", None, "0.5", "Seconds between a change that is done and the next"],
        ["scenario", None, None, "A scenario file (TOML), in place of --repeat"],
        ["stop-removed", None, "1", "Let a removed backend leave so many seconds after its removal, or never"],
        ["kill-removed", None, None, "Kill a removed backend so many seconds after its removal was applied"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["rate", None, "2000", "Requests/s over all clients; 0: each sends as soon as it has its answer"],
        ["backends", None, "4", "How many numbered backends there are"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["front-port", None, "8080", "The port that the proxies listen on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
        ["seed", None, "0", "For the order of the rounds and whatever else is drawn by chance"],
        ["folder", None, "compare", "Where each run's data.csv and run.json are written"],
        ["json", None, "compare.json", "Where the table is written as JSON"],
        ["report", None, "compare.html", "Where it is written as an HTML page, which leads to those of the runs"],
        ["markdown", None, None, "Where it is written as Markdown"],
        ["junit", None, None, "Where it is written as JUnit XML, for CI"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["all", None, "Every mechanism of every installed plugin"],
        ["no-report", None, "Write no HTML page, neither of the table nor of the runs"],
    ]
    compData = usage.Completions(
        optActions={
            "scenario": Files("*.toml"),
            "json": Files("*.json"),
            "markdown": Files("*.md"),
            "report": Files("*.html"),
            "junit": Files("*.xml"),
            "change": Words(CHANGES),
            "folder": Folders(),
        },
        extraActions=[Mechanisms(repeat=True)],
    )

    def parseArgs(self, *names: str) -> None:
        """Take the mechanisms; raises `UsageError`."""
        self["names"] = names
        if bool(names) == bool(self["all"]):
            msg = "name the mechanisms to compare, or say --all (--help says more)"
            raise usage.UsageError(msg)


def run_comparison(words: list[str]) -> int:
    """Compare, and print the table."""
    options = CompareOptions()
    options.parseOptions(words)
    settings = _settings(options)
    found = list(everyone()) if options["all"] else contenders(options["names"])
    broken = [row_of(each.partition(" of ")[0], (), why=each) for each in found if isinstance(each, str)]
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    comparison = Comparison(
        reactor,
        monotonic_ns,
        [each for each in found if isinstance(each, Contender)],
        settings,
        Path(options["folder"]),
        bounds.ROUNDS.parse("--rounds", options["rounds"]),
    )
    progress = ProgressBar(lambda: comparison.share, comparison.doing)
    comparison.tell = progress.tell
    comparison.draw = None if options["no-report"] else write_run
    _write(options, [], comparison)  # that it can be written is better known before than after an hour
    outcomes: list[list[Row] | Failure] = []

    def over(outcome: list[Row] | Failure) -> None:
        progress.stop()
        outcomes.append(outcome)
        reactor.stop()

    def start() -> None:
        on_signals(reactor, comparison.interrupt)
        progress.start(reactor)
        Deferred.fromCoroutine(comparison.execute()).addBoth(over)

    reactor.callWhenRunning(start)
    reactor.run()
    outcome = outcomes[0]
    if isinstance(outcome, Failure):
        outcome.raiseException()
        return ExitStatus.INVALID
    rows = [*outcome, *broken]
    _write(options, rows, comparison)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    for line in (_what(comparison), short_versions(rows), ""):
        console.print(Text(line), soft_wrap=True)
    print_table(console, rows)
    if not options["no-report"]:
        print(_report(Path(options["json"]), Path(options["report"])))  # noqa: T201
    return status(rows)


def status(rows: Sequence[Row]) -> ExitStatus:
    """Return the worst of the rows' exit statuses; what a mechanism cannot do counts for nothing."""
    statuses = [ExitStatus.LOSSLESS]
    statuses += [row.verdict.exit_status if row.verdict else ExitStatus.INVALID for row in rows if not row.cannot]
    return max(statuses)


def _report(table: Path, page: Path) -> str:
    """Write the page, and say so, or why not."""
    try:
        write_matrix(table, page)
    except ProxyreloadError as error:
        return f"not written: {page}: {error}"
    return f"written: {table}, {page}"


def _settings(options: Options) -> Settings:
    backends = bounds.BACKENDS.parse("--backends", options["backends"])
    first_port, front_port = ports(options, backends)
    scenario = repetition(options, backends)
    if options["scenario"] is not None:
        scenario = named(options["scenario"], None, backends)
    return Settings(
        target=Target.front(front_port),
        scenario=scenario,
        load=LoadSettings(
            clients=bounds.CLIENTS.parse("--clients", options["clients"]),
            rate_per_s=None if options["rate"] == "0" else bounds.RATE_PER_S.parse("--rate", options["rate"]),
            timeout_s=bounds.TIMEOUT_S.parse("--timeout", options["timeout"]),
            seed=bounds.SEED.parse("--seed", options["seed"]),
        ),
        backends=BackendSettings(
            number=backends,
            first_port=first_port,
            stop_removed_s=leaves_after_s(options),
            kill_removed_s=killed_after_s(options),
        ),
    )


def _what(comparison: Comparison) -> str:
    """Say what was compared, on what and when."""
    settings = comparison.settings
    rate = "closed loop" if settings.load.rate_per_s is None else f"{settings.load.rate_per_s:g} requests/s"
    killed = (
        ""
        if settings.backends.kill_removed_s is None
        else f"; removed backends killed after {settings.backends.kill_removed_s:g} s"
    )
    return (
        f"proxyreload {proxyreload.__version__}, {datetime.now(UTC).date()}: {settings.scenario.title}, "
        f"{counted(settings.load.clients, 'client')}, {rate}{killed}, {counted(comparison.rounds, 'round')}, "
        f"seed {settings.load.seed}, {counted(os.cpu_count() or 0, 'core')}, {platform.system()}"
    )


def _write(options: Options, rows: Sequence[Row], comparison: Comparison) -> None:
    """Write the files; raises `UsageError` if one cannot be written."""
    what = _what(comparison)
    ran = comparison.settings.as_run()
    compared = {
        "what": what,
        "versions": versions(rows),
        "rounds": comparison.rounds,
        "options": ran["options"],
        "scenario": ran["scenario"],
    }
    written = {options["json"]: as_json(rows, compared)}
    if options["markdown"] is not None:
        written[options["markdown"]] = markdown(rows, [what, short_versions(rows)])
    if options["junit"] is not None:
        written[options["junit"]] = as_junit(rows)
    for path, text in written.items():
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror}"
            raise UsageError(msg) from error

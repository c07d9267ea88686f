"""``proxyreload compare``: many mechanisms side by side."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import attrs
from rich.console import Console
from rich.text import Text
from twisted.python import usage

import proxyreload
from proxyreload.cli.completers import Files, Folders, Mechanisms
from proxyreload.command.jobs import JobOptions, require_judged
from proxyreload.command.manyruns import ManyRunsOptions, settings_of
from proxyreload.command.outputs import Outputs, cannot, claimed
from proxyreload.command.scenarios import (
    files_read,
)
from proxyreload.command.toend import run_to_end
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.contender import (
    Contender,
    contenders,
    everyone,
    in_versions,
    require_unversioned,
    with_file,
    with_versions,
)
from proxyreload.comparison.jobsummary import comparison_annotations, comparison_summary
from proxyreload.comparison.markdown import markdown
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.scoreboard import print_scoreboard, scoreboard
from proxyreload.comparison.table import as_json, print_table, short_versions, versions
from proxyreload.comparison.trialcases import as_junit
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.job.summaryfile import SummaryFile
from proxyreload.plan.settings import Settings
from proxyreload.report.drawing import draw
from proxyreload.service.report_file import ReportFile
from proxyreload.sources.version import Span
from proxyreload.system import bounds
from proxyreload.system.claim import claim_folder
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.system.samefile import require_apart
from proxyreload.system.standard import say
from proxyreload.system.untrusted import line_of
from proxyreload.terminal.progress import ProgressBar
from proxyreload.verdict.judgement import counted
from proxyreload.verdict.threshold import OPTION, Outcome, Thresholds

#: Into a file or a pipe no line is broken.
_WIDE = 200


class CompareOptions(JobOptions, ManyRunsOptions):
    """proxyreload compare."""

    synopsis = """proxyreload compare [options] NAME[:MECHANISM][@VERSION|@PATH][+FILE] …
       proxyreload compare [options] --all"""
    longdesc = (
        "Makes the same changes under the same load with each mechanism, and prints a table. Rounds are interleaved, "
        "each in an order of its own. With @VERSION or @PATH that program is run; an upgrade leads from it to "
        "the usual one. With +CONFIG it is run from a configuration of yours. With --versions 2.2..3.4 each mechanism "
        "is run in every version of that range, the newest of each 2.x and 3.x. Exit status: 0 nothing was lost, 1 "
        "something was, 3 a mechanism did not come to a verdict; what a mechanism cannot do counts for nothing."
    )
    examples = (
        "proxyreload compare haproxy:reload haproxy:reload-idle --rounds 3",
        "proxyreload compare haproxy:reload --versions 2.2..3.4",
    )
    optParameters = [  # noqa: RUF012
        ["versions", None, None, "FIRST..LAST: run each mechanism in the versions from one to another"],
        ["rounds", None, "1", "How often each mechanism has its turn"],
        ["seed", None, "0", "For the order of the rounds and whatever else is drawn by chance"],
        ["folder", None, "compare", "Where each run's data.csv, losses.csv and run.json are written"],
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
            "json": Files("*.json"),
            "markdown": Files("*.md"),
            "report": Files("*.html"),
            "junit": Files("*.xml"),
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
        if self["all"] and self["versions"] is not None:
            msg = "--versions is for mechanisms that are named: --all runs what is installed"
            raise usage.UsageError(msg)


def run_comparison(words: list[str]) -> int:
    """Compare, and print the table."""
    options = CompareOptions()
    options.parseOptions(words)
    settings = attrs.evolve(settings_of(options), fail_on=options.fail_on)
    found: Sequence[Contender | str] = list(everyone(say)) if options["all"] else contenders(options["names"])
    for each in found:
        if isinstance(each, Contender):
            require_judged(attrs.evolve(settings, choice=each.choice))
    programs = {f"the program of {each.name}": each.binary for each in found if isinstance(each, Contender)}
    read = {use: Path(shutil.which(program) or program) for use, program in programs.items() if program}
    read |= {f"the configuration of {name}": file for name in options["names"] if (file := with_file(name)[1])}
    require_apart(_written(options), files_read(options, ["scenario"]) | read)
    report = None
    if not options["no-report"]:
        report = ReportFile(Path(options["report"]), required="report" in options.asked)
    folder = Path(options["folder"])
    rounds = bounds.ROUNDS.parse("--rounds", options["rounds"])
    span = None if options["versions"] is None else Span.of("--versions", options["versions"])
    if span is not None:
        found = require_unversioned(found)
    with ExitStack() as stack:
        outputs = stack.enter_context(
            claimed([path for use, path in _written(options).items() if use not in ("--report", "--summary")])
        )
        if report is not None:
            stack.callback(report.close)
            report.claim()
        try:
            stack.callback(os.close, claim_folder(folder))
        except OSError as error:
            raise UsageError(cannot(folder, error)) from error
        summary = None if options["summary"] is None else SummaryFile(Path(options["summary"]), "compare")
        if summary is not None:
            stack.enter_context(summary.claimed())
        if span is not None:
            found = list(in_versions(found, span))
        return _compare(options, settings, with_versions(found), rounds, outputs, report, summary)


def _compare(
    options: CompareOptions,
    settings: Settings,
    found: Sequence[Contender | str],
    rounds: int,
    outputs: Outputs,
    report: ReportFile | None,
    summary: SummaryFile | None,
) -> int:
    broken = [row_of(each.partition(" of ")[0], (), why=each) for each in found if isinstance(each, str)]
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    comparison = Comparison(
        reactor,
        monotonic_ns,
        [each for each in found if isinstance(each, Contender)],
        settings,
        Path(options["folder"]),
        rounds,
    )
    comparison.draw = None if report is None else draw
    outputs.write(_texts(options, [], comparison))  # that it can be written is better known before than after an hour
    outputs.require()
    rows = [*_compared(reactor, comparison), *broken]
    outputs.write(_texts(options, rows, comparison))
    fail_on = comparison.settings.fail_on
    if summary is not None:
        above = [_what(comparison), short_versions(rows)]
        summary.append(comparison_summary(rows, above, fail_on, ("compare", *options.words)))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    for line in (_what(comparison), short_versions(rows), ""):
        console.print(Text(line_of(line)), soft_wrap=True)
    print_table(console, rows)
    board = scoreboard(rows)
    if board is not None:
        print_scoreboard(console, board)
    unwritten = [*outputs.unwritten, *([summary.unwritten] if summary is not None and summary.unwritten else [])]
    lines = [*_decided(rows, fail_on), *unwritten]
    if options.annotates:
        lines += [each.line for each in comparison_annotations(rows, fail_on)]
    if report is not None:
        table = Path(options["json"])
        why_not = report.write_matrix(table)
        lines.append(why_not or f"written: {table}, {report.path}")
    for line in lines:
        print(line_of(line))  # noqa: T201
    if unwritten or (report is not None and report.failed):
        return ExitStatus.INVALID
    return status(rows, fail_on)


def _compared(reactor: IReactor, comparison: Comparison) -> list[Row]:
    """Let the reactor run until all is compared, or a signal ends it."""
    progress = ProgressBar(lambda: comparison.share, comparison.doing)
    comparison.tell = progress.tell
    return run_to_end(reactor, comparison.execute, comparison.interrupt, progress, "the comparison")


def status(rows: Sequence[Row], thresholds: Thresholds = ()) -> ExitStatus:
    """Return the worst of the rows' exit statuses; what a mechanism cannot do counts for nothing.

    But where thresholds were asked for, one at least must have been held against something.
    """
    judged = [row.decision(thresholds).status for row in rows if not row.cannot]
    nothing = ExitStatus.INVALID if thresholds else ExitStatus.LOSSLESS
    return max(judged, default=nothing)


def _decided(rows: Sequence[Row], thresholds: Thresholds) -> Iterator[str]:
    """Yield what was decided of each mechanism, where thresholds were asked for."""
    told = [(row, row.decision(thresholds).words) for row in rows]
    yield from (f"{row.name}: {words}" for row, words in told if words)
    if thresholds and all(row.cannot for row in rows):
        yield f"decided by {OPTION}: {Outcome.NOT_JUDGED.value}: no mechanism could be run"


def _what(comparison: Comparison) -> str:
    """Say what was compared, on what and when."""
    settings = comparison.settings
    rate = "closed loop" if settings.load.rate_per_s is None else f"get {settings.load.rate_per_s:g} requests/s"
    killed = (
        ""
        if settings.backends.kill_removed_s is None
        else f"; removed backends killed after {settings.backends.kill_removed_s:g} s"
    )
    return (
        f"proxyreload {proxyreload.__version__}, {datetime.now(UTC).date()}: {settings.scenario.title}, "
        f"{settings.spoken}; {rate}{killed}, "
        f"{counted(comparison.rounds, 'round')}, "
        f"seed {settings.load.seed}, {counted(os.cpu_count() or 0, 'core')}, {platform.system()}"
    )


def _written(options: CompareOptions) -> dict[str, Path]:
    """Return the files that are written, by their options."""
    names = ["json", "markdown", "junit", "summary", *([] if options["no-report"] else ["report"])]
    return {f"--{name}": Path(options[name]) for name in names if options[name] is not None}


def _texts(options: CompareOptions, rows: Sequence[Row], comparison: Comparison) -> dict[Path, str]:
    """Return what is to be written of these rows, by the files."""
    what = _what(comparison)
    ran = comparison.settings.as_run()
    board = scoreboard(rows)
    compared = {
        "what": what,
        "versions": versions(rows),
        "rounds": comparison.rounds,
        "traffic": ran["traffic"],
        "options": ran["options"],
        "scenario": ran["scenario"],
        "scoreboard": [] if board is None else board.as_plain(),
    }
    thresholds = comparison.settings.fail_on
    texts = {Path(options["json"]): as_json(rows, compared, thresholds)}
    if options["markdown"] is not None:
        texts[Path(options["markdown"])] = markdown(rows, [what, short_versions(rows)])
    if options["junit"] is not None:
        texts[Path(options["junit"])] = as_junit(rows, thresholds)
    return texts

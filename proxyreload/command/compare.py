"""``proxyreload compare``: many mechanisms side by side."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, cast

import attrs
from rich.console import Console
from rich.text import Text
from twisted.python import usage

import proxyreload
from proxyreload.cli.completers import Files, Folders, Mechanisms
from proxyreload.command.jobs import JobOptions
from proxyreload.command.judged import require_judged
from proxyreload.command.manyruns import ManyRunsOptions, settings_of
from proxyreload.command.outputs import Outputs, cannot, claimed
from proxyreload.command.scenarios import (
    files_read,
)
from proxyreload.command.toend import run_to_end
from proxyreload.comparison.bykind import print_by_kind
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.condition import UNCHANGED, Condition, all_conditions, conditions
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
from proxyreload.comparison.selection import Selection
from proxyreload.comparison.table import as_json, print_table, short_versions, versions
from proxyreload.comparison.trialcases import as_junit
from proxyreload.comparison.walltime import print_wall_times, wall_times
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.job.again import without
from proxyreload.job.summaryfile import SummaryFile
from proxyreload.plan.settings import Settings
from proxyreload.record.runfile import machine
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

#: With --all, unless they are given.
_OF_ALL = {"repeat": "4", "rate": "500"}
#: What has no place in the command that repeats one row: it names its mechanism and its condition itself, and
#: elsewhere there are no such files. With how many words stand behind each.
_NOT_AGAIN = {
    **dict.fromkeys(("--all", "--plan", "--resume", "--no-report", "--annotations"), 0),
    **dict.fromkeys(("--conditions", "--only", "--skip", "--versions", "--folder", "--summary", "--fail-on"), 1),
    **dict.fromkeys(("--json", "--report", "--markdown", "--junit"), 1),
}
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
        "is run in every version of that range, the newest of each 2.x and 3.x. With --all each is run with its "
        "clients near and 20 ms away, and with removed backends that leave and that are killed (--conditions), by "
        "--repeat 4 and --rate 500. Exit status: 0 nothing was lost, 1 something was, 3 a mechanism did not come to a "
        "verdict; what a mechanism cannot do counts for nothing."
    )
    examples = (
        "proxyreload compare haproxy:reload haproxy:reload-idle --rounds 3",
        "proxyreload compare haproxy:reload --versions 2.2..3.4",
        "proxyreload compare --all --only 'haproxy,nginx:reload*,websocket' --plan",
    )
    optParameters = [  # noqa: RUF012
        ["versions", None, None, "FIRST..LAST: run each mechanism in the versions from one to another"],
        ["conditions", None, None, "near,far,leaving,killed: each distance with each way to go; or asked"],
        ["only", None, None, "Mechanisms (* for any letters) and kinds of traffic that are left of all, by commas"],
        ["skip", None, None, "Likewise those that are left out"],
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
        ["plan", None, "Show how long each is going to take, and run nothing"],
        ["resume", None, "Go on with an earlier one: what the folder has of the same runs is not run again"],
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
        if self["all"]:
            for name, value in _OF_ALL.items():
                self[name] = self[name] if name in self.asked else value


def run_comparison(words: list[str]) -> int:
    """Compare, and print the table."""
    options = CompareOptions()
    options.parseOptions(words)
    settings = attrs.evolve(settings_of(options), fail_on=options.fail_on)
    met = _conditions(options, settings)
    selection = Selection.parsed(options["only"], options["skip"])
    settings = attrs.evolve(settings, load=selection.sent(settings.load))
    named: Sequence[Contender | str] = list(everyone(say)) if options["all"] else contenders(options["names"])
    found: Sequence[Contender | str] = selection.of(named)
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
    if options["plan"]:
        planned = found if span is None else list(in_versions(found, span))
        _print_plan(_comparison(options, settings, planned, met, rounds), sys.stdout)
        return ExitStatus.LOSSLESS
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
        found = with_versions(found)
        comparison = _comparison(options, settings, found, met, rounds)
        broken = [row_of(each.partition(" of ")[0], (), why=each) for each in found if isinstance(each, str)]
        return _compare(options, comparison, broken, outputs, report, summary)


def _conditions(options: CompareOptions, settings: Settings) -> Sequence[Condition]:
    """Return what each mechanism is run under; raises `UsageError`."""
    actions = settings.scenario.actions
    if options["conditions"] is not None:
        return conditions("--conditions", options["conditions"], actions)
    return all_conditions(actions) if options["all"] else (UNCHANGED,)


def _comparison(
    options: CompareOptions,
    settings: Settings,
    found: Sequence[Contender | str],
    met: Sequence[Condition],
    rounds: int,
) -> Comparison:
    from twisted.internet import reactor

    return Comparison(
        cast(IReactor, reactor),
        monotonic_ns,
        [each for each in found if isinstance(each, Contender)],
        settings,
        Path(options["folder"]),
        rounds,
        draw=None if options["no-report"] else draw,
        conditions=met,
        resume=bool(options["resume"]),
    )


def _print_plan(comparison: Comparison, file: TextIO) -> None:
    """Show how long each is going to take."""
    console = Console(file=file, highlight=False) if file.isatty() else Console(file=file, highlight=False, width=_WIDE)
    print_wall_times(console, comparison, wall_times(comparison))


def _compare(
    options: CompareOptions,
    comparison: Comparison,
    broken: Sequence[Row],
    outputs: Outputs,
    report: ReportFile | None,
    summary: SummaryFile | None,
) -> int:
    outputs.write(_texts(options, [], comparison))  # that it can be written is better known before than after an hour
    outputs.require()
    if options["all"]:
        _print_plan(comparison, sys.stderr)
    rows = [*_compared(comparison), *broken]
    outputs.write(_texts(options, rows, comparison))
    fail_on = comparison.settings.fail_on
    if summary is not None:
        above = [_what(comparison), short_versions(rows)]
        summary.append(comparison_summary(rows, above, fail_on, ("compare", *options.words)))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    for line in (_what(comparison), short_versions(rows), ""):
        console.print(Text(line_of(line)), soft_wrap=True)
    print_table(console, rows)
    print_by_kind(console, rows)
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


def _compared(comparison: Comparison) -> list[Row]:
    """Let the reactor run until all is compared, or a signal ends it."""
    progress = ProgressBar(lambda: comparison.share, comparison.doing)
    comparison.tell = progress.tell
    return run_to_end(comparison.reactor, comparison.execute, comparison.interrupt, progress, "the comparison")


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
    yield from (f"{row.label}: {words}" for row, words in told if words)
    if thresholds and all(row.cannot for row in rows):
        yield f"decided by {OPTION}: {Outcome.NOT_JUDGED.value}: no mechanism could be run"


def _what(comparison: Comparison) -> str:
    """Say what was compared, on what and when."""
    settings = comparison.settings
    rate = "closed loop" if settings.load.rate_per_s is None else f"get {settings.load.rate_per_s:g} requests/s"
    return (
        f"proxyreload {proxyreload.__version__}, {datetime.now(UTC).date()}: {settings.scenario.title}, "
        f"{_sent(comparison)}; {rate}{_removed(comparison)}, {counted(comparison.rounds, 'round')}, "
        f"seed {settings.load.seed}, {counted(os.cpu_count() or 0, 'core')}, {platform.system()}"
    )


def _sent(comparison: Comparison) -> str:
    """Say who sends what, for each distance."""
    told = {each.distance: each.met(comparison.settings).spoken for each in comparison.conditions}
    return "; ".join(f"{distance}: {sent}" if distance else sent for distance, sent in told.items())


def _removed(comparison: Comparison) -> str:
    """Say how removed backends go, where they do not leave as a deployment's do."""
    ways = [each.removal for each in comparison.conditions if each.removal]
    if ways:
        return f"; removed backends {', '.join(dict.fromkeys(ways))}"
    killed_s = comparison.settings.backends.kill_removed_s
    return "" if killed_s is None else f"; removed backends killed after {killed_s:g} s"


def _again(options: CompareOptions, row: Row) -> Iterator[str]:
    """Yield the words of the command that runs what one row was made of."""
    yield from ("proxyreload", "compare", row.name, *row.condition.words)
    words = options.words[: len(options.words) - len(options["names"])]
    yield from (
        word
        for name, value in _OF_ALL.items()
        if options["all"] and name not in options.asked
        for word in (f"--{name}", value)
    )
    yield from Selection.parsed(options["only"], options["skip"]).words
    yield from without(words, _NOT_AGAIN)


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
        "started": comparison.started,
        "proxyreload": proxyreload.__version__,
        "machine": machine(),
        "command": ["proxyreload", "compare", *options.words],
        "versions": versions(rows),
        "rounds": comparison.rounds,
        "traffic": ran["traffic"],
        "options": ran["options"],
        "scenario": ran["scenario"],
        "conditions": [each.as_plain() for each in comparison.conditions],
        "wall_s": round(sum(row.wall_s for row in rows), 3),
        "scoreboard": [] if board is None else board.as_plain(),
    }
    thresholds = comparison.settings.fail_on
    texts = {Path(options["json"]): as_json(rows, compared, thresholds, lambda row: [*_again(options, row)])}
    if options["markdown"] is not None:
        texts[Path(options["markdown"])] = markdown(rows, [what, short_versions(rows)])
    if options["junit"] is not None:
        texts[Path(options["junit"])] = as_junit(rows, thresholds)
    return texts

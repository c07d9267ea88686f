"""``proxyreload bisect``: between which two versions a verdict changed."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twisted.python import usage

from proxyreload.bisection.bisection import ERROR, MOST, Bisection, Found, Step
from proxyreload.bisection.interfaces import Stopped
from proxyreload.bisection.trier import Trier
from proxyreload.cli.completers import Files, Folders, Mechanisms, Words
from proxyreload.command.manyruns import ManyRunsOptions, settings_of
from proxyreload.command.outputs import cannot, claimed
from proxyreload.command.scenarios import files_read
from proxyreload.command.toend import run_to_end
from proxyreload.errors import ExitStatus, StartError, UsageError
from proxyreload.proxy.named import Named
from proxyreload.proxy.registry import Choice
from proxyreload.sources.store import Offer
from proxyreload.sources.version import Span, is_version
from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.system.claim import claim_folder
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.system.samefile import require_apart
from proxyreload.system.untrusted import line_of
from proxyreload.terminal.progress import ProgressBar
from proxyreload.verdict.judgement import Verdict, counted

#: By what a change is hit, and the question that is asked of it.
QUESTIONS = {
    "racy": (
        frozenset({Verdict.RACY, Verdict.LOSSY}),
        "does a change lose a request, or close a resting connection unannounced",
    ),
    "lossy": (frozenset({Verdict.LOSSY}), "does a change lose a request"),
}
#: Into a file or a pipe no line is broken.
_WIDE = 200
#: Changes with a note in the changelog.
FORMAT = 1
SHARE = Bound(0.001, 0.9)
MOST_CHANGES = WholeBound(1, 1_000_000)


class BisectOptions(ManyRunsOptions):
    """proxyreload bisect."""

    synopsis = "proxyreload bisect [options] NAME[:MECHANISM] --good 3.4 --bad 3.0"
    longdesc = (
        "Finds between which two versions a verdict changed, whichever is older, by halving. Each version has as many "
        "changes as a sequential test (Wald) needs to tell a good one from a bad one, in which one change of five at "
        "least is hit (--share); that any of its decisions is wrong is less likely than 1 %. Both ends are tried "
        "first. A version of which nothing can be said is passed over. Exit status: 0 they were found, 3 they were not."
    )
    examples = ("proxyreload bisect haproxy:reload --good 2.2 --bad 3.0 --change reload",)
    optParameters = [  # noqa: RUF012
        ["good", None, None, "A version that is good"],
        ["bad", None, None, "A version that is bad"],
        ["config", None, None, "A configuration of yours, or a folder of it, for each version to run from"],
        ["verdict", None, "racy", "From which verdict on a change is hit: racy or lossy"],
        ["share", None, "0.2", "The part of its changes that is hit in a bad version, at least"],
        ["most", None, str(MOST), "Pass over a version of which so many changes decide nothing"],
        ["seed", None, "0", "For whatever is drawn by chance"],
        ["folder", None, "bisect", "Where each run's data.csv, losses.csv and run.json are written"],
        ["json", None, "bisect.json", "Where the steps are written as JSON"],
    ]  # fmt: skip
    compData = usage.Completions(
        optActions={
            "verdict": Words(tuple(QUESTIONS)),
            "config": Files(),
            "json": Files("*.json"),
            "folder": Folders(),
        },
        extraActions=[Mechanisms()],
    )

    def parseArgs(self, *names: str) -> None:
        """Take the mechanism; raises `UsageError`."""
        if len(names) != 1:
            msg = f"name one mechanism: {self.examples[0]}"
            raise usage.UsageError(msg)
        self["name"] = names[0]


def bisect(words: list[str]) -> int:
    """Find them, and print the steps."""
    options = BisectOptions()
    options.parseOptions(words)
    settings, choice = settings_of(options), chosen(options)
    if options["config"] is not None:
        actions, tls = settings.scenario.actions, settings.tls.front
        own = choice.configured(Path(options["config"]), actions, tls=tls)
        settings = attrs.evolve(settings, configuration=own)
    if options["verdict"] not in QUESTIONS:
        msg = f"--verdict takes {', '.join(QUESTIONS)}, not {options['verdict']!r}"
        raise UsageError(msg)
    share = SHARE.parse("--share", options["share"])
    most = MOST_CHANGES.parse("--most", options["most"])
    folder, table = Path(options["folder"]), Path(options["json"])
    require_apart({"--json": table}, files_read(options, ["scenario", "config"]))
    choice.require(settings.scenario.actions, (), settings.kinds_asked, tls=settings.tls.front)
    with ExitStack() as stack:
        outputs = stack.enter_context(claimed([table]))
        try:
            stack.callback(os.close, claim_folder(folder))
        except OSError as error:
            raise UsageError(cannot(folder, error)) from error
        offers = between(choice, options["good"], options["bad"])
        by_version = {str(offer.version): offer for offer in offers}
        versions = list(by_version)
        catalogue = choice.plugin.binary.catalogue if choice.plugin.binary is not None else None
        assert catalogue is not None  # noqa: S101
        from twisted.internet import reactor as installed

        reactor = cast(IReactor, installed)
        hit_by, question = QUESTIONS[options["verdict"]]
        trier = Trier(
            reactor,
            monotonic_ns,
            attrs.evolve(settings, choice=choice),
            lambda version: catalogue.program_in(by_version[version]),
            hit_by,
            folder,
        )
        bisection = Bisection(versions, trier, share, most)
        what = f"{choice.name}, {versions[0]} good, {versions[-1]} bad: {question}? {settings.spoken}"
        sizes = f"{counted(len(versions), 'version')}, {bisection.steps_at_most} steps at most"
        print(line_of(f"{what}; {sizes}"), flush=True)  # noqa: T201
        found, why = _found(reactor, bisection, trier)
        outputs.write({table: _as_json(choice, bisection, found, why, what)})
        _print(bisection, found, why)
        for line in outputs.unwritten:
            print(line_of(line))  # noqa: T201
        return ExitStatus.INVALID if found is None or outputs.unwritten else ExitStatus.LOSSLESS


def _found(reactor: IReactor, bisection: Bisection, trier: Trier) -> tuple[Found | None, str]:
    """Let the reactor run until they are found; return them, or why they were not."""

    def doing() -> str:
        test = bisection.trying
        so_far = f", {test.hits} of {test.changes} changes hit" if test is not None else ""
        return f"step {len(bisection.steps) + 1} of {bisection.steps_at_most}: {trier.doing}{so_far}"

    progress = ProgressBar(lambda: min(len(bisection.steps) / bisection.steps_at_most, 1.0), doing)
    bisection.tell = lambda step: progress.tell(_told(step))
    try:
        return run_to_end(reactor, bisection.execute, trier.interrupt, progress, "the bisection"), ""
    except Stopped:
        return None, "it was ended before they were found"
    except StartError as error:
        return None, str(error)


def chosen(options: BisectOptions) -> Choice:
    """Return the mechanism; raises `UsageError` if it is not one that is had in versions, or an end is none."""
    named = Named.of(options["name"])
    program = named.choice.plugin.binary
    if named.program is not None:
        msg = f"{named.name} says which program: --good and --bad do"
        raise UsageError(msg)
    if program is None or not program.sources:
        msg = f"{named.name} cannot be had in versions: its plugin names no source of them"
        raise UsageError(msg)
    for end in ("good", "bad"):
        if options[end] is None or not is_version(options[end]):
            msg = f"--{end} takes a version, as 3.2 or 3.2.26"
            raise UsageError(msg)
    return named.choice


def between(choice: Choice, good: str, bad: str) -> list[Offer]:
    """Return all versions from the good one to the bad one; raises `FetchError`, or `UsageError` for one alone."""
    assert choice.plugin.binary is not None  # noqa: S101
    catalogue = choice.plugin.binary.catalogue
    ends = catalogue.meant(good), catalogue.meant(bad)
    first, last = sorted(offer.version for offer in ends)
    if first == last:
        msg = f"--good {good} and --bad {bad} are the same version, {first}"
        raise UsageError(msg)
    found = [offer for offer in catalogue.within(Span(first, last)) if first < offer.version < last]
    oldest, newest = sorted(ends, key=lambda offer: offer.version)
    whole = [oldest, *found, newest]
    return whole if oldest is ends[0] else whole[::-1]


def _told(step: Step) -> str:
    return f"{step.version}: {step.test.hits} of {counted(step.test.changes, 'change')} hit: {_outcome(step)}"


def _outcome(step: Step) -> str:
    """Say what it came to."""
    if step.decision is not None:
        return step.decision.value
    return f"{'cannot' if step.cannot else 'passed over'}: {step.why}"


def _end(bisection: Bisection, found: Found | None, why: str) -> str:
    """Say what was found."""
    if found is None:
        return why
    between = f"; not known of {', '.join(found.between)}, which could not be judged" if found.between else ""
    wrong = f"that any of the {counted(len(bisection.steps), 'step')} is wrong: less than {ERROR:.0%}"
    return f"it changed between {found.bad} (bad) and {found.good} (good){between}; {wrong}"


def _print(bisection: Bisection, found: Found | None, why: str) -> None:
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("step", "version", "changes", "hit", "decision"):
        table.add_column(title, justify="right" if title in ("step", "changes", "hit") else "left", overflow="fold")
    for number, step in enumerate(bisection.steps, 1):
        texts = (str(number), step.version, str(step.test.changes), str(step.test.hits), _outcome(step))
        table.add_row(*(Text(line_of(text)) for text in texts))
    console.print(table)
    console.print(Text(line_of(_end(bisection, found, why))), soft_wrap=True)


def _as_json(choice: Choice, bisection: Bisection, found: Found | None, why: str, what: str) -> str:
    content = {
        "format": FORMAT,
        "what": what,
        "mechanism": choice.name,
        "versions": list(bisection.versions),
        "share": bisection.bad,
        "error": ERROR,
        "steps": [_step(step) for step in bisection.steps],
        "good": None if found is None else found.good,
        "bad": None if found is None else found.bad,
        "not_judged": [] if found is None else list(found.between),
        "why": why or None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _step(step: Step) -> dict[str, object]:
    return {
        "version": step.version,
        "changes": step.test.changes,
        "hits": step.test.hits,
        "decision": None if step.decision is None else step.decision.value,
        "cannot": step.cannot,
        "why": step.why or None,
    }

"""``proxyreload capacity``: how many changes a second a mechanism takes."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import attrs
from rich.console import Console
from rich.text import Text
from twisted.python import usage

import proxyreload
from proxyreload.bisection.interfaces import Stopped
from proxyreload.capacity.capacityfile import as_json
from proxyreload.capacity.capacitytable import kept_words, markdown, outcome, print_capacities, told
from proxyreload.capacity.measurement import ENDED, ERROR, Capacity, Measurement
from proxyreload.capacity.pacer import Pacer
from proxyreload.capacity.pacetest import QUESTIONS, Rule
from proxyreload.capacity.search import Search
from proxyreload.capacity.step import Step
from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files, Folders, Mechanisms, Words
from proxyreload.command.manyruns import settings_with
from proxyreload.command.outputs import Outputs, cannot, claimed
from proxyreload.command.toend import run_to_end
from proxyreload.command.vocabulary import CHANGES
from proxyreload.comparison.cell import Cell
from proxyreload.comparison.condition import UNCHANGED
from proxyreload.comparison.contender import Contender, contenders, everyone, with_file, with_versions
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.plan.scenario import at_pace
from proxyreload.plan.settings import Settings
from proxyreload.plan.traffic import Group
from proxyreload.run.preflight import descriptors, require_ports
from proxyreload.run.runs import Runs
from proxyreload.system.bounds import PACE_PER_S, Bound, WholeBound
from proxyreload.system.claim import claim_folder
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.descriptors import require_descriptors
from proxyreload.system.reactor import IReactor
from proxyreload.system.samefile import require_apart
from proxyreload.system.standard import say
from proxyreload.system.untrusted import line_of
from proxyreload.terminal.progress import ProgressBar
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.judgement import counted

#: Beside the clients of `get`, where nobody says: enough new connections for a reload to be seen soon.
_FRESH_CLIENTS, _FRESH_PER_S = 2, 100.0
#: Into a file or a pipe no line is broken.
_WIDE = 200
SHARE = Bound(0.001, 0.9)
WITHIN_S = Bound(0.01, 3600, "seconds")
LEAST_S = Bound(0.1, 3600, "seconds")
PRECISION = Bound(1.05, 10)
#: Rolling through the backends takes two that stay and one that comes.
ROLLING = WholeBound(3, 1000)
STEPS = WholeBound(1, 1000)


class CapacityOptions(Options):
    """proxyreload capacity."""

    synopsis = """proxyreload capacity [options] NAME[:MECHANISM][@VERSION|@PATH][+FILE] …
       proxyreload capacity [options] --all"""
    longdesc = (
        "Searches how many changes a second a mechanism takes before it loses requests, refuses changes, or falls "
        "behind. A change is due at its time, whether the one before is over or not: late is counted from then. The "
        "pace is doubled until it is not kept, then narrowed down, and both ends are tried twice; each is tried with "
        f"as many changes as it takes to tell, so that any of them is wrong with a probability below {ERROR:.0%}. "
        "Exit status: 0 each came to a figure, 3 one did not; what a mechanism cannot do counts for nothing."
    )
    examples = (
        "proxyreload capacity haproxy:runtime nginx:reload",
        "proxyreload capacity haproxy:runtime --from 10 --top 10 --grow 1000",
    )
    optParameters = [  # noqa: RUF012
        ["from", None, "1", "Changes a second to begin with"],
        ["top", None, "200", "At most so many changes a second"],
        ["floor", None, "0.1", "Whoever does not keep even so many keeps none"],
        ["precision", None, "1.2", "Until the pace that is not kept is so many times the one that is, at most"],
        ["within", None, "1", "Each change is to be in effect so many seconds after it was due"],
        ["share", None, "0.2", "The part of its changes that is hit at a pace that is not kept, at least"],
        ["least", None, "3", "Make changes for so many seconds in each run, at least"],
        ["steps", None, "30", "At most so many steps for each mechanism"],
        ["change", None, "backends", "What is changed: backends, reload, upgrade, rotate or edit"],
        ["backends", None, "8", "How many numbered backends there are; all but four, or half of few, are in use"],
        ["grow", None, None, "Then search up to how many backends half of that pace is kept, as far as this number"],
        ["stop-removed", None, "1", "Let a removed backend leave so many seconds after its removal, or never"],
        ["kill-removed", None, None, "Kill a removed backend so many seconds after its removal was applied"],
        ["wait-old", None, "2", "Go on so many seconds for old processes of a proxy, in each run"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["traffic", None, None, "KIND=CLIENTS, a comma between two; without it: fresh, at 100 requests/s"],
        ["rate", None, "500", "Requests/s over all clients; 0: each sends as soon as it has its answer"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["front-port", None, "8080", "The port that the proxies listen on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
        ["seed", None, "0", "For whatever is drawn by chance"],
        ["folder", None, "capacity", "Where each run's data.csv, losses.csv and run.json are written"],
        ["json", None, "capacity.json", "Where the steps are written as JSON"],
        ["markdown", None, None, "Where the table of all mechanisms is written as Markdown"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["all", None, "Every mechanism of every installed plugin"],
        ["despite-losses", None, "Whatever it loses: only what is refused or late counts"],
        ["tls", None, "Let the fronts speak TLS, by an authority made for each run"],
    ]
    compData = usage.Completions(
        optActions={"change": Words(CHANGES), "json": Files("*.json"), "markdown": Files("*.md"), "folder": Folders()},
        extraActions=[Mechanisms(repeat=True)],
    )

    def parseArgs(self, *names: str) -> None:
        """Take the mechanisms; raises `UsageError`."""
        self["names"] = names
        if bool(names) == bool(self["all"]):
            msg = "name the mechanisms to measure, or say --all (--help says more)"
            raise usage.UsageError(msg)


@attrs.frozen
class Asked:
    """What is searched, and by which rule."""

    search: Search
    rule: Rule
    within_s: float
    least_s: float
    steps: int
    action: str
    backends: int
    grow_to: int  #: 0: not at all

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Asked":
        """Return what the options ask for; raises `UsageError`."""
        first = PACE_PER_S.parse("--from", options["from"])
        top, floor = PACE_PER_S.parse("--top", options["top"]), PACE_PER_S.parse("--floor", options["floor"])
        if not floor <= first <= top:
            msg = f"--from {first:g} must be from --floor {floor:g} to --top {top:g}"
            raise UsageError(msg)
        if options["change"] not in CHANGES:
            msg = f"--change takes {', '.join(CHANGES)}, not {options['change']!r}"
            raise UsageError(msg)
        steps = STEPS.parse("--steps", options["steps"])
        grows = options["grow"] is not None
        error = ERROR / (QUESTIONS * steps * (2 if grows else 1))
        backends = ROLLING.parse("--backends", options["backends"])
        grow_to = ROLLING.parse("--grow", options["grow"]) if grows else 0
        if grows and grow_to <= backends:
            msg = f"--grow {grow_to} must be more than --backends {backends}"
            raise UsageError(msg)
        return cls(
            Search(first, floor, top, PRECISION.parse("--precision", options["precision"])),
            Rule(SHARE.parse("--share", options["share"]), error, bool(options["despite-losses"])),
            WITHIN_S.parse("--within", options["within"]),
            LEAST_S.parse("--least", options["least"]),
            steps,
            options["change"],
            backends,
            grow_to,
        )


def measure_capacity(words: list[str]) -> int:
    """Measure each, and print the tables."""
    options = CapacityOptions()
    options.parseOptions(words)
    asked = Asked.of(options)
    settings = _settings(options, asked)
    found: Sequence[Contender | str] = list(everyone(say)) if options["all"] else contenders(options["names"])
    folder = Path(options["folder"])
    written = {f"--{name}": Path(options[name]) for name in ("json", "markdown") if options[name] is not None}
    require_apart(written, _read(options, found))
    with ExitStack() as stack:
        outputs = stack.enter_context(claimed(list(written.values())))
        try:
            stack.callback(os.close, claim_folder(folder))
        except OSError as error:
            raise UsageError(cannot(folder, error)) from error
        require_ports(settings)  # of all backends that there will ever be
        require_descriptors(descriptors(settings))
        what = _what(settings, asked)
        outputs.write(_texts(options, [], what, asked))  # that they can be written is better known before
        outputs.require()
        capacities = _measured_all(with_versions(found), settings, asked, folder)
        outputs.write(_texts(options, capacities, what, asked))
        return _print(what, capacities, outputs)


def _texts(options: CapacityOptions, found: Sequence[Capacity], what: str, asked: Asked) -> dict[Path, str]:
    """Return what is written where."""
    texts = {Path(options["json"]): as_json(found, _measured(what, asked))}
    if options["markdown"] is not None:
        texts[Path(options["markdown"])] = markdown(found, [what])
    return texts


def _settings(options: CapacityOptions, asked: Asked) -> Settings:
    """Return the settings of each run but for the proxy, the pace and its files; raises `UsageError`."""
    most = max(asked.backends, asked.grow_to)
    scenario = at_pace(asked.action, asked.search.first, 2, asked.backends, (0.0, 0.0))
    settings = attrs.evolve(settings_with(options, most, scenario), looks_before_changes=False)
    if options["traffic"] is not None:
        return settings
    fresh = Group(kind_named("fresh"), _FRESH_CLIENTS, rate_per_s=_FRESH_PER_S)
    return attrs.evolve(settings, load=attrs.evolve(settings.load, groups=(fresh,)))


def _read(options: CapacityOptions, found: Sequence[Contender | str]) -> dict[str, Path]:
    """Return the files that are read, by what they are for."""
    programs = {f"the program of {each.name}": each.binary for each in found if isinstance(each, Contender)}
    read = {use: Path(shutil.which(program) or program) for use, program in programs.items() if program}
    files = {name: with_file(name)[1] for name in options["names"]}
    return read | {f"the configuration of {name}": file for name, file in files.items() if file is not None}


def _measured_all(found: Sequence[Contender | str], settings: Settings, asked: Asked, folder: Path) -> list[Capacity]:
    """Let the reactor run until all are measured, or a signal ends it."""
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    runs = Runs(reactor, monotonic_ns)
    capacities = [_begun(each, asked) for each in found]
    doing: list[Measurement] = []

    def tell(name: str, step: Step) -> None:
        progress.tell(f"{name}: {told(step)}")

    async def measure() -> None:
        for each, capacity in zip(found, capacities, strict=True):
            if isinstance(each, Contender) and not capacity.why:
                pacer = _pacer(runs, each, settings, asked, folder)
                measurement = Measurement(
                    pacer, capacity, asked.backends, asked.steps, asked.grow_to, asked.search.precision
                )
                measurement.tell = partial(tell, each.name)
                doing.append(measurement)
                try:
                    await measurement.execute()
                except Stopped:
                    return

    def shown() -> str:
        return f"{doing[-1].capacity.name}: {cast(Pacer, doing[-1].pacer).doing}" if doing else ""

    progress = ProgressBar(lambda: _share(capacities, asked), shown)
    run_to_end(reactor, measure, runs.interrupt, progress, "the measurement")
    return [each if each.why or each.steps else attrs.evolve(each, why=ENDED) for each in capacities]


def _begun(each: Contender | str, asked: Asked) -> Capacity:
    """Return what is known of a mechanism beforehand."""
    if isinstance(each, str):
        return Capacity(each.partition(" of ")[0], asked.search, why=each)
    return Capacity(each.name, asked.search)


def _pacer(runs: Runs, contender: Contender, settings: Settings, asked: Asked, folder: Path) -> Pacer:
    return Pacer(
        runs,
        contender.name,
        Cell.of(contender, UNCHANGED, settings).settings,
        asked.action,
        asked.rule,
        asked.within_s,
        asked.least_s,
        folder,
        contender.versioned,
    )


def _share(capacities: Sequence[Capacity], asked: Asked) -> float:
    """Return how much is done, from 0 to 1, as if each took all its steps."""
    done = sum(1.0 if each.known or each.why else len(each.steps) / asked.steps for each in capacities)
    return done / len(capacities) if capacities else 1.0


def _print(what: str, capacities: Sequence[Capacity], outputs: Outputs) -> int:
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    console.print(Text(line_of(what)), soft_wrap=True)
    print_capacities(console, capacities)
    for line in (*_sentences(capacities), *outputs.unwritten):
        print(line_of(line))  # noqa: T201
    known = all(each.known or each.cannot for each in capacities)
    return ExitStatus.LOSSLESS if known and not outputs.unwritten else ExitStatus.INVALID


def _sentences(capacities: Sequence[Capacity]) -> Iterator[str]:
    """Yield what each came to."""
    for each in capacities:
        beyond = each.beyond
        if each.known and each.kept is not None:
            yield f"{each.name}: {kept_words(each)} changes/s"
        elif each.known and beyond is not None:
            yield f"{each.name}: keeps no pace: {outcome(beyond)} at {beyond.rate_per_s:g} changes/s"


def _what(settings: Settings, asked: Asked) -> str:
    """Say what was measured, on what and when."""
    rate = "closed loop" if settings.load.rate_per_s is None else f"get {settings.load.rate_per_s:g} requests/s"
    losses = ", whatever is lost" if asked.rule.despite_losses else ""
    return (
        f"proxyreload {proxyreload.__version__}, {datetime.now(UTC).date()}: {asked.action} changed at a pace, "
        f"each to be in effect within {asked.within_s:g} s{losses}; {counted(asked.backends, 'backend')}, "
        f"{settings.spoken}; {rate}; {counted(os.cpu_count() or 0, 'core')}, {platform.system()}"
    )


def _measured(what: str, asked: Asked) -> dict[str, object]:
    return {
        "what": what,
        "change": asked.action,
        "backends": asked.backends,
        "share": asked.rule.share,
        "within_s": asked.within_s,
        "precision": asked.search.precision,
        "despite_losses": asked.rule.despite_losses,
    }

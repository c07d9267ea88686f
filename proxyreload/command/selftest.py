"""``proxyreload selftest``: is the instrument to be believed?"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from proxyreload.cli.base import Options
from proxyreload.cli.signals import on_signals, raise_on_signals
from proxyreload.errors import ExitStatus, StartError
from proxyreload.plan.scenario import Scenario, Step
from proxyreload.plan.settings import BackendSettings, FileSettings, LoadSettings, Settings, Target
from proxyreload.proxy.registry import choose
from proxyreload.proxy.watchdog import leave_at_once
from proxyreload.run.run import Run
from proxyreload.run.selftest import SelfTest, execute
from proxyreload.system import bounds
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.defect import in_a_line
from proxyreload.system.reactor import IReactor, wait_for_no_thread
from proxyreload.system.standard import say
from proxyreload.system.unhandled import begin_log

#: Short, for every time-out that is injected is waited for.
TIMEOUT_S = 1.5


_ANNOUNCEMENT = "injecting every kind of fault, one at a time; this takes about half a minute"


class SelfTestOptions(Options):
    """proxyreload selftest."""

    synopsis = "proxyreload selftest [options]"
    longdesc = (
        "Lets a small proxy of our own do to the clients what broken proxies do, a known number of times for each kind "
        "of fault, and compares that with what the instrument found. Exit status: 0 if it found every one and no "
        "other, 3 if not."
    )
    examples = ("proxyreload selftest --exchanges 20000",)
    optParameters = [  # noqa: RUF012
        ["exchanges", None, "100000", "How many exchanges there are at least"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["front-port", None, "8080", "The port that the proxy listens on"],
        ["seed", None, "0", "Which faults, how many and when"],
    ]
    optFlags = [  # noqa: RUF012
        ["backend-processes", None, "Run each backend in a process of its own"],
    ]


def run_selftest(words: list[str]) -> int:
    """Run it and print the table."""
    options = SelfTestOptions()
    options.parseOptions(words)
    exchanges = bounds.EXCHANGES.parse("--exchanges", options["exchanges"])
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    outcome: list[SelfTest | Failure] = []
    testing: list[Deferred[None]] = []
    with tempfile.TemporaryDirectory(prefix="proxyreload-selftest-") as folder:
        run = Run(_settings(options, Path(folder)), reactor, monotonic_ns)

        def over(result: SelfTest | Failure) -> None:
            outcome.append(result)
            with suppress(ReactorNotRunning):  # it was stopped from outside
                reactor.stop()

        def start() -> None:
            testing.append(Deferred.fromCoroutine(execute(run, exchanges)).addBoth(over))

        def end() -> Deferred[None] | None:
            """Give back what was started, whoever stops the reactor."""
            run.interrupt()
            return testing[0] if testing else None

        def give_up() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            leave_at_once()

        print(_ANNOUNCEMENT, flush=True)  # noqa: T201
        begin_log(lambda error: say(in_a_line(error)))
        on_signals(reactor, run.interrupt, give_up)
        reactor.callWhenRunning(start)
        reactor.addSystemEventTrigger("before", "shutdown", end)
        wait_for_no_thread(reactor)
        reactor.run()
        raise_on_signals()
    if not outcome:
        msg = "the test was stopped from outside"
        raise StartError(msg)
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    _print(result)
    return ExitStatus.LOSSLESS if result.exact else ExitStatus.INVALID


def _settings(options: Options, folder: Path) -> Settings:
    steps = (Step("add", instance=2, at_s=1.0), Step("remove", instance=0, at_s=2.0))
    return Settings(
        target=Target.front(bounds.PORT.parse("--front-port", options["front-port"])),
        scenario=Scenario("selftest", float("inf"), (0, 1), steps),
        choice=choose("control:faults"),
        load=LoadSettings(
            clients=bounds.WholeBound(1, 1000).parse("--clients", options["clients"]),
            timeout_s=TIMEOUT_S,
            # A client that connects all the time could meet an outage that was meant for another.
            probe_rate_per_s=0,
            seed=bounds.SEED.parse("--seed", options["seed"]),
        ),
        backends=BackendSettings(
            number=3,
            first_port=bounds.WholeBound(1, 65533).parse("--first-port", options["first-port"]),
            processes=bool(options["backend-processes"]),
        ),
        files=FileSettings(folder / "data.csv", folder / "run.json"),
    )


def _print(test: SelfTest) -> None:
    print(f"{'':<30} {'injected':>9} {'found':>9}")  # noqa: T201
    for finding in test.findings:
        mark = "" if finding.injected == finding.found else "   DIFFERENT"
        print(f"{finding.name:<30} {finding.injected:>9} {finding.found:>9}{mark}")  # noqa: T201
    if not test.complete:
        print("not complete: ended before every fault was injected")  # noqa: T201
    word = "exact" if test.exact else "NOT exact"
    print(f"{word}, over {test.exchanges} exchanges")  # noqa: T201

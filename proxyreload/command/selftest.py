"""``proxyreload selftest``: is the instrument to be believed?"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import attrs

from proxyreload.cli.base import Options
from proxyreload.command.toend import until_over
from proxyreload.errors import ExitStatus
from proxyreload.history.actions import ROTATE
from proxyreload.ledger.fate import Fate
from proxyreload.plan.scenario import Scenario, Step
from proxyreload.plan.settings import BackendSettings, FileSettings, LoadSettings, Settings, Target, TlsSettings
from proxyreload.plan.traffic import Group
from proxyreload.proxy.interfaces import Sender
from proxyreload.proxy.registry import Choice, choose
from proxyreload.proxy.watchdog import leave_at_once
from proxyreload.run.run import Run
from proxyreload.run.selftest import Course, Finding, SelfTest
from proxyreload.system import bounds
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.registry import kind_named, values_of

#: Short, for every time-out that is injected is waited for; longer than a busy machine lets this process stand still.
TIMEOUT_S = 2.5
#: What is sent beside `get`, whatever a run's default is: kind, clients, settings, and the distance in seconds. Short
#: exchanges, for many are harmed.
_TRAFFIC: tuple[tuple[str, int, Mapping[str, object], float], ...] = (
    ("aimed", 12, {"gap": [0.3, 0.6]}, 0.0),
    ("download", 3, {"size": 100_000, "rate": 500_000}, 0.0),
    ("fresh", 1, {}, 0.0),
    ("grpc", 4, {"streams": 4, "every": 0.02, "length": 0.32}, 0.0),
    ("h2", 4, {"streams": 4, "gap": [0.02, 0.1]}, 0.0),
    ("idle", 8, {"gap": [0.05, 0.2]}, 0.0),
    # Requests that meet the FIN on their way: they are lost.
    ("idle", 2, {"gap": [0.002, 0.018]}, 0.02),
    ("post", 3, {"gap": [0.01, 0.03]}, 0.0),
    ("slow", 4, {"delay": 0.1}, 0.0),
    ("stream", 6, {"every": 0.02, "length": 0.3}, 0.0),
    ("upload", 6, {"every": 0.02, "length": 0.3}, 0.0),
    # As long as they may have to wait for an outage that is meant for another.
    ("websocket", 8, {"every": 0.1, "length": 1.5}, 0.0),
)
#: Over TLS: who connects anew, and who stays.
_OVER_TLS: tuple[tuple[str, int, Mapping[str, object], float], ...] = (("fresh", 1, {}, 0.0), ("h2", 1, {}, 0.0))
#: When another certificate is put in place, and how often the probe looks: it is to take no longer than it must.
_ROTATED_AT_S, _LOOKS_PER_S = 0.3, 25.0

_ANNOUNCEMENT = "injecting every kind of fault into every kind of traffic; this takes about half a minute"


class SelfTestOptions(Options):
    """proxyreload selftest."""

    synopsis = "proxyreload selftest [options]"
    longdesc = (
        "Lets a small proxy of our own do to the clients what broken proxies do: to each kind of traffic whatever can "
        "befall it (an event swallowed, repeated, out of order; a body cut, or changed in its last byte, on either "
        "way; a connection closed at rest; a WebSocket cut, or closed with a message unanswered; a request repeated, "
        "or made up), a known number of times. Compares that "
        "with what the instrument found, by kind and failure, and what became of every request with its ledger of "
        "fates. Then two of its proxies speak TLS: one takes another certificate, one says so and never shows it. "
        "Exit status: 0 if it found every one and no other, 3 if not."
    )
    examples = ("proxyreload selftest --exchanges 20000",)
    optParameters = [  # noqa: RUF012
        ["exchanges", None, "100000", "How many exchanges there are at least"],
        ["clients", None, "10", "Clients of get; those of the other kinds come besides"],
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
    with tempfile.TemporaryDirectory(prefix="proxyreload-selftest-") as folder:
        root = Path(folder)
        made = (_settings(options, root), _secured("runtime", options, root), _secured("stays", options, root))
        faults, shows, stays = (Run(settings, reactor, monotonic_ns) for settings in made)
        course = Course(faults, shows, stays, exchanges)

        def give_up() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            leave_at_once()

        print(_ANNOUNCEMENT, flush=True)  # noqa: T201
        result = until_over(reactor, course.execute, course.interrupt, "the test", give_up)
    _print(result)
    return ExitStatus.LOSSLESS if result.exact else ExitStatus.INVALID


def traffic() -> tuple[Group, ...]:
    """Return who sends what beside the clients of `get`."""
    return _groups(_TRAFFIC)


def _groups(told: Iterable[tuple[str, int, Mapping[str, object], float]]) -> tuple[Group, ...]:
    return tuple(
        Group(kind := kind_named(name), clients, values_of(kind, given.items()), rtt_s=rtt_s)
        for name, clients, given, rtt_s in told
    )


def senders(groups: Iterable[Group]) -> dict[int, Sender]:
    """Return each client by its number."""
    told = (Sender(group.kind.name, far=bool(group.rtt_s)) for group in groups for _client in range(group.clients))
    return dict(enumerate(told))


def _knowing(choice: Choice, known: Mapping[int, Sender]) -> Choice:
    """Return a choice whose proxy knows its clients."""
    proxy: Any = choice.mechanism.proxy
    return attrs.evolve(choice, mechanism=attrs.evolve(choice.mechanism, proxy=partial(proxy, senders=known)))


def _settings(options: Options, folder: Path) -> Settings:
    load = LoadSettings(
        clients=bounds.WholeBound(1, 1000).parse("--clients", options["clients"]),
        groups=traffic(),
        timeout_s=TIMEOUT_S,
        # A client that connects all the time could meet an outage that was meant for another.
        probe_rate_per_s=0,
        seed=bounds.SEED.parse("--seed", options["seed"]),
    )
    steps = (Step("add", instance=2, at_s=1.0), Step("remove", instance=0, at_s=2.0))
    return Settings(
        target=Target.front(bounds.PORT.parse("--front-port", options["front-port"])),
        scenario=Scenario("selftest", float("inf"), (0, 1), steps),
        choice=_knowing(choose("control:faults"), senders(load.everyone)),
        load=load,
        backends=BackendSettings(
            number=3,
            first_port=bounds.WholeBound(1, 65533).parse("--first-port", options["first-port"]),
            processes=bool(options["backend-processes"]),
        ),
        files=_files(folder),
    )


def _secured(mechanism: str, options: Options, folder: Path) -> Settings:
    """Return what is asked of an honest proxy over TLS, which has a folder of its own."""
    plain, own = _settings(options, folder), folder / mechanism
    own.mkdir()
    load = LoadSettings(clients=1, groups=_groups(_OVER_TLS), probe_rate_per_s=_LOOKS_PER_S, seed=plain.load.seed)
    return attrs.evolve(
        plain,
        target=Target.front(plain.target.port, tls=True),
        scenario=Scenario("selftest over TLS", float("inf"), (0, 1), (Step(ROTATE, at_s=_ROTATED_AT_S),)),
        choice=choose(f"control:{mechanism}"),
        load=load,
        tls=TlsSettings(front=True),
        files=_files(own),
    )


def _files(folder: Path) -> FileSettings:
    return FileSettings(folder / "data.csv", folder / "run.json", losses=folder / "losses.csv")


def _print(test: SelfTest) -> None:
    names = sorted({finding.name for finding in test.findings})
    _table("failure, or end", {name: [each for each in test.findings if each.name == name] for name in names})
    kinds = {
        f"{kind:<10} {exchanges:>9}": [each for each in test.findings if each.kind == kind]
        for kind, exchanges in sorted(test.by_kind.items())
    }
    print()  # noqa: T201
    _table(f"{'kind':<10} {'exchanges':>9}", kinds)
    print()  # noqa: T201
    told = {fate.value: [each for each in test.fates if each.name == fate.value] for fate in Fate}
    _table("fate", {name: findings for name, findings in told.items() if findings})
    if test.over_tls:
        print()  # noqa: T201
        rotated = sorted({finding.name for finding in test.over_tls})
        _table("over TLS", {name: [each for each in test.over_tls if each.name == name] for name in rotated})
    for each in test.all_findings:
        if not each.right:
            print(f"{each.kind}, {each.name}: {each.injected} injected, {each.found} found")  # noqa: T201
    if not test.complete:
        print("not complete: ended before every fault was injected")  # noqa: T201
    word = "exact" if test.exact else "NOT exact"
    print(f"{word}, over {test.exchanges} exchanges")  # noqa: T201


def _table(heading: str, rows: Mapping[str, Sequence[Finding]]) -> None:
    print(f"{heading:<30} {'injected':>9} {'found':>9}")  # noqa: T201
    for name, findings in rows.items():
        injected, found = (sum(getattr(each, side) for each in findings) for side in ("injected", "found"))
        mark = "" if all(each.right for each in findings) else "   DIFFERENT"
        print(f"{name:<30} {injected:>9} {found:>9}{mark}")  # noqa: T201

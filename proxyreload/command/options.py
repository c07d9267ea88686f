"""The options of a run, for the command line and for twistd alike."""

from pathlib import Path
from typing import Any

from twisted.python import usage

import proxyreload
from proxyreload import errors
from proxyreload.command.base import Options
from proxyreload.command.numbers import positive, whole
from proxyreload.proxy.finding import choose
from proxyreload.scenario import Scenario, default, read, watching
from proxyreload.settings import Settings, Target

LOGS = ("all", "changes", "none")


class RunOptions(Options):
    """proxyreload --plugin NAME[:MECHANISM], or proxyreload URL."""

    synopsis = """[options] --plugin NAME[:MECHANISM] | URL
       proxyreload plugins
       proxyreload backend ID PORT"""
    longdesc = (
        "Changes a reverse proxy's backends under load and shows what that did to every request. With --plugin it "
        "starts the proxy itself; with a URL it watches a proxy that somebody else runs and changes. Exit status: 0 "
        "lossless, 1 something was lost, 2 wrong usage, 3 the run is not valid."
    )

    optParameters = [  # noqa: RUF012
        ["plugin", "p", None, "The proxy to start, with one of its mechanisms or the recommended one"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["rate", None, None, "Requests/s over all clients, due whatever becomes of them; without it: closed loop"],
        ["duration", None, None, "Seconds of traffic, in place of the scenario's"],
        ["backends", None, "4", "How many numbered backends there are"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["backend-host", None, "127.0.0.1", "The address that the backends listen on"],
        ["front-port", None, "8080", "The port that the proxy listens on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
        ["scenario", None, None, "A scenario file (TOML), in place of: add 2, remove 0"],
        ["csv", None, "data.csv", "Where every exchange is written"],
        ["run", None, "run.json", "Where the run and its verdict are written"],
        ["log", None, "all", "What the terminal shows of the exchanges: all, changes or none"],
        ["binary", None, None, "The proxy's program"],
        ["ca", None, None, "Certificates (PEM) to trust, for an https URL, in place of the system's"],
        ["seed", None, "0", "For whatever is drawn by chance"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["no-backends", None, "Host no backends: somebody else does"],
        ["backend-processes", None, "Run each backend in a process of its own"],
        ["insecure", None, "Trust any certificate, for an https URL"],
    ]
    compData = usage.Completions(
        optActions={
            "scenario": usage.CompleteFiles("*.toml"),
            "csv": usage.CompleteFiles("*.csv"),
            "run": usage.CompleteFiles("*.json"),
            "binary": usage.CompleteFiles(),
            "log": usage.CompleteList(list(LOGS)),
        }
    )

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"proxyreload {proxyreload.__version__}")  # noqa: T201
        raise SystemExit(0)

    def parseArgs(self, *urls: str) -> None:
        """Take the URL."""
        if len(urls) > 1:
            msg = f"one URL at most, not {' '.join(urls)}"
            raise usage.UsageError(msg)
        self["url"] = urls[0] if urls else None

    def postOptions(self) -> None:
        """Make the settings of it all."""
        try:
            self.settings = _settings(self)
        except errors.UsageError as error:
            raise usage.UsageError(str(error)) from error


def _settings(options: dict[str, Any]) -> Settings:
    plugin, url = options["plugin"], options["url"]
    if (plugin is None) == (url is None):
        msg = "give either --plugin NAME or the URL of a proxy (--help says more)"
        raise errors.UsageError(msg)
    if options["log"] not in LOGS:
        msg = f"--log takes {', '.join(LOGS)}, not {options['log']!r}"
        raise errors.UsageError(msg)
    duration_s = None if options["duration"] is None else positive("--duration", options["duration"])
    choice = None if plugin is None else choose(plugin)
    backends = whole("--backends", options["backends"], 1, 1000)
    first_port = whole("--first-port", options["first-port"], 1, 65536 - backends)
    front_port = whole("--front-port", options["front-port"], 1, 65535)
    if choice is not None and first_port <= front_port < first_port + backends:
        msg = f"--front-port {front_port} is one of the backends' ports, {first_port} to {first_port + backends - 1}"
        raise errors.UsageError(msg)
    return Settings(
        target=Target.front(front_port) if url is None else Target.parse(url),
        scenario=_scenario(options, duration_s, backends),
        choice=choice,
        clients=whole("--clients", options["clients"], 1, 10_000),
        rate_per_s=None if options["rate"] is None else positive("--rate", options["rate"]),
        backends=backends,
        host_backends=not options["no-backends"],
        backend_host=options["backend-host"],
        first_port=first_port,
        timeout_s=positive("--timeout", options["timeout"]),
        csv=Path(options["csv"]),
        run=Path(options["run"]),
        log=options["log"],
        binary=options["binary"],
        ca=None if options["ca"] is None else Path(options["ca"]),
        insecure=bool(options["insecure"]),
        backend_processes=bool(options["backend-processes"]),
        seed=whole("--seed", options["seed"], 0, 2**63 - 1),
    )


def _scenario(options: dict[str, Any], duration_s: float | None, backends: int) -> Scenario:
    if options["plugin"] is None:
        if options["scenario"] is not None:
            msg = "--scenario needs --plugin: whoever runs the proxy makes the changes"
            raise errors.UsageError(msg)
        return watching(duration_s, backends)
    scenario = default(duration_s) if options["scenario"] is None else read(Path(options["scenario"]), duration_s)
    missing = sorted(instance for instance in scenario.instances if instance >= backends)
    if missing:
        msg = f"the scenario names backend {missing[0]}, but --backends {backends} are 0 to {backends - 1}"
        raise errors.UsageError(msg)
    return scenario

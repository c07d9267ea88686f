"""The options of a run, for the command line and for twistd alike."""

import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import attrs
from twisted.python import usage

from proxyreload import errors
from proxyreload.cli.completers import Files, Folders, Mechanisms, Words
from proxyreload.command.jobs import JobOptions, require_judged
from proxyreload.command.scenarios import (
    CHANGES,
    NEVER,
    clients_asked,
    files_read,
    killed_after_s,
    leaves_after_s,
    named,
    ports,
    repetition,
    require_shown,
)
from proxyreload.otel.endpoint import ENVIRONMENT, collector_of
from proxyreload.plan.scenario import OF_BACKENDS, OF_THE_PROXY, Scenario, watching
from proxyreload.plan.settings import (
    WAIT_OLD_S,
    BackendSettings,
    FileSettings,
    LoadSettings,
    Settings,
    Target,
    TlsSettings,
)
from proxyreload.plan.traffic import Group
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.named import Named
from proxyreload.proxy.registry import Choice
from proxyreload.system import bounds
from proxyreload.system.samefile import require_apart
from proxyreload.system.untrusted import without_secrets
from proxyreload.web.place import WebSettings

LOGS = ("all", "changes", "none")
#: Options that name files which are read.
READ = ("scenario", "ca", "binary", "upgrade-to", "config")


class _Collectors(Words):
    """The one word that there is; else it is a URL."""

    def __init__(self) -> None:
        super().__init__((ENVIRONMENT,))
        self.value = f"URL|{ENVIRONMENT}"


class RunOptions(JobOptions):
    """proxyreload --plugin NAME[:MECHANISM][@VERSION|@PATH], or proxyreload URL."""

    synopsis = "[options] --plugin NAME[:MECHANISM][@VERSION|@PATH] | URL"
    longdesc = (
        "Changes a reverse proxy's backends under load and shows what that did to every request. With --plugin it "
        "starts the proxy itself; with a URL it watches a proxy that somebody else runs and changes. Exit status: 0 "
        "lossless, 1 something was lost, 2 wrong usage, 3 the run is not valid."
    )

    examples = (
        "proxyreload --plugin nginx --repeat 10 --rate 2000",
        "proxyreload http://localhost:8080/ --no-backends --duration 60",
    )
    optParameters = [  # noqa: RUF012
        ["plugin", "p", None, "The proxy to start, with one of its mechanisms or the recommended one, in any version"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["traffic", None, None, "KIND=CLIENTS, a comma between two; without it with --plugin: all, a few of each"],
        ["rtt", None, None, "How far away the clients of --traffic are: ms there and back"],
        ["rate", None, None, "Requests/s over all clients, due whatever becomes of them; without it: closed loop"],
        ["duration", None, None, "Seconds of traffic, in place of the scenario's"],
        ["backends", None, "4", "How many numbered backends there are"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["backend-host", None, "127.0.0.1", "The address that the backends listen on"],
        ["front-port", None, "8080", "The port that the proxy listens on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
        ["scenario", None, None, "A scenario file (TOML), in place of: add 2, remove 0"],
        ["csv", None, "data.csv", "Where every exchange is written"],
        ["losses", None, None, "Where every loss is written, with its fate and its cause; without it: beside --csv"],
        ["run", None, "run.json", "Where the run and its verdict are written"],
        ["report", None, "report.html", "Where the run is shown, in one HTML page"],
        ["junit", None, None, "Where the verdicts are written as JUnit XML, for CI"],
        ["otel", None, None, "Where the run is sent as a trace (OTLP over HTTP): a collector's URL, or environment"],
        ["log", None, "all", "What the terminal shows of the exchanges: all, changes or none"],
        ["repeat", None, None, "Roll through the backends so many times: add one, remove one; in place of a scenario"],
        ["change", None, "backends", "What --repeat repeats: backends, reload, upgrade, rotate or edit"],
        ["pace", None, "0.5", "Seconds with --repeat between a change that is done and the next"],
        ["stop-removed", None, "1", "Let a removed backend leave so many seconds after its removal, or never"],
        ["kill-removed", None, None, "Kill a removed backend so many seconds after its removal was applied"],
        ["wait-old", None, None, "Go on so many seconds for old processes of the proxy; 15, with --duration 0"],
        ["binary", None, None, "The proxy's program, or its version"],
        ["config", None, None, "A configuration of yours, or a folder of it, for the proxy to run from"],
        ["upgrade-to", None, None, "The program or version that an upgrade replaces it by, if not the same one"],
        ["add-command", None, None, "For --plugin external: what adds a backend"],
        ["remove-command", None, None, "For --plugin external: what removes one"],
        ["reload-command", None, None, "For --plugin external: what reloads"],
        ["upgrade-command", None, None, "For --plugin external: what upgrades"],
        ["rotate-command", None, None, "For --plugin external: what puts another certificate in place"],
        ["edit-command", None, None, "For --plugin external: what edits something that no traffic needs"],
        ["ca", None, None, "Certificates (PEM) to trust, for an https URL, in place of the system's"],
        ["seed", None, "0", "For whatever is drawn by chance"],
        ["web", None, None, "Serve the live page at this port or server endpoint, on the loopback unless it says else"],
        ["web-names", None, None, "Names, a comma between two, that the page may be asked for by besides its address"],
        ["token", None, None, "What the page asks for: to change, beyond the loopback to read too; made up there"],
        ["token-file", None, None, "A file that has the token, for a command line can be read by others"],
        ["runs", None, "runs", "With --web, where each run gets a folder with its files"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["no-report", None, "Write no HTML page"],
        ["no-backends", None, "Host no backends: somebody else does"],
        ["backend-processes", None, "Run each backend in a process of its own"],
        ["tls", None, "Let the front speak TLS, by an authority made for the run"],
        ["insecure", None, "Trust any certificate, for an https URL"],
        ["h2c", None, "Speak HTTP/2 without TLS where an http URL is asked over HTTP/2"],
    ]
    compData = usage.Completions(
        optActions={
            "scenario": Files("*.toml"),
            "csv": Files("*.csv"),
            "losses": Files("*.csv"),
            "run": Files("*.json"),
            "runs": Folders(),
            "token-file": Files(),
            "junit": Files("*.xml"),
            "report": Files("*.html"),
            "plugin": Mechanisms(),
            "ca": Files("*.pem"),
            "binary": Files(),
            "upgrade-to": Files(),
            "config": Files(),
            "change": Words(CHANGES),
            "log": Words(LOGS),
            "otel": _Collectors(),
        }
    )

    def parseArgs(self, *urls: str) -> None:
        """Take the URL; raises `UsageError`."""
        if len(urls) > 1:
            msg = f"one URL at most, not {' '.join(without_secrets(url, strict=False) for url in urls)}"
            raise usage.UsageError(msg)
        self["url"] = urls[0] if urls else None

    def postOptions(self) -> None:
        """Make the settings of it all; raises `UsageError`."""
        try:
            self.web = WebSettings.of(self)
            settings = attrs.evolve(
                _settings(self, self.asked), command=self.words, fail_on=self.fail_on, annotations=self.annotates
            )
            require_judged(settings, by_hand=self.web is not None)
            if self.web is None:  # each of the page's runs gets a folder of its own
                require_apart(_written(settings.files), files_read(self, READ))
            self.settings = with_versions(settings)
        except errors.UsageError as error:
            raise usage.UsageError(str(error)) from error
        except errors.FetchError as error:
            if self.parent is None:
                raise
            raise usage.UsageError(str(error)) from error  # twistd knows no other error


def with_versions(settings: Settings) -> Settings:
    """Return settings that have the programs of the versions that were asked for, fetched if they are not there.

    Raises `FetchError`. That takes a while: it is done when nothing else is wrong, and before a reactor runs.
    """
    program = settings.choice.plugin.binary if settings.choice is not None else None
    if program is None:
        return settings
    asked = (settings.binary, settings.upgrade_to)
    binary, upgrade_to = (str(program.find(each)) if program.is_version(each) else each for each in asked)
    return attrs.evolve(settings, binary=binary, upgrade_to=upgrade_to)


def _written(files: FileSettings) -> dict[str, Path]:
    """Return the files that a run writes, by their options."""
    paths = {
        "--csv": files.csv,
        "--losses": files.losses,
        "--run": files.run,
        "--junit": files.junit,
        "--report": files.report,
        "--summary": files.summary,
    }
    return {option: path for option, path in paths.items() if path is not None}


def _losses(options: dict[str, Any]) -> Path:
    """Return where losses are written: beside the rows, by a name of their own where these have one.

    So that whoever has named the files of two runs in one folder before there were losses has named these too. Beside
    a device there is no place.
    """
    csv, files = Path(options["csv"]), FileSettings()
    if options["losses"] is not None:
        return Path(options["losses"])
    if csv == files.csv or not csv.name:
        return files.losses
    if os.path.exists(csv) and not os.path.isfile(csv):  # noqa: PTH110, PTH113  (which raise nothing, whatever it is)
        return Path(os.devnull)
    return csv.with_name(f"{csv.stem}-{files.losses.name}")


def _settings(options: dict[str, Any], asked: Container[str]) -> Settings:
    plugin, url = options["plugin"], options["url"]
    if options["log"] not in LOGS:
        msg = f"--log takes {', '.join(LOGS)}, not {options['log']!r}"
        raise errors.UsageError(msg)
    duration_s = None if options["duration"] is None else bounds.DURATION_S.parse("--duration", options["duration"])
    named_one = None if plugin is None else Named.of(plugin)
    choice = None if named_one is None else named_one.choice
    ours = choice is not None and choice.plugin.binary is not None
    if (url is None and choice is None) or (url is not None and ours):
        msg = "give either --plugin NAME or the URL of a proxy (--help says more)"
        raise errors.UsageError(msg)
    if named_one is not None and named_one.program is not None:
        if options["binary"] is not None:
            msg = f"{plugin} says which program: --binary does not go with it"
            raise errors.UsageError(msg)
        options["binary"] = named_one.program
    for option in ("binary", "upgrade-to"):
        if options[option] is not None and not ours:
            msg = f"--{option} is for a proxy that is started here: somebody else runs this one"
            raise errors.UsageError(msg)
    if options["no-backends"] and options["kill-removed"] is not None:
        msg = "--kill-removed kills backends that are hosted here: it does not go with --no-backends"
        raise errors.UsageError(msg)
    if options["no-backends"] and "stop-removed" in asked and options["stop-removed"] != NEVER:
        msg = "--stop-removed lets backends leave that are hosted here: it does not go with --no-backends"
        raise errors.UsageError(msg)
    backends = bounds.BACKENDS.parse("--backends", options["backends"])
    first_port, front_port = ports(options, backends, front=url is None)
    scenario = _scenario(options, duration_s, backends)
    target = Target.front(front_port, tls=bool(options["tls"])) if url is None else Target.parse(url)
    _require_tls(options, scenario, target, ours=ours)
    hosted = not options["no-backends"]
    clients, groups = clients_asked(options, scenario, _rtt_s(options), ours=choice is not None, hosted=hosted)
    _require_h2c(options, groups, target, ours=ours)
    return Settings(
        target=target,
        scenario=scenario,
        choice=choice,
        load=LoadSettings(
            clients=clients,
            rate_per_s=None if options["rate"] is None else bounds.RATE_PER_S.parse("--rate", options["rate"]),
            timeout_s=bounds.TIMEOUT_S.parse("--timeout", options["timeout"]),
            seed=bounds.SEED.parse("--seed", options["seed"]),
            groups=groups,
        ),
        backends=BackendSettings(
            number=backends,
            hosted=hosted,
            host=options["backend-host"],
            first_port=first_port,
            processes=bool(options["backend-processes"]),
            stop_removed_s=leaves_after_s(options) if choice is not None and hosted else None,
            kill_removed_s=killed_after_s(options),
        ),
        tls=TlsSettings(
            ca=None if options["ca"] is None else Path(options["ca"]),
            insecure=bool(options["insecure"]),
            front=bool(options["tls"]),
        ),
        files=FileSettings(
            csv=Path(options["csv"]),
            run=Path(options["run"]),
            junit=None if options["junit"] is None else Path(options["junit"]),
            report=None if options["no-report"] else Path(options["report"]),
            report_required="report" in asked,
            losses=_losses(options),
            summary=None if options["summary"] is None else Path(options["summary"]),
        ),
        collector=collector_of(options["otel"]),
        binary=options["binary"],
        upgrade_to=options["upgrade-to"],
        wait_old_s=_wait_old_s(options),
        commands=_commands(options, choice),
        log=options["log"],
        configuration=_configuration(options, choice, scenario),
    )


def _configuration(options: dict[str, Any], choice: Choice | None, scenario: Scenario) -> Configuration | None:
    """Return the user's configuration, None for the plugin's own."""
    if options["config"] is None:
        return None
    if choice is None or choice.plugin.binary is None:
        msg = "--config is for a proxy that is started here: somebody else runs this one"
        raise errors.UsageError(msg)
    return choice.configured(Path(options["config"]), scenario.actions, tls=bool(options["tls"]))


def _require_tls(options: dict[str, Any], scenario: Scenario, target: Target, *, ours: bool) -> None:
    """Raise `UsageError` if TLS is asked for where it cannot be had, or is missing where it is needed."""
    if options["tls"] and not ours:
        msg = "--tls is for a proxy that is started here: of one that somebody else runs the URL says https"
        raise errors.UsageError(msg)
    if options["tls"] and (options["ca"] is not None or options["insecure"]):
        msg = "--tls has an authority of its own: --ca and --insecure are for an https URL"
        raise errors.UsageError(msg)
    require_shown(scenario, target)


def _require_h2c(options: dict[str, Any], groups: Iterable[Group], target: Target, *, ours: bool) -> None:
    """Raise `UsageError` where HTTP/2 is asked for, and not how: a server in the clear may not know it."""
    if options["h2c"] and target.tls:
        msg = "--h2c is HTTP/2 without TLS: over TLS it is agreed on with the proxy"
        raise errors.UsageError(msg)
    over = [each.kind.name for each in groups if each.over_http2 and not each.mixed]
    if over and not (ours or target.tls or options["h2c"]):
        msg = f"traffic {over[0]} is sent over HTTP/2, which an http URL has with --h2c alone (prior knowledge)"
        raise errors.UsageError(msg)


def _rtt_s(options: dict[str, Any]) -> float:
    """Return how far away the clients of --traffic are."""
    rtt_s = 0.0 if options["rtt"] is None else bounds.RTT_MS.parse("--rtt", options["rtt"]) / 1000
    if rtt_s and options["traffic"] is None:
        msg = "--rtt is the distance of the clients of --traffic: say --traffic get=10, or which"
        raise errors.UsageError(msg)
    return rtt_s


def _wait_old_s(options: dict[str, Any]) -> float:
    """Return how long the run goes on for old processes; a duration that is given is the run's."""
    if options["wait-old"] is not None:
        return bounds.WAIT_OLD_S.parse("--wait-old", options["wait-old"])
    return WAIT_OLD_S if options["duration"] is None else 0.0


def _scenario(options: dict[str, Any], duration_s: float | None, backends: int) -> Scenario:
    if options["plugin"] is None:
        if options["repeat"] is not None:
            msg = "--repeat needs --plugin: whoever runs the proxy makes the changes"
            raise errors.UsageError(msg)
        return _watched(options["scenario"], duration_s, backends)
    if options["web"] is not None and options["repeat"] is None and options["scenario"] is None:
        return attrs.evolve(watching(duration_s, backends), title="changes by hand")
    if options["repeat"] is None:
        return named(options["scenario"], duration_s, backends)
    for option in ("scenario", "duration"):
        if options[option] is not None:
            msg = f"--repeat makes its own scenario, whose length --pace sets: --{option} does not go with it"
            raise errors.UsageError(msg)
    return repetition(options, backends)


def _watched(path: str | None, duration_s: float | None, backends: int) -> Scenario:
    """Return the scenario of a proxy that somebody else changes: one of a file has traffic, and no steps."""
    if path is None:
        return watching(duration_s, backends)
    scenario = named(path, duration_s, backends)
    if scenario.steps:
        msg = f"{path}: steps need --plugin: whoever runs the proxy makes the changes"
        raise errors.UsageError(msg)
    return scenario


def _commands(options: dict[str, Any], choice: Choice | None) -> dict[str, str]:
    """Return the user's commands by action."""
    given = {action: options[f"{action}-command"] for action in (*OF_BACKENDS, *OF_THE_PROXY)}
    commands = {action: command for action, command in given.items() if command is not None}
    if commands and not (choice is not None and choice.mechanism.commanded):
        msg = f"--{next(iter(commands))}-command is for --plugin external: it changes the proxy by nothing but commands"
        raise errors.UsageError(msg)
    return commands

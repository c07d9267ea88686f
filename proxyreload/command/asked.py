"""The settings of a run that options ask for."""

import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import attrs

from proxyreload import errors
from proxyreload.command.scenarios import (
    clients_asked,
    files_read,
    killed_after_s,
    leaves_after_s,
    named,
    ports,
    repetition,
    require_shown,
)
from proxyreload.command.vocabulary import LOGS, NEVER
from proxyreload.history.actions import OF_BACKENDS, OF_THE_PROXY
from proxyreload.otel.endpoint import collector_of
from proxyreload.plan.scenario import Scenario, watching
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
from proxyreload.verdict.threshold import PerChange, Threshold

#: Options that name files which are read.
READ = ("scenario", "ca", "binary", "upgrade-to", "config")


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


def written_and_read(options: dict[str, Any], files: FileSettings) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the files that a run writes, and those that it reads, by their options."""
    paths = {
        "--csv": files.csv,
        "--losses": files.losses,
        "--run": files.run,
        "--junit": files.junit,
        "--report": files.report,
        "--summary": files.summary,
    }
    written = {option: path for option, path in paths.items() if path is not None}
    return written, files_read(options, READ)


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


def asked_for(
    options: dict[str, Any],
    asked: Container[str],
    words: tuple[str, ...],
    *,
    fail_on: tuple[Threshold | PerChange, ...],
    annotations: bool,
) -> Settings:
    """Return the settings that options ask for; `asked` are those that were given, by `words`. Raises `UsageError`."""
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
        command=words,
        fail_on=fail_on,
        annotations=annotations,
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

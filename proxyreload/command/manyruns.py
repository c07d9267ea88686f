"""The options of commands that make the same run many times: what is changed in it, and what is sent meanwhile."""

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Files, Words
from proxyreload.command.scenarios import (
    clients_asked,
    killed_after_s,
    leaves_after_s,
    named,
    ports,
    repetition,
    require_shown,
)
from proxyreload.command.vocabulary import CHANGES
from proxyreload.plan.scenario import Scenario
from proxyreload.plan.settings import BackendSettings, LoadSettings, Settings, Target, TlsSettings
from proxyreload.system import bounds


class ManyRunsOptions(Options):
    """What each run has."""

    optParameters = [  # noqa: RUF012
        ["repeat", None, "10", "How often backends are added and removed in each run, or what --change says"],
        ["change", None, "backends", "What is repeated: backends, reload, upgrade, rotate or edit"],
        ["pace", None, "0.5", "Seconds between a change that is done and the next"],
        ["scenario", None, None, "A scenario file (TOML), in place of --repeat"],
        ["stop-removed", None, "1", "Let a removed backend leave so many seconds after its removal, or never"],
        ["kill-removed", None, None, "Kill a removed backend so many seconds after its removal was applied"],
        ["wait-old", None, "15", "Go on so many seconds for old processes of a proxy, in each run"],
        ["clients", None, "10", "Clients, with one persistent connection each"],
        ["traffic", None, None, "KIND=CLIENTS, a comma between two; without it: all, a few of each"],
        ["rate", None, "2000", "Requests/s over all clients; 0: each sends as soon as it has its answer"],
        ["backends", None, "4", "How many numbered backends there are"],
        ["first-port", None, "1030", "The port of backend 0; the others follow"],
        ["front-port", None, "8080", "The port that the proxies listen on"],
        ["timeout", None, "5", "Seconds for one exchange, its body included"],
    ]  # fmt: skip
    optFlags = [  # noqa: RUF012
        ["tls", None, "Let the fronts speak TLS, by an authority made for each run"],
    ]
    compData = usage.Completions(optActions={"scenario": Files("*.toml"), "change": Words(CHANGES)})


def settings_of(options: Options) -> Settings:
    """Return the settings of each run but for the proxy and its files; raises `UsageError`."""
    backends = bounds.BACKENDS.parse("--backends", options["backends"])
    scenario = repetition(options, backends)
    if options["scenario"] is not None:
        scenario = named(options["scenario"], None, backends)
    return settings_with(options, backends, scenario)


def settings_with(options: Options, backends: int, scenario: Scenario) -> Settings:
    """Return them with so many backends and this scenario; raises `UsageError`."""
    first_port, front_port = ports(options, backends)
    clients, groups = clients_asked(options, scenario, ours=True, hosted=True)
    target = Target.front(front_port, tls=bool(options["tls"]))
    require_shown(scenario, target)
    return Settings(
        target=target,
        scenario=scenario,
        load=LoadSettings(
            clients=clients,
            rate_per_s=None if options["rate"] == "0" else bounds.RATE_PER_S.parse("--rate", options["rate"]),
            timeout_s=bounds.TIMEOUT_S.parse("--timeout", options["timeout"]),
            seed=bounds.SEED.parse("--seed", options["seed"]),
            groups=groups,
        ),
        backends=BackendSettings(
            number=backends,
            first_port=first_port,
            stop_removed_s=leaves_after_s(options),
            kill_removed_s=killed_after_s(options),
        ),
        tls=TlsSettings(front=bool(options["tls"])),
        wait_old_s=bounds.WAIT_OLD_S.parse("--wait-old", options["wait-old"]),
    )

"""The scenario that the options of a command ask for, and the ports."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proxyreload.command.vocabulary import CHANGES, NEVER
from proxyreload.errors import UsageError
from proxyreload.history.actions import ROTATE
from proxyreload.plan.scenario import Scenario, default, read, repeated, rolling
from proxyreload.plan.settings import IN_THE_CLEAR, Target
from proxyreload.plan.traffic import Group, beside, parsed
from proxyreload.system import bounds

#: Rolling through the backends takes two that stay and one that comes.
_ROLLING_BACKENDS = 3


def repetition(options: Mapping[str, Any], backends: int) -> Scenario:
    """Return the scenario of ``--repeat``, ``--pace`` and ``--change``; raises `UsageError`."""
    times = bounds.REPEAT.parse("--repeat", options["repeat"])
    pace_s = bounds.PACE_S.parse("--pace", options["pace"])
    if options["change"] not in CHANGES:
        msg = f"--change takes {', '.join(CHANGES)}, not {options['change']!r}"
        raise UsageError(msg)
    if options["change"] != "backends":
        return repeated(options["change"], times, pace_s)
    if backends < _ROLLING_BACKENDS:
        msg = f"--repeat needs {_ROLLING_BACKENDS} backends at least, not --backends {backends}"
        raise UsageError(msg)
    return rolling(times, pace_s, backends)


def named(path: str | None, duration_s: float | None, backends: int) -> Scenario:
    """Return the scenario of a file, or the default one; raises `UsageError`."""
    scenario = default(duration_s) if path is None else read(Path(path), duration_s)
    missing = sorted(instance for instance in scenario.instances if instance >= backends)
    if missing:
        msg = f"the scenario names backend {missing[0]}, but --backends {backends} are 0 to {backends - 1}"
        raise UsageError(msg)
    return scenario


def require_shown(scenario: Scenario, target: Target) -> None:
    """Raise `UsageError` if another certificate is to be put in place, and nobody is shown one."""
    if ROTATE in scenario.actions and not target.tls:
        msg = f"{ROTATE} changes the certificate, and {IN_THE_CLEAR}: say --tls, or an https URL"
        raise UsageError(msg)


def clients_asked(
    options: Mapping[str, Any], scenario: Scenario, rtt_s: float = 0.0, *, ours: bool, hosted: bool
) -> tuple[int, tuple[Group, ...]]:
    """Return how many clients of `get` there are near by, and the other groups; raises `UsageError`.

    By ``--clients``, ``--traffic`` and what the scenario says.
    """
    plain, groups = None, None
    if options["traffic"] is not None:
        plain, groups = parsed(options["traffic"], rtt_s, hosted=hosted)
    clients = bounds.CLIENTS.parse("--clients", options["clients"]) if plain is None else plain
    return clients, beside(groups, scenario.groups, ours=ours, hosted=hosted)


def killed_after_s(options: Mapping[str, Any]) -> float | None:
    """Return how long after its removal was applied a backend is killed, None for never."""
    after = options["kill-removed"]
    return None if after is None else bounds.KILL_AFTER_S.parse("--kill-removed", after)


def leaves_after_s(options: Mapping[str, Any]) -> float | None:
    """Return how long after its removal was applied a backend leaves, None for never; raises `UsageError`."""
    after = options["stop-removed"]
    if after == NEVER:
        return None
    try:
        return bounds.STOP_AFTER_S.parse("--stop-removed", after)
    except UsageError as error:
        msg = f"{error}; or {NEVER}"
        raise UsageError(msg) from error


def ports(options: Mapping[str, Any], backends: int, *, front: bool = True) -> tuple[int, int]:
    """Return the first backend's port and the front's, where the `front` is ours; raises `UsageError`."""
    first_port = bounds.WholeBound(1, 65536 - backends).parse("--first-port", options["first-port"])
    front_port = bounds.PORT.parse("--front-port", options["front-port"])
    if front and first_port <= front_port < first_port + backends:
        msg = f"--front-port {front_port} is one of the backends' ports, {first_port} to {first_port + backends - 1}"
        raise UsageError(msg)
    return first_port, front_port


def files_read(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Path]:
    """Return the files that these options name, by the options; a program is where it is found."""
    given = {f"--{name}": options[name] for name in names if options[name]}
    return {option: Path(shutil.which(name) or name) for option, name in given.items()}

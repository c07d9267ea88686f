"""What happens when: an ordered list of steps with times."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.actions import OF_BACKENDS, OF_THE_PROXY
from proxyreload.history.events import change_name
from proxyreload.plan.document import document
from proxyreload.plan.statement import Keys, line_of
from proxyreload.plan.traffic import GROUPS_LIMIT, Group, from_table
from proxyreload.system import bounds
from proxyreload.system.boundedfile import read_text
from proxyreload.system.untrusted import printable

_SIZE_LIMIT = 64 * 1024
#: No key of a scenario has more than two parts.
_PARTS_AT_MOST = 16
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
ACTIONS = (*OF_BACKENDS, *OF_THE_PROXY, "pause")
_TOP_KEYS = ("title", "duration", "backends", "step", "traffic")
_STEP_KEYS = ("at", *ACTIONS)


@attrs.frozen
class Step:
    """One thing to do: ``add`` or ``remove`` a backend, ``reload``, ``upgrade``, ``rotate``, ``edit`` or ``pause``."""

    action: str
    instance: int = -1  #: the backend's number, where it is about one
    at_s: float | None = None  #: seconds since the clients started; None: right after the step before
    pause_s: float = 0.0

    @property
    def name(self) -> str:
        """What it is called."""
        return change_name(self.action, str(self.instance) if self.action in OF_BACKENDS else "")


@attrs.frozen
class Scenario:
    """The steps of a run, the backends at its start, and how long its clients send."""

    title: str
    duration_s: float
    initial: tuple[int, ...]
    steps: tuple[Step, ...]
    groups: tuple[Group, ...] | None = None  #: of clients, beside those asked for by number; None: it does not say

    @property
    def instances(self) -> frozenset[int]:
        """Every backend it names."""
        return frozenset(self.initial) | {step.instance for step in self.steps if step.action in OF_BACKENDS}

    @property
    def actions(self) -> frozenset[str]:
        """Every action in it."""
        return frozenset(step.action for step in self.steps) - {"pause"}


@attrs.frozen
class _Source:
    """A scenario's text, to say in which line something is wrong."""

    name: str
    text: str

    def wrong(self, path: Keys, message: str) -> UsageError:
        """Return the error for the value at `path`."""
        return UsageError(f"{self.name}:{line_of(self.text, path)}: {message}")


def read(path: Path, duration_s: float | None = None) -> Scenario:
    """Read a scenario file; raises `UsageError` with file and line."""
    return parse(read_text(path, _SIZE_LIMIT), str(path), duration_s)


def default(duration_s: float | None = None) -> Scenario:
    """Return the scenario that is run when none is named."""
    text = files("proxyreload.plan.scenarios").joinpath("default.toml").read_text(encoding="utf-8")
    return parse(text, "default.toml", duration_s)


def watching(duration_s: float | None, backends: int = 2) -> Scenario:
    """Return the scenario of a proxy that somebody else changes: nothing of ours, for as long as is asked."""
    return Scenario("watch", float("inf") if duration_s is None else duration_s, tuple(range(min(2, backends))), ())


def rolling(cycles: int, pace_s: float, backends: int) -> Scenario:
    """Return the scenario that rolls through the backends: in each cycle the next is added and the oldest removed.

    `pace_s` passes before each change since the one before it was applied, and after the last.
    """
    steps: list[Step] = []
    for cycle in range(cycles):
        steps += [Step("pause", pause_s=pace_s), Step("add", (cycle + 2) % backends)]
        steps += [Step("pause", pause_s=pace_s), Step("remove", cycle % backends)]
    return _paced(f"add a backend, remove one: {cycles} times", (0, 1), steps, pace_s)


def repeated(action: str, times: int, pace_s: float) -> Scenario:
    """Return the scenario that reloads, upgrades, rotates or edits again and again, paced likewise."""
    steps = [step for _time in range(times) for step in (Step("pause", pause_s=pace_s), Step(action))]
    return _paced(f"{action}: {times} times", (0, 1), steps, pace_s)


def at_pace(action: str, rate_per_s: float, changes: int, backends: int, around_s: tuple[float, float]) -> Scenario:
    """Return the scenario in which a change is due every `1 / rate_per_s` s, whether the one before is over or not.

    `action` is ``backends``, where the next is added and the oldest removed, in turn, or what is done to the proxy.
    All backends but four, or but half of few, are behind the proxy: each is out for a while. The first is due
    `around_s[0]` s after the clients started, and they send for `around_s[1]` s after the last.
    """
    out = max(1, min(4, backends // 2))
    steps: list[Step] = []
    for number in range(changes):
        at_s = around_s[0] + number / rate_per_s
        if action != "backends":
            steps.append(Step(action, at_s=at_s))
        elif number % 2:
            steps.append(Step("remove", number // 2 % backends, at_s=at_s))
        else:
            steps.append(Step("add", (number // 2 + backends - out) % backends, at_s=at_s))
    last_s = around_s[0] + (changes - 1) / rate_per_s
    title = f"{action}: {rate_per_s:g} changes/s, {changes} of them"
    return Scenario(title, last_s + around_s[1], tuple(range(backends - out)), tuple(steps))


def _paced(title: str, initial: tuple[int, ...], steps: list[Step], pace_s: float) -> Scenario:
    after = Step("pause", pause_s=pace_s)
    return Scenario(title, pace_s * (1 + sum(step.action != "pause" for step in steps)), initial, (*steps, after))


def parse(text: str, name: str, duration_s: float | None = None) -> Scenario:
    """Parse a scenario; `duration_s` takes the place of its own duration; raises `UsageError`."""
    source = _Source(name, text)
    content = document(text, name, _PARTS_AT_MOST)
    _known_keys(source, (), content, _TOP_KEYS)
    given = content.get("duration", 15.0)
    duration = _number(source, ("duration",), given, bounds.DURATION_S) if duration_s is None else duration_s
    initial = content.get("backends", [0, 1])
    if not isinstance(initial, list) or not all(_is_instance(instance) for instance in initial):
        raise source.wrong(("backends",), "backends must be a list of backends' numbers")
    if len(set(initial)) < len(initial):
        raise source.wrong(("backends",), "backends names one twice")
    tables = content.get("step", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise source.wrong(("step",), "write each step under [[step]]")
    steps = tuple(_step(source, index, table, duration) for index, table in enumerate(tables))
    _check_order(source, steps, initial, duration)
    groups = _groups(source, content["traffic"]) if "traffic" in content else None
    title = content.get("title", name)
    if not isinstance(title, str):
        raise source.wrong(("title",), "title must be a text")
    return Scenario(printable(title), duration, tuple(initial), steps, groups)


def _groups(source: _Source, tables: object) -> tuple[Group, ...]:
    """Return what the tables of traffic ask for."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise source.wrong(("traffic",), "write each kind of traffic under [[traffic]]")
    if len(tables) > GROUPS_LIMIT:
        raise source.wrong(("traffic",), f"{len(tables)} groups of traffic are too many: {GROUPS_LIMIT} at most")
    groups = []
    for index, table in enumerate(tables):
        try:
            groups.append(from_table(table))
        except UsageError as error:
            key = next(
                (key for key in table if str(error).startswith((f"{key} ", f"no {key} ", f"unknown key {key!r}"))), None
            )
            path = ("traffic", index) if key is None else ("traffic", index, key)
            raise source.wrong(path, str(error)) from error
    return tuple(groups)


def _known_keys(source: _Source, path: Keys, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise source.wrong((*path, key), f"unknown key {printable(repr(key))}; there are: {', '.join(known)}")


def _number(source: _Source, path: Keys, value: object, bound: bounds.Bound = bounds.PAUSE_S) -> float:
    try:
        return bound.of(str(path[-1]), value)
    except UsageError as error:
        raise source.wrong(path, str(error)) from error


def _is_instance(value: object) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return bounds.INSTANCE.lowest <= value <= bounds.INSTANCE.highest


def _step(source: _Source, index: int, table: Mapping[str, Any], duration_s: float) -> Step:
    path = ("step", index)
    _known_keys(source, path, table, _STEP_KEYS)
    actions = [action for action in ACTIONS if action in table]
    if len(actions) != 1:
        raise source.wrong(path, f"a step needs exactly one of {', '.join(ACTIONS)}")
    action = actions[0]
    at_s = _time(source, (*path, "at"), table["at"], duration_s) if "at" in table else None
    value = table[action]
    if action == "pause":
        return Step(action, at_s=at_s, pause_s=_number(source, (*path, action), value))
    if action in OF_THE_PROXY:
        if value is not True:
            raise source.wrong((*path, action), f"write {action} = true")
        return Step(action, at_s=at_s)
    if not _is_instance(value):
        raise source.wrong((*path, action), f"{action} takes a backend's number")
    return Step(action, instance=value, at_s=at_s)


def _time(source: _Source, path: Keys, value: object, duration_s: float) -> float:
    if isinstance(value, str):
        share = _SHARE.fullmatch(value.strip())
        if share is None:
            raise source.wrong(path, 'at must be seconds or a share like "33 %", not ' + printable(repr(value)))
        return duration_s * float(share[1]) / 100
    return _number(source, path, value)


def _check_order(source: _Source, steps: tuple[Step, ...], initial: list[int], duration_s: float) -> None:
    """Refuse what can only be a mistake: times that go back, a backend added twice or removed when it is not there."""
    behind, earliest_s = set(initial), 0.0
    for index, step in enumerate(steps):
        path = ("step", index)
        if step.at_s is not None:
            if step.at_s < earliest_s:
                raise source.wrong((*path, "at"), f"at {step.at_s:g} s comes before the step before it is over")
            earliest_s = step.at_s
        earliest_s += step.pause_s
        if earliest_s >= duration_s:
            message = f"this step comes at {earliest_s:g} s, but the run ends after {duration_s:g} s"
            raise source.wrong((*path, "at" if step.at_s is not None else step.action), message)
        if step.action == "add":
            if step.instance in behind:
                raise source.wrong((*path, "add"), f"backend {step.instance} is behind the proxy already")
            behind.add(step.instance)
        elif step.action == "remove":
            if step.instance not in behind:
                raise source.wrong((*path, "remove"), f"backend {step.instance} is not behind the proxy")
            behind.remove(step.instance)

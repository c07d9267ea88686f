"""What the tests of all mechanisms have in common."""

import os
import signal
from collections.abc import Mapping
from typing import Any

from proxyreload.casebook.altered import altered
from proxyreload.proxy.registry import choose

from .command import EXIT_STATUS, Exits, Place, Result, Session

#: Mechanisms, and what of their configuration becomes what for an old process to have a second.
SHORT_LIVED = [
    ("haproxy:reload", "hard-stop-after 30s", "hard-stop-after 1s"),
    ("nginx:reload", "worker_processes 2;", "worker_processes 2; worker_shutdown_timeout 1s;"),
]


def assert_whole(place: Place, result: Result) -> None:
    """Check what every run must be like, whatever its verdict."""
    assert result.stderr == ""
    assert result.status == EXIT_STATUS[result.verdict]
    result.assert_complete()
    assert place.left() == []


def run(place: Place, plugin: str, *words: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run to the end, and check what every run must be like."""
    result = place.run("--plugin", plugin, *words, *place.ports, environment=environment)
    assert_whole(place, result)
    return result


def over_us(remove: dict[str, Any]) -> int:
    """Return when a removal was over; whoever is stopped at once may have answered nothing since it was requested."""
    applied_us: int = remove["applied_us"]
    return max(applied_us, remove["effective_us"] or 0, remove["drained_us"] or 0)


def assert_shown(result: Result) -> None:
    """Check that the rows show both changes of the default scenario: backend 2 comes, backend 0 goes."""
    add, remove = result.changes
    assert (add["action"], add["instance"]) == ("add", "2")
    assert (remove["action"], remove["instance"]) == ("remove", "0")
    times = {instance: [row.time for row in result.rows if row.instance == instance] for instance in ("0", "1", "2")}
    assert add["requested_us"] < min(times["2"])
    assert max(times["2"]) > remove["applied_us"] > add["applied_us"]
    assert max(times["0"]) > add["applied_us"]
    late = {row.instance for row in result.rows if row.time > over_us(remove) and row.instance}
    assert late
    assert late <= {"1", "2"}


def assert_ends_during_upgrade(place: Place, session: Session, number: signal.Signals) -> None:
    """End a run by a signal while its upgrade, the first change, hangs, and check that it leaves no process."""
    session.until("change 1: upgrade .* requested")
    session.until_settled()
    exits = Exits.of(session.descendants())
    session.signal(number)
    assert session.ended().status == (-number if number == signal.SIGKILL else 3)
    assert exits.left() == []
    assert place.left() == []


def altered_config(place: Place, mechanism: str, text: str, becomes: str) -> str:
    """Write the mechanism's own configuration with something else at one place, and return the file's path."""
    own = choose(mechanism).mechanism.configuration
    assert own is not None
    (told,) = altered(own.texts, {text: becomes}).values()
    return place.write("mine.conf", told)


def third_party(place: Place, name: str, text: str) -> Mapping[str, str]:
    """Install a plugin of somebody else, outside the project's tree, and return an environment in which it is found."""
    site = place.folder / "site"
    described = site / f"{name}-0.dist-info"
    described.mkdir(parents=True)
    (site / f"{name}.py").write_text(text, encoding="utf-8")
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n", encoding="utf-8")
    points = f"[proxyreload.plugins]\n{name} = {name}:plugin\n"
    (described / "entry_points.txt").write_text(points, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**place.environment, "PYTHONPATH": path}

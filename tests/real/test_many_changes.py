"""Twenty changes in a row, under load."""

import pytest

from proxyreload.history.failures import RACES

from .command import Place, Result
from .proxies import LOSSLESS

pytestmark = pytest.mark.real

CHANGES = 20
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.3")


def twenty_changes(place: Place, plugin: str, *words: str) -> Result:
    result = place.run("--plugin", plugin, *ROLLING, "--log", "changes", *words, *place.ports)
    result.assert_complete()
    assert place.left() == []
    return result


@pytest.mark.parametrize("plugin", LOSSLESS)
def test_runtime_changes_lose_nothing(place: Place, plugin: str) -> None:
    result = twenty_changes(place, plugin)
    assert len(result.changes) == CHANGES
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.summary["failures"] == {}
    assert result.verdict in {"seamless", "graceful"}
    assert result.status == 0


def test_nginx_reload_loses_requests_to_the_keep_alive_race(place: Place) -> None:
    # A few that send when connections are being closed: how often the others meet that moment is chance.
    result = twenty_changes(place, "nginx", "--traffic", "get=20,aimed=4")
    assert len(result.changes) == CHANGES
    races = [row for row in result.rows if row.failure in RACES]
    assert races
    assert all(row.carried > 0 for row in races), "the race is one of connections in use"
    assert not any(row.instance for row in races)
    assert result.verdict == "lossy"
    assert result.status == 1
    # Failures are not rounded away, whatever else is.
    counted = sum(number for failure, number in result.summary["failures"].items() if failure in RACES)
    assert counted == len(races)
    assert sum(sum(change["failures"].values()) for change in result.changes) == result.summary["failure"]
    shown = [line for line in result.stdout.splitlines() if any(f"  {race}: " in line for race in RACES)]
    assert len(shown) == len(races)

"""Every way to change nginx."""

import pytest

from proxyreload.proxy.finding import choose

from .command import Place, rolling
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

CHANGES = 20
PACE_S = 0.3
#: What a change that was seen in the traffic may have done.
EFFECTIVE = {"seamless", "graceful", "lossy"}


def test_the_reload_is_recommended() -> None:
    assert choose("nginx").plugin.mechanisms[0].name == "reload"


@pytest.mark.parametrize("mechanism", ["reload", "reload-min-timeout"])
def test_both_changes_are_seen_in_the_traffic(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"nginx:{mechanism}", "--duration", "4", *place.ports)
    assert_whole(place, result)
    assert [(change["action"], change["error"]) for change in result.changes] == [("add", None), ("remove", None)]
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert result.verdict in EFFECTIVE
    assert result.run_json["mechanism"] == mechanism


def test_with_a_minimal_timeout_many_changes_lose_nothing(place: Place) -> None:
    path = place.write("rolling.toml", rolling(CHANGES, PACE_S))
    result = place.run("--plugin", "nginx:reload-min-timeout", "--scenario", path, *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == CHANGES
    assert result.summary["failures"] == {}
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.status == 0


# An upstream of nginx needs a server.
REMOVES_THE_LAST = """\
duration = 4
backends = [0]
[[step]]
at = 0.5
remove = 0
[[step]]
at = 1.5
add = 1
"""


@pytest.mark.parametrize("mechanism", ["reload", "reload-min-timeout"])
def test_a_configuration_that_it_refuses_is_a_failed_change(place: Place, mechanism: str) -> None:
    path = place.write("last.toml", REMOVES_THE_LAST)
    result = place.run("--plugin", f"nginx:{mechanism}", "--scenario", path, *place.ports)
    assert_whole(place, result)
    refused, made = result.changes
    assert "no servers are inside upstream" in refused["error"]
    assert refused["verdict"] == "ineffective"
    assert made["error"] is None
    assert made["verdict"] in EFFECTIVE
    # The next change does not bring along what was refused.
    after = [row.instance for row in result.rows if row.status == "200"][-100:]
    assert set(after) == {"0", "1"}
    assert (result.verdict, result.status) == ("ineffective", 3)

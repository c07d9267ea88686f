"""Envoy, changed by each of its mechanisms."""

from collections.abc import Mapping

import pytest

from .command import Place, Result, rolling
from .mechanisms import assert_shown, assert_whole, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("file", "rest")
CHANGES = 20
#: Envoy asks for its hosts every 0.1 to 0.2 s; a change is to be over before the next one.
PACE_S = {"file": 0.3, "rest": 0.6}

#: A plugin of somebody else, which names a host that Envoy takes no names for.
REFUSED = """\
import attrs
import proxyreload_envoy
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithName:
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, host="localhost"))


class File(WithName, proxyreload_envoy.File):
    pass


class Rest(WithName, proxyreload_envoy.Rest):
    pass


mechanisms = (Mechanism("file", "", File), Mechanism("rest", "", Rest))
plugin = ProxyPlugin("refused", proxyreload_envoy.plugin.binary, mechanisms)
"""


def run(place: Place, plugin: str, *words: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run to the end, and check what every run must be like."""
    result = place.run("--plugin", plugin, *words, *place.ports, environment=environment)
    assert_whole(place, result)
    return result


def assert_effective(result: Result) -> None:
    """Check that the traffic has shown every change."""
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert not {change["verdict"] for change in result.changes} & {"ineffective", "invalid"}
    assert result.verdict not in {"ineffective", "invalid"}


@pytest.mark.parametrize(("plugin", "mechanism"), [("envoy", "file"), ("envoy:rest", "rest")])
def test_both_changes_take_effect(place: Place, plugin: str, mechanism: str) -> None:
    result = run(place, plugin, "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert_effective(result)
    assert_shown(result)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_twenty_changes_lose_nothing(place: Place, mechanism: str) -> None:
    path = place.write("rolling.toml", rolling(CHANGES, PACE_S[mechanism]))
    result = run(place, f"envoy:{mechanism}", "--scenario", path, "--log", "changes")
    assert len(result.changes) == CHANGES
    assert_effective(result)
    assert result.summary["failures"] == {}
    assert result.verdict in {"seamless", "graceful"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_change_that_envoy_refuses_is_told_in_its_words_and_the_run_goes_on(place: Place, mechanism: str) -> None:
    environment = third_party(place, "refused", REFUSED)
    result = run(place, f"refused:{mechanism}", "--duration", "4", environment=environment)
    add, remove = result.changes
    assert "malformed IP address: localhost" in add["error"]
    assert add["verdict"] == "ineffective"
    assert remove["error"] is None
    assert remove["verdict"] in {"seamless", "graceful"}
    assert result.summary["failures"] == {}
    assert {row.instance for row in result.rows} == {"0", "1"}
    assert result.verdict == "ineffective"

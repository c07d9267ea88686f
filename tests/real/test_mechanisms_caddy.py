"""Caddy, changed by each of its mechanisms."""

import pytest

from .command import Place, Result, rolling
from .mechanisms import assert_shown, assert_whole, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("api", "load", "signal")
CHANGES = 10
PACE_S = 0.6

#: A plugin of somebody else, which gives Caddy a number where an address belongs.
MISTAKEN = """\
from types import SimpleNamespace
import proxyreload_caddy
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithNumber:
    async def add_backend(self, upstream):
        await super().add_backend(SimpleNamespace(name=upstream.name, address=5))


class Api(WithNumber, proxyreload_caddy.Api):
    pass


class Load(WithNumber, proxyreload_caddy.Load):
    pass


class Signal(WithNumber, proxyreload_caddy.Signal):
    pass


mechanisms = (Mechanism("api", "", Api), Mechanism("load", "", Load), Mechanism("signal", "", Signal))
plugin = ProxyPlugin("mistaken", proxyreload_caddy.plugin.binary, mechanisms)
"""


def run(place: Place, plugin: str, *words: str) -> Result:
    """Run to the end, and check what every run must be like."""
    result = place.run("--plugin", plugin, *words, *place.ports)
    assert_whole(place, result)
    return result


def assert_effective(result: Result) -> None:
    """Check that the traffic has shown every change; Caddy may lose something to each."""
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful", "lossy"}
    assert result.verdict in {"graceful", "lossy"}, "every change closes the clients' connections"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_take_effect(place: Place, mechanism: str) -> None:
    result = run(place, f"caddy:{mechanism}", "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert_effective(result)
    assert_shown(result)


def test_the_api_is_what_is_recommended(place: Place) -> None:
    result = place.run("plugins")
    lines = [line for line in result.stdout.splitlines() if line.strip().startswith("caddy:")]
    assert [line.split()[0] for line in lines] == [f"caddy:{mechanism}" for mechanism in MECHANISMS]
    assert [line.split()[0] for line in lines if line.endswith("(recommended)")] == ["caddy:api"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_ten_changes_take_effect(place: Place, mechanism: str) -> None:
    path = place.write("rolling.toml", rolling(CHANGES, PACE_S))
    result = run(place, f"caddy:{mechanism}", "--scenario", path, "--log", "changes")
    assert len(result.changes) == CHANGES
    assert_effective(result)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_change_that_caddy_refuses_is_told_in_its_words_and_the_run_goes_on(place: Place, mechanism: str) -> None:
    words = ("--plugin", f"mistaken:{mechanism}", "--duration", "4", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert "json: cannot unmarshal number into Go struct field Upstream.upstreams.dial" in add["error"]
    assert add["verdict"] == "ineffective"
    assert remove["error"] is None
    assert remove["verdict"] in {"graceful", "lossy"}
    assert {row.instance for row in result.rows if row.instance} == {"0", "1"}
    assert (result.status, result.verdict) == (3, "ineffective")
    assert place.left() == []

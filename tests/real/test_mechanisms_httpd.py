"""Apache httpd, changed by each of its mechanisms."""

import pytest

from proxyreload.proxy.registry import choose

from .command import Place, Result
from .mechanisms import assert_shown, run, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("manager", "map", "graceful", "graceful-worker", "graceful-prefork", "hard", "restart")
#: Those that no child of httpd's is told of.
QUIET = ("manager", "map")
EFFECTIVE = {"seamless", "graceful", "racy", "lossy"}

#: A plugin of somebody else, which gives httpd an address that is none.
MISTAKEN = """\
import attrs
import proxyreload_httpd
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream


class Nowhere(Upstream):
    address = "no address"


class WithoutAddress:
    async def add_backend(self, upstream):
        await super().add_backend(Nowhere(*attrs.astuple(upstream)))


class Graceful(WithoutAddress, proxyreload_httpd.Graceful):
    pass


class Manager(WithoutAddress, proxyreload_httpd.Manager):
    pass


known = {each.name: each for each in proxyreload_httpd.plugin.mechanisms}
mechanisms = [
    Mechanism("graceful", "", Graceful, configuration=known["graceful"].configuration),
    Mechanism("manager", "", Manager, configuration=known["manager"].configuration),
]
plugin = ProxyPlugin("mistaken", proxyreload_httpd.plugin.binary, mechanisms)
"""


def changed(place: Place, mechanism: str, *words: str) -> Result:
    """Run to the end, and check that every change was taken."""
    result = run(place, f"httpd:{mechanism}", *words)
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    return result


def test_the_manager_is_recommended_and_restarting_comes_last() -> None:
    assert tuple(mechanism.name for mechanism in choose("httpd").plugin.mechanisms) == MECHANISMS


@pytest.mark.parametrize("mechanism", [name for name in MECHANISMS if name not in QUIET])
def test_both_changes_take_effect(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism, "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert result.summary["front_changed"] > 0, "other children serve"
    assert_shown(result)


@pytest.mark.parametrize("mechanism", QUIET)
def test_what_no_child_is_told_of_touches_no_connection_of_a_client(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism, "--repeat", "5", "--pace", "0.3")
    assert len(result.changes) == 10
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)


@pytest.mark.parametrize("mechanism", ["graceful-worker", "graceful-prefork"])
def test_a_child_that_keeps_what_rests_loses_none_of_it(place: Place, mechanism: str) -> None:
    # What has rested for so long may know of no backend that is left, and is answered 503: that is not what this is about.
    words = ("--repeat", "2", "--traffic", "get=5,idle=5,aimed=10", "--stop-removed", "never")
    result = changed(place, mechanism, *words)
    assert result.verdict == "graceful"
    assert result.summary["failures"] == {}


#: What a graceful restart has forgotten would come back with it.
AFTER_A_CHANGE = """\
duration = 6
step = [{at = 0.5, add = 2}, {pause = 0.5}, {remove = 0}, {pause = 0.5}, {reload = true}]
"""


@pytest.mark.parametrize("mechanism", QUIET)
def test_it_reloads_with_the_backends_that_it_has(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism, "--scenario", place.write("after.toml", AFTER_A_CHANGE))
    reloaded_us = result.changes[2]["applied_us"]
    assert result.summary["front_changed"] > 0
    assert {row.instance for row in result.rows if row.time > reloaded_us + 500_000 and row.instance} == {"1", "2"}


def test_a_running_httpd_cannot_be_upgraded(place: Place) -> None:
    result = place.run("--plugin", "httpd", "--change", "upgrade", "--repeat", "1", *place.ports)
    why = "a running httpd does not become another program: its parent is the one that was started"
    assert (result.stderr, result.status) == (f"proxyreload: httpd:manager cannot upgrade: {why}\n", 2)


@pytest.mark.parametrize(
    ("mechanism", "words"), [("graceful", "BalancerMember"), ("manager", "tells of http://no address: nothing")]
)
def test_a_change_that_it_refuses_is_told_and_the_run_goes_on(place: Place, mechanism: str, words: str) -> None:
    arguments = ("--plugin", f"mistaken:{mechanism}", "--duration", "4", *place.ports)
    result = place.run(*arguments, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert words in add["error"]
    assert add["verdict"] == "ineffective"
    assert remove["error"] is None
    assert {row.instance for row in result.rows if row.instance} == {"0", "1"}
    assert (result.status, result.verdict) == (3, "ineffective")
    assert place.left() == []

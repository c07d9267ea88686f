"""Varnish, changed by each of its mechanisms."""

import pytest

from proxyreload.proxy.registry import choose

from .command import Place, Result
from .mechanisms import assert_shown, assert_whole, run

pytestmark = pytest.mark.real

MECHANISMS = ("vcl", "health", "restart")


def changed(place: Place, mechanism: str, *words: str) -> Result:
    """Run to the end, and check that every change was taken."""
    result = run(place, f"varnish:{mechanism}", *words)
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    return result


def test_a_vcl_is_recommended_and_restarting_comes_last() -> None:
    assert tuple(mechanism.name for mechanism in choose("varnish").plugin.mechanisms) == MECHANISMS


@pytest.mark.parametrize("mechanism", ["vcl", "health"])
def test_no_connection_of_a_client_is_touched(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism, "--repeat", "2", "--pace", "0.3")
    assert len(result.changes) == 4
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)


def test_a_restart_takes_effect_and_cuts_off_what_is_under_way(place: Place) -> None:
    result = changed(place, "restart", "--duration", "4")
    assert_shown(result)
    assert result.verdict == "lossy"


# The first comes back by an order, and is away again in a VCL that has all that there ever were.
SICK_IN_THE_NEXT = """\
duration = 8
step = [{at = 0.5, remove = 0}, {pause = 0.5}, {add = 0}, {pause = 0.5}, {remove = 0}, {pause = 0.5}, {add = 2}]
"""


def test_who_is_sick_is_sick_in_the_next_vcl_too(place: Place) -> None:
    result = changed(place, "health", "--scenario", place.write("sick.toml", SICK_IN_THE_NEXT))
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    added_us = result.changes[3]["effective_us"]
    assert {row.instance for row in result.rows if row.time > added_us and row.instance} == {"1", "2"}


# A VCL needs a backend.
REMOVES_THE_LAST = """\
duration = 6
backends = [0]
step = [{at = 0.5, remove = 0}, {pause = 0.5}, {add = 1}]
"""


def test_a_vcl_that_it_refuses_is_a_failed_change(place: Place) -> None:
    path = place.write("last.toml", REMOVES_THE_LAST)
    result = place.run("--plugin", "varnish:vcl", "--scenario", path, *place.ports)
    assert_whole(place, result)
    refused, made = result.changes
    assert "varnishadm exited with status 1" in refused["error"]
    assert made["error"] is None
    assert set([row.instance for row in result.rows if row.status == "200"][-50:]) == {"0", "1"}
    assert (result.verdict, result.status) == ("ineffective", 3)


def test_it_reloads_with_nothing_changed_and_cannot_speak_tls(place: Place) -> None:
    result = changed(place, "vcl", "--change", "reload", "--repeat", "2", "--pace", "0.3")
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)
    secured = place.run("--plugin", "varnish", "--tls", *place.ports)
    why = "Varnish speaks no TLS: a proxy of its own stands before it for that, such as hitch"
    assert (secured.stderr, secured.status) == (f"proxyreload: varnish:vcl cannot speak TLS: {why}\n", 2)

"""Apache Traffic Server, changed by each of its mechanisms."""

import pytest

from proxyreload.proxy.registry import choose

from .command import Place, Result
from .mechanisms import assert_shown, run

pytestmark = pytest.mark.real

MECHANISMS = ("host", "parent", "restart")


def changed(place: Place, mechanism: str, *words: str) -> Result:
    """Run to the end, and check that every change was taken."""
    result = run(place, f"trafficserver:{mechanism}", *words)
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    return result


def assert_untouched(result: Result) -> None:
    """Check that no client has noticed anything."""
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)


def test_a_host_that_is_down_is_recommended_and_restarting_comes_last() -> None:
    assert tuple(mechanism.name for mechanism in choose("trafficserver").plugin.mechanisms) == MECHANISMS


@pytest.mark.parametrize("mechanism", ["host", "parent"])
def test_no_connection_of_a_client_is_touched(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism)
    assert_untouched(result)
    assert_shown(result)


def test_a_restart_takes_effect_and_cuts_off_what_is_under_way(place: Place) -> None:
    result = changed(place, "restart")
    assert_shown(result)
    assert result.verdict == "lossy"


COMES_BACK = "duration = 4\nstep = [{at = 0.5, remove = 0}, {pause = 0.5}, {add = 0}]\n"


def test_a_host_that_was_down_is_up_again(place: Place) -> None:
    result = changed(place, "host", "--scenario", place.write("back.toml", COMES_BACK))
    assert_untouched(result)
    down, up = result.changes
    between = {row.instance for row in result.rows if down["applied_us"] < row.time < up["requested_us"]}
    assert "0" not in between
    assert up["effective_us"] > up["requested_us"]


def test_another_certificate_is_shown_and_nobody_is_closed(place: Place) -> None:
    result = changed(place, "parent", "--tls", "--change", "rotate", "--repeat", "1", "--traffic", "get=2,fresh=2")
    [change] = result.changes
    assert change["certificate"]["shown"] > 0
    assert_untouched(result)


def test_it_reloads_with_nothing_changed(place: Place) -> None:
    assert_untouched(changed(place, "parent", "--change", "reload", "--repeat", "1"))

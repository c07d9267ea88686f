"""An edit that has nothing to do with the traffic: each proxy brings it into effect, and what that does to its clients."""

import pytest

from .command import Place, Result
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: Mechanisms that are a reload, or something like it.
TAKEN = (
    *("haproxy:reload", "nginx:upgrade", "caddy:signal", "envoy:hot-restart"),
    *("lighttpd:reload", "squid:reconfigure"),
)
EDITED = ("--change", "edit", "--pace", "0.2")


def edited(place: Place, plugin: str, *words: str) -> Result:
    """Edit twice, and check that the traffic has shown both: no answer but the edited route's would do."""
    result = place.run("--plugin", plugin, *EDITED, "--repeat", "2", *words, *place.ports)
    assert_whole(place, result)
    told = [(change["action"], change["error"], change["route"]) for change in result.changes]
    assert told == [("edit", None, f"/proxyreload-edited-{number}") for number in (1, 2)]
    for change in result.changes:
        assert change["verdict"] not in ("ineffective", "invalid")
        assert change["requested_us"] < change["applied_us"] < change["effective_us"]
    return result


@pytest.mark.parametrize("plugin", ["haproxy:runtime", "traefik:file", "envoy:file", "sozu:runtime"])
def test_what_is_edited_in_the_process_that_runs_nobody_notices(place: Place, plugin: str) -> None:
    result = edited(place, plugin, "--traffic", "get=4,websocket=2")
    assert result.verdict == "seamless"


@pytest.mark.parametrize("plugin", TAKEN)
def test_what_takes_a_reload_is_in_effect_as_well(place: Place, plugin: str) -> None:
    edited(place, plugin, "--traffic", "get=2")


def test_over_tls_too(place: Place) -> None:
    edited(place, "nginx:reload", "--tls", "--traffic", "get=2")


def closed(result: Result) -> int:
    """Return how many WebSockets were ended by the proxy."""
    return sum(result.summary["kinds"]["websocket"]["front_closed"].values())


def test_caddy_ends_websockets_for_an_unrelated_edit_but_with_a_close_delay(place: Place) -> None:
    """https://github.com/caddyserver/caddy/issues/7222."""
    traffic = ("--traffic", "websocket=5", "--clients", "1", "--rate", "20")
    assert closed(edited(place, "caddy:load", *traffic)) >= 5
    assert closed(edited(place, "caddy:load-close-delay", *traffic)) == 0


def test_what_knows_no_routes_says_so(place: Place) -> None:
    result = place.run("--plugin", "control", *EDITED, "--repeat", "1", *place.ports)
    assert (result.status, result.stderr) == (
        2,
        "proxyreload: control:runtime cannot edit: it has no configuration, and one route\n",
    )

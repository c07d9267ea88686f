"""Envoy, changed by each of its mechanisms."""

import signal
from pathlib import Path

import pytest

from proxyreload.proxy.registry import choose

from .command import TRAFFIC, Exits, Place, Result, Session, scenario
from .mechanisms import assert_shown, assert_whole, run, third_party
from .proxies import binary

pytestmark = pytest.mark.real

#: Those by which Envoy discovers its hosts while it runs.
MECHANISMS = ("file", "rest", "ads")
CHANGES = 20
SHARED_MEMORY = "/dev/shm/envoy_shared_memory_{base_id}0"

#: A plugin of somebody else, which names a host that Envoy takes no names for.
REFUSED = """\
import attrs
import proxyreload_envoy
import proxyreload_envoy_config
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithName:
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, host="localhost"))


class File(WithName, proxyreload_envoy.File):
    pass


class Rest(WithName, proxyreload_envoy.Rest):
    pass


class Ads(WithName, proxyreload_envoy.Ads):
    pass


class HotRestart(WithName, proxyreload_envoy.HotRestart):
    pass


mechanisms = (
    Mechanism("file", "", File, configuration=proxyreload_envoy.FROM_FILE),
    Mechanism("rest", "", Rest, configuration=proxyreload_envoy.OVER_REST),
    Mechanism("ads", "", Ads, configuration=proxyreload_envoy.OVER_ADS),
    Mechanism("hot-restart", "", HotRestart, configuration=proxyreload_envoy_config.restarted()),
)
plugin = ProxyPlugin("refused", proxyreload_envoy.plugin.binary, mechanisms)
"""


def assert_effective(result: Result) -> None:
    """Check that the traffic has shown every change."""
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert not {change["verdict"] for change in result.changes} & {"ineffective", "invalid"}
    assert result.verdict not in {"ineffective", "invalid"}


@pytest.mark.parametrize(("plugin", "mechanism"), [("envoy", "file"), ("envoy:rest", "rest"), ("envoy:ads", "ads")])
def test_both_changes_take_effect(place: Place, plugin: str, mechanism: str) -> None:
    result = run(place, plugin, "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert_effective(result)
    assert_shown(result)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_twenty_changes_lose_nothing(place: Place, mechanism: str) -> None:
    words = ("--repeat", str(CHANGES // 2), "--pace", "0.5", "--log", "changes")
    result = run(place, f"envoy:{mechanism}", *words)
    assert len(result.changes) == CHANGES
    assert_effective(result)
    assert result.summary["failures"] == {}
    assert result.verdict in {"seamless", "graceful"}


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "hot-restart"])
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


def test_every_mechanism_reloads_and_upgrades_or_says_why_not() -> None:
    mechanisms = {mechanism.name: mechanism for mechanism in choose("envoy").plugin.mechanisms}
    assert list(mechanisms) == ["file", "rest", "ads", "hot-restart", "restart"]
    for action in ("reload", "upgrade"):
        able = {name for name, mechanism in mechanisms.items() if not mechanism.why_not(action)}
        assert able == {"hot-restart", "restart"}
        assert {bool(mechanism.cannot) for name, mechanism in mechanisms.items() if name not in able} == {True}


@pytest.mark.parametrize("change", ["backends", "reload", "upgrade"])
def test_a_hot_restart_loses_nothing_and_leaves_no_shared_memory(place: Place, change: str) -> None:
    session = place.start("--plugin", "envoy:hot-restart", "--repeat", "2", "--change", change, *place.ports)
    session.until(TRAFFIC)
    shared = shared_memory(session)
    assert shared.exists()
    result = session.ended()
    assert_whole(place, result)
    assert len(result.changes) == (4 if change == "backends" else 2)
    assert_effective(result)
    assert result.summary["failures"] == {}
    assert {change["verdict"] for change in result.changes} == {"graceful"}
    assert not shared.exists()


# Another program, for which Envoy's own words are known.
OTHER_VERSION = """\
#!/bin/sh
[ "$1" = --hot-restart-version ] && exec echo 1.2
exec {proxy} "$@"
"""


def test_a_program_of_another_hot_restart_version_is_refused_and_the_old_one_goes_on(place: Place) -> None:
    other = place.write("other", OTHER_VERSION.format(proxy=binary("envoy")), mode=0o755)
    result = run(place, "envoy:hot-restart", "--repeat", "1", "--change", "upgrade", "--upgrade-to", other)
    (upgrade,) = result.changes
    assert upgrade["error"].startswith("hot-restart version 1.2 cannot take over from ")
    assert (result.summary["failure"], result.summary["front_changed"]) == (0, 0)
    assert result.verdict == "ineffective"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_between_two_epochs_leaves_nothing(place: Place, number: signal.Signals) -> None:
    path = place.write("long.toml", scenario([(0.3, "add", 2), (0.4, "remove", 0)], 3600))
    session = place.start("--plugin", "envoy:hot-restart", "--scenario", path, *place.ports)
    session.until(TRAFFIC)
    shared = shared_memory(session)
    session.until("change 1: add backend 2 .* applied")
    session.until("change 2: remove backend 0 .* requested")
    assert shared.exists()
    exits = Exits.of(session.descendants())
    session.signal(number)
    if number is signal.SIGINT:
        result = session.ended()
        assert_whole(place, result)
        assert result.summary["failure"] == 0
    assert exits.left() == []
    assert not shared.exists()


def test_the_streams_threads_do_not_keep_a_run_from_ending_nor_speak(place: Place) -> None:
    session = place.start("--plugin", "envoy:ads", "--duration", "3600", *place.ports)
    session.until(TRAFFIC)
    session.signal(signal.SIGTERM)
    result = session.ended()
    assert_whole(place, result)
    assert result.summary["failure"] == 0


def test_backends_are_started_beside_the_streams_threads(place: Place) -> None:
    words = ("--repeat", "5", "--pace", "0.3", "--backend-processes", "--kill-removed", "0.1", "--log", "changes")
    result = run(place, "envoy:ads", *words)
    assert_effective(result)
    assert result.summary["failures"] == {}


def test_without_grpcio_it_is_said_what_to_install(place: Place) -> None:
    place.write("grpc.py", 'raise ModuleNotFoundError("No module named \'grpc\'", name="grpc")\n')
    environment = {**place.environment, "PYTHONPATH": str(place.folder)}
    session = place.start("--plugin", "envoy:ads", *place.ports, environment=environment)
    result = session.ended()
    assert (result.status, result.stderr.splitlines()) == (
        3,
        ["proxyreload: envoy:ads needs grpc: pip install 'proxyreload[ads]'"],
    )
    assert place.left() == []


def shared_memory(session: Session) -> Path:
    """Return where the hot restarts of this run, and of no other, share memory."""
    (envoy,) = session.children()
    words = envoy.cmdline()
    return Path(SHARED_MEMORY.format(base_id=words[words.index("--base-id") + 1]))

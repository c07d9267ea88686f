"""Every way to change nginx."""

import shutil
import signal

import pytest

from proxyreload.proxy.registry import choose

from .command import Exits, Place, Session
from .mechanisms import assert_ends_during_upgrade, assert_whole
from .proxies import binary

pytestmark = pytest.mark.real

CHANGES = 20
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.3")
#: What a change that was seen in the traffic may have done.
EFFECTIVE = {"seamless", "graceful", "racy", "lossy"}


#: The mechanisms, and how many seconds a run of two changes takes: over DNS it is nginx that decides when.
MECHANISMS = {"reload": 4, "reload-min-timeout": 4, "upgrade": 4, "upgrade-min-timeout": 4, "dns": 9, "restart": 4}


def test_the_reload_is_recommended_and_restarting_comes_last() -> None:
    assert [mechanism.name for mechanism in choose("nginx").plugin.mechanisms] == list(MECHANISMS)


@pytest.mark.parametrize(("mechanism", "duration_s"), MECHANISMS.items())
def test_both_changes_are_seen_in_the_traffic(place: Place, mechanism: str, duration_s: int) -> None:
    result = place.run("--plugin", f"nginx:{mechanism}", "--duration", str(duration_s), *place.ports)
    assert_whole(place, result)
    assert [(change["action"], change["error"]) for change in result.changes] == [("add", None), ("remove", None)]
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert result.verdict in EFFECTIVE
    assert result.run_json["mechanism"] == mechanism


@pytest.mark.parametrize("mechanism", ["reload-min-timeout", "upgrade-min-timeout"])
def test_with_a_minimal_timeout_many_changes_lose_nothing(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"nginx:{mechanism}", *ROLLING, *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == CHANGES
    assert result.summary["failures"] == {}
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.status == 0


def test_over_dns_no_connection_of_a_client_is_touched(place: Place) -> None:
    result = place.run("--plugin", "nginx:dns", "--repeat", "2", *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == 4
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)


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


@pytest.mark.parametrize("mechanism", ["reload", "upgrade", "restart"])
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


REPEATED = ("--repeat", "3", "--pace", "0.3")


@pytest.mark.parametrize(("mechanism", "change"), [("reload", "reload"), ("dns", "reload"), ("upgrade", "upgrade")])
def test_it_reloads_and_upgrades_with_nothing_changed(place: Place, mechanism: str, change: str) -> None:
    result = place.run("--plugin", f"nginx:{mechanism}", "--change", change, *REPEATED, *place.ports)
    assert_whole(place, result)
    assert [(each["action"], each["error"]) for each in result.changes] == [(change, None)] * 3
    assert result.summary["front_changed"] > 0, "new workers serve"
    assert {row.instance for row in result.rows if row.status == "200"} == {"0", "1"}


@pytest.mark.parametrize("mechanism", ["reload", "reload-min-timeout", "dns"])
def test_in_the_foreground_it_cannot_be_upgraded(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"nginx:{mechanism}", "--change", "upgrade", *REPEATED, *place.ports)
    why = "nginx ignores SIGUSR2 in the foreground; nginx:upgrade can"
    assert result.stderr == f"proxyreload: nginx:{mechanism} cannot upgrade: {why}\n"
    assert result.status == 2


def start_and_upgrade(place: Place, program: str) -> Session:
    """Start a run that upgrades nginx to another program, and goes on."""
    path = place.write("upgrade.toml", "duration = 3600\n[[step]]\nat = 0.5\nupgrade = true\n")
    words = ("--plugin", "nginx:upgrade", "--scenario", path, "--upgrade-to", program)
    return place.start(*words, *place.ports)


def test_another_program_takes_over(place: Place) -> None:
    other = shutil.copy(binary("nginx"), place.folder / "nginx-other")
    session = start_and_upgrade(place, str(other))
    session.until("change 1: upgrade .* applied")
    session.until_settled()
    processes = session.descendants()
    assert str(other) in {process.exe() for process in processes}
    exits = Exits.of(processes)
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert exits.left() == []


# Has nothing against the configuration, and dies when it is to take over.
NO_SUCCESSOR = """\
#!/bin/sh
case "$*" in -v|*" -t "*) exit 0;; esac
echo "cannot take over" >&2
exit 3
"""


def test_a_program_that_does_not_come_up_is_a_failed_change_and_the_old_one_goes_on(place: Place) -> None:
    script = place.write("successor", NO_SUCCESSOR, mode=0o755)
    path = place.write("two.toml", "duration = 5\n[[step]]\nat = 0.5\nupgrade = true\n[[step]]\nat = 1\nadd = 2\n")
    words = ("--plugin", "nginx:upgrade", "--scenario", path, "--upgrade-to", script)
    result = place.run(*words, *place.ports)
    assert_whole(place, result)
    upgrade, add = result.changes
    assert upgrade["error"].startswith("cannot take over / ")
    assert "exited with code 3" in upgrade["error"]
    assert upgrade["failures"] == {}
    assert add["error"] is None
    assert add["verdict"] in EFFECTIVE
    assert (result.verdict, result.status) == ("ineffective", 3)


# Hangs in place of an nginx that is to take over.
HANGING_SUCCESSOR = """\
#!/bin/sh
case "$*" in -v|*" -t "*) exit 0;; esac
exec tail -f /dev/null
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_during_a_hand_over_leaves_neither_process(place: Place, number: signal.Signals) -> None:
    script = place.write("successor", HANGING_SUCCESSOR, mode=0o755)
    session = start_and_upgrade(place, script)
    assert_ends_during_upgrade(place, session, number)

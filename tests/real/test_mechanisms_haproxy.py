"""Every way to change HAProxy."""

import shutil
import signal
from pathlib import Path

import pytest

from proxyreload.proxy.registry import choose

from .command import TRAFFIC, Exits, Place, scenario
from .mechanisms import assert_whole
from .proxies import binary

pytestmark = pytest.mark.real

MECHANISMS = (
    *("runtime", "slots", "reload", "reload-idle", "reload-redispatch", "reload-rebind", "master-worker", "hard"),
    "restart",
)
CHANGES = 20
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.3")
# What is added must outlive a reload and another program.
ADD_RELOAD_UPGRADE_REMOVE = """\
duration = 5.5
step = [
    {at = 0.4, add = 2}, {pause = 1}, {reload = true}, {pause = 1}, {upgrade = true}, {pause = 1}, {remove = 0},
    {pause = 2},
]
"""
#: Another version, of the system's package.
ANOTHER = shutil.which("haproxy")
#: What a change that was seen in the traffic may have done.
EFFECTIVE = {"seamless", "graceful", "racy", "lossy"}


def test_the_runtime_api_is_recommended() -> None:
    names = [mechanism.name for mechanism in choose("haproxy").plugin.mechanisms]
    assert names == list(MECHANISMS)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_change_is_seen_in_the_traffic(place: Place, mechanism: str) -> None:
    path = place.write("all.toml", ADD_RELOAD_UPGRADE_REMOVE)
    result = place.run("--plugin", f"haproxy:{mechanism}", "--scenario", path, *place.ports)
    assert_whole(place, result)
    made = [(change["action"], change["error"]) for change in result.changes]
    assert made == [("add", None), ("reload", None), ("upgrade", None), ("remove", None)]
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert result.verdict in EFFECTIVE
    assert result.run_json["mechanism"] == mechanism
    add, _reload, upgrade, _remove = result.changes
    assert {row.instance for row in result.rows if upgrade["applied_us"] < row.time} >= {"1", "2"}
    assert "2" in {row.instance for row in result.rows if add["applied_us"] < row.time < upgrade["requested_us"]}


@pytest.mark.skipif(ANOTHER is None, reason="the system's package haproxy is not installed")
@pytest.mark.parametrize("mechanism", ["runtime", "reload-idle", "master-worker"])
@pytest.mark.parametrize("back", [False, True])
def test_another_version_takes_over(place: Place, mechanism: str, *, back: bool) -> None:
    assert ANOTHER is not None
    ours = str(binary("haproxy"))
    before, after = (ours, ANOTHER) if back else (ANOTHER, ours)
    words = ("--binary", before, "--upgrade-to", after, "--repeat", "1", "--change", "upgrade", "--pace", "1")
    session = place.start("--plugin", f"haproxy:{mechanism}", *words, *place.ports)
    session.until("change 1: upgrade .* applied")
    running = {process.exe() for process in session.descendants() if process.name() == "haproxy"}
    result = session.ended()
    assert_whole(place, result)
    assert str(Path(after).resolve()) in running
    assert [change["error"] for change in result.changes] == [None]
    assert result.verdict in EFFECTIVE
    assert result.run_json["proxy_version"] != result.run_json["successor_version"]


@pytest.mark.parametrize("mechanism", ["slots", "reload-idle"])
def test_many_changes_lose_nothing(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"haproxy:{mechanism}", *ROLLING, *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == CHANGES
    assert result.summary["failures"] == {}
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.status == 0
    # A reload has every client connect anew, a change of a running process none.
    assert (result.summary["front_changed"] == 0) == (mechanism == "slots")


def test_an_old_process_that_ends_at_once_cuts_what_is_under_way(place: Place) -> None:
    result = place.run("--plugin", "haproxy:hard", *ROLLING, "--clients", "20", *place.ports)
    assert_whole(place, result)
    assert len(result.changes) == CHANGES
    assert {change["verdict"] for change in result.changes} <= EFFECTIVE
    assert (result.verdict, result.status) == ("lossy", 1)
    assert sum(sum(change["failures"].values()) for change in result.changes) == result.summary["failure"]


# Runs HAProxy with one configuration file more.
WITH_EXTRA_FILE = """\
#!/bin/sh
[ "$1" = -v ] && exec {proxy} -v
exec {proxy} -f {extra} "$@"
"""


@pytest.mark.parametrize("mechanism", ["reload", "master-worker"])
def test_a_configuration_that_it_refuses_is_a_failed_change(place: Place, mechanism: str) -> None:
    extra = place.write("extra.cfg", "global\n")
    script = place.write("proxy", WITH_EXTRA_FILE.format(proxy=binary("haproxy"), extra=extra), mode=0o755)
    # Backend 2 comes and goes until somebody ends it.
    steps = [(round(0.5 * (index + 1), 1), "remove" if index % 2 else "add", 2) for index in range(1000)]
    path = place.write("long.toml", scenario(steps, 3600))
    words = ("--plugin", f"haproxy:{mechanism}", "--binary", script, "--scenario", path)
    session = place.start(*words, *place.ports)
    session.until(TRAFFIC)
    place.write("extra.cfg", "nonsense\n")
    refused = session.until(r"change \d+: add backend 2 .* failed: ")
    assert "extra.cfg:1]: unknown keyword 'nonsense'" in refused
    place.write("extra.cfg", "global\n")
    session.until(r"change \d+: add backend 2 .* applied")
    session.until(r"client \d+ .* backend 2 ")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    # What was refused is ineffective, and so is a run that was ended before all its changes.
    assert result.verdict == "ineffective"
    errors = [change["error"] for change in result.changes]
    assert any(error is not None and f"{extra}:1" in error for error in errors)
    assert {row.instance for row in result.rows if row.status == "200"} == {"0", "1", "2"}


# Says what it is given, and dies, in place of a process that is to take over.
NO_SUCCESSOR = """\
#!/bin/sh
case "$*" in *" -x "*) echo "cannot take over" >&2; exit 1;; esac
exec {proxy} "$@"
"""


def test_a_successor_that_does_not_come_up_is_a_failed_change_and_the_old_process_goes_on(place: Place) -> None:
    script = place.write("proxy", NO_SUCCESSOR.format(proxy=binary("haproxy")), mode=0o755)
    result = place.run("--plugin", "haproxy:reload", "--binary", script, "--duration", "3", *place.ports)
    assert_whole(place, result)
    assert (result.verdict, result.status) == ("ineffective", 3)
    assert [change["verdict"] for change in result.changes] == ["ineffective", "ineffective"]
    for change in result.changes:
        assert change["error"].startswith("proxy exited with status 1; it said: / ")
        assert change["error"].endswith("cannot take over")
    assert (result.summary["failure"], result.summary["front_changed"]) == (0, 0)
    assert {row.instance for row in result.rows} == {"0", "1"}


# Hangs in place of a process that is to take over.
HANGING_SUCCESSOR = """\
#!/bin/sh
case "$*" in *" -x "*) exec tail -f /dev/null;; esac
exec {proxy} "$@"
"""


@pytest.mark.parametrize("mechanism", ["runtime", "master-worker"])
def test_a_program_that_does_not_take_the_configuration_is_not_upgraded_to(place: Place, mechanism: str) -> None:
    script = place.write("other", "#!/bin/sh\necho not for me >&2; exit 3\n", mode=0o755)
    words = ("--upgrade-to", script, "--repeat", "1", "--change", "upgrade")
    result = place.run("--plugin", f"haproxy:{mechanism}", *words, *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == ["other exited with status 3: / not for me"]
    assert (result.verdict, result.summary["failures"]) == ("ineffective", {})


def test_a_run_that_is_ended_during_a_reload_leaves_neither_process(place: Place) -> None:
    script = place.write("proxy", HANGING_SUCCESSOR.format(proxy=binary("haproxy")), mode=0o755)
    path = place.write("long.toml", scenario([(0.3, "add", 2)], 3600))
    session = place.start("--plugin", "haproxy:reload", "--binary", script, "--scenario", path, *place.ports)
    session.until("change 1: add backend 2 .* requested")
    session.until_settled()
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGINT)
    result = session.ended()
    assert_whole(place, result)
    assert result.verdict == "ineffective"
    assert result.summary["failure"] == 0
    assert exits.left() == []

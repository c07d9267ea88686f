"""What the end of a proxy's old processes does to clients, seconds after the change, is seen and charged to it."""

import shutil

import pytest

from .command import Place, Result
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: Nobody has a reason to send before the old process ends, and who is 20 ms away cannot know that it does.
RESTING = """\
duration = 4
[[traffic]]
kind = "aimed"
clients = 100
gap = 50
rtt = 20
[[step]]
at = 1
reload = true
"""
AGAIN = """\
[[step]]
at = 2
reload = true
"""
QUIET = ("--clients", "2", "--rate", "50")
#: HAProxy as somebody has it who gives old processes two seconds.
HARD_STOP = """\
#!/bin/sh
sed -i 's/hard-stop-after .*/hard-stop-after 2s/' haproxy.cfg
exec {program} "$@"
"""


def reloaded(place: Place, mechanism: str, *words: str, more: str = "") -> Result:
    path = place.write("resting.toml", RESTING + more)
    result = place.run("--plugin", mechanism, "--scenario", path, *QUIET, *words, *place.ports)
    assert_whole(place, result)
    assert {change["error"] for change in result.changes} == {None}
    return result


@pytest.mark.parametrize("mechanism", ["envoy:hot-restart", "nginx:reload-min-timeout", "nginx:upgrade-min-timeout"])
def test_a_run_goes_on_until_the_race_that_a_setting_has_moved(place: Place, mechanism: str) -> None:
    result = reloaded(place, mechanism)
    old, (change,) = result.summary["old_generation"], result.changes
    assert old["processes"] > 0
    assert (old["left"], old["unknown"]) == (0, None)
    assert result.summary["duration_us"] > 4_000_000 + old["waited_us"] - 100_000
    assert result.verdict == change["verdict"] == "lossy"
    assert result.summary["kinds"]["aimed"]["verdict"] == "lossy"
    assert change["failures"] == result.summary["failures"]
    assert "until the old generation was gone" in result.stdout
    # For as long as both lived there were more of them, and more memory.
    price = change["price"]
    assert price["processes"]["most"] > price["processes"]["before"] >= 1
    assert price["resident_bytes"]["most"] > price["resident_bytes"]["before"] > 0
    assert result.summary["price"]["cpu_s"] > 0


def test_a_hard_stop_is_waited_for_and_ends_what_has_rested_until_then(place: Place) -> None:
    program = shutil.which("haproxy")
    assert program is not None
    wrapper = place.write("haproxy-of-two-seconds", HARD_STOP.format(program=program), mode=0o755)
    result = reloaded(place, "haproxy:reload-idle", "--binary", wrapper)
    old, (change,) = result.summary["old_generation"], result.changes
    assert (old["processes"], old["left"], old["unknown"]) == (1, 0, None)
    assert change["verdict"] == "lossy"
    assert set(result.summary["causes"]) == {"keep-alive race"}
    assert change["applied_us"] + 1_500_000 < min(row.time for row in result.rows if row.failure)


def test_what_the_old_process_loses_before_the_next_change_can_begin_is_the_one_befores(place: Place) -> None:
    result = reloaded(place, "envoy:hot-restart", more=AGAIN)
    first, second = result.changes
    assert first["verdict"] == "lossy"
    assert second["requested_us"] - first["applied_us"] > 2_000_000
    last = max(row.time for row in result.rows if row.failure and row.time < second["requested_us"])
    assert first["applied_us"] < last
    assert sum(first["failures"].values()) == len(
        [row for row in result.rows if row.failure and int(row.written) < second["requested_us"]]
    )


@pytest.mark.parametrize("mechanism", ["haproxy:reload-idle", "nginx:reload-min-timeout"])
def test_what_it_does_not_wait_for_is_said(place: Place, mechanism: str) -> None:
    result = reloaded(place, mechanism, "--wait-old", "1")
    old = result.summary["old_generation"]
    assert old["left"] > 0
    assert old["waited_us"] >= 1_000_000
    assert result.verdict in ("graceful", "racy")
    assert "of the old generation still live" in result.stdout


def test_a_duration_that_is_given_is_the_runs(place: Place) -> None:
    result = reloaded(place, "haproxy:master-worker", "--duration", "3")
    assert result.summary["duration_us"] < 4_000_000
    assert result.summary["old_generation"]["waited_us"] < 1_000_000

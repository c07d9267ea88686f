"""Trials: the instrument's own trouble is never told as the proxy's loss."""

import json
import resource
import signal
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from .command import HOST, TIMEOUT_S, TRAFFIC, Place, free_ports
from .mechanisms import assert_whole, third_party

pytestmark = pytest.mark.real


def limited(soft: int, hard: int) -> Callable[[], None]:
    """Return what gives a process these limits on open files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_few_descriptors_are_refused_before_anything_is_written(place: Place) -> None:
    words = ("--plugin", "haproxy", "--clients", "50", *place.ports)
    result = place.run(*words, preexec_fn=limited(40, 40))
    assert result.status == 2
    assert result.stderr.startswith("proxyreload: this run may need ")
    assert result.stderr.endswith(" open files and sockets, but no more than 40 are allowed (ulimit -Hn)\n")
    assert not result.csv.exists()
    assert place.left() == []


def test_a_low_soft_limit_is_raised(place: Place) -> None:
    words = ("--plugin", "haproxy", "--clients", "50", "--rate", "500", "--duration", "5", *place.ports)
    result = place.run(*words, preexec_fn=limited(40, 4096))
    assert_whole(place, result)
    assert result.summary["failures"] == {}


#: A plugin that takes every descriptor that is left, when it is asked to add a backend.
GREEDY = """\
import os
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload_control import plugin as control
from proxyreload_control_proxy import Runtime

class Greedy(Runtime):
    async def add_backend(self, upstream):
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        self.workspace.reactor.callLater(1, lambda: [os.close(each) for each in taken])

plugin = ProxyPlugin("greedy", control.binary, (Mechanism("runtime", "", Greedy),))
"""
ADDS_ONE = "duration = 3\n[[step]]\nat = 0.5\nadd = 2\n"


def test_running_out_of_descriptors_makes_a_run_invalid(place: Place) -> None:
    environment = third_party(place, "greedy", GREEDY)
    path = place.write("one.toml", ADDS_ONE)
    words = ("--plugin", "greedy", "--scenario", path, "--clients", "2", *place.ports)
    result = place.run(*words, environment=environment, preexec_fn=limited(300, 300))
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    assert any("proxyreload itself" in reason for reason in result.summary["reasons"])
    assert "what helps" not in result.stdout
    assert set(result.summary["failures"]) <= {"own limit", "connect error", "closed before response, fresh"}


#: One in which all stands still, as in a process that is stopped.
STANDING = """\
import time
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload_control import plugin as control
from proxyreload_control_proxy import Runtime

class Standing(Runtime):
    async def add_backend(self, upstream):
        time.sleep(1)
        await super().add_backend(upstream)

plugin = ProxyPlugin("standing", control.binary, (Mechanism("runtime", "", Standing),))
"""


def test_standing_still_for_longer_than_the_client_timeout_makes_a_run_invalid(place: Place) -> None:
    environment = third_party(place, "standing", STANDING)
    path = place.write("one.toml", ADDS_ONE)
    words = ("--plugin", "standing", "--scenario", path, "--rate", "200", "--timeout", "0.5", *place.ports)
    result = place.run(*words, environment=environment)
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    assert any("proxyreload itself stood still for " in reason for reason in result.summary["reasons"])


def test_a_rate_that_cannot_be_sent_makes_a_run_invalid(place: Place) -> None:
    words = ("--plugin", "haproxy", "--rate", "1000000", "--clients", "1", "--duration", "2", *place.ports)
    path = place.write("none.toml", "backends = [0, 1]\n")
    result = place.run(*words, "--scenario", path)
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    schedule = result.summary["schedule"]
    assert schedule["never_sent"] > 1000
    said = f"{schedule['never_sent']} of {schedule['requests']} requests that were due were never sent"
    assert said in result.summary["reasons"]
    assert said in result.stdout.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_cut_short_proves_nothing(place: Place, number: signal.Signals) -> None:
    path = place.write("none.toml", "backends = [0, 1]\n")
    session = place.start("--plugin", "haproxy", "--scenario", path, "--duration", "3600", *place.ports)
    session.until(TRAFFIC)
    session.signal(number)
    result = session.ended()
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    (reason,) = result.summary["reasons"]
    assert reason.startswith("the run was ended early, after ")
    assert reason.endswith(" of 3600 s")
    assert f"verdict: invalid ({reason})" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "1e-300"),
        ("--rate", "1e-320"),
        ("--timeout", "1e300"),
        ("--timeout", "1e308"),
        ("--duration", "9" * 5000),
        ("--clients", "9" * 5000),
        ("--pace", "1e300", "--repeat", "2"),
        ("--kill-removed", "1e-300"),
    ],
    ids=lambda words: f"{words[0]} {words[1][:8]}",
)
def test_a_number_out_of_its_bounds_is_one_line(place: Place, words: tuple[str, ...]) -> None:
    result = place.run("--plugin", "haproxy", *words, *place.ports)
    assert result.status == 2
    assert result.stderr.startswith(f"proxyreload: {words[0]} takes a ")
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 160
    assert not result.csv.exists()


def test_the_page_takes_the_same_rates_and_goes_on_when_one_is_refused(place: Place) -> None:
    port = free_ports(1)
    session = place.start("--web", str(port), "--log", "changes", "--plugin", "haproxy", "--rate", "100", *place.ports)
    session.until("changes by hand; .* until Ctrl-C")
    statuses = []
    for rate in ("1e-320", "1e999", "0", "-1", "true", '"5"', "1" * 5000, "0.001", "250"):
        request = urllib.request.Request(
            f"http://{HOST}:{port}/api/load",
            f'{{"rate": {rate}}}'.encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                statuses.append(json.load(answer)["rate"])
        except urllib.error.HTTPError as error:
            statuses.append(error.code)
            error.close()
    assert statuses == [400] * 6 + [413, 0.001, 250.0]
    session.signal(signal.SIGTERM)
    assert session.ended().status == 0
    assert place.left() == [] or all("run" in each for each in place.left())

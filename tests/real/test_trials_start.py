"""Runs that cannot start, or are killed: found out beforehand where that is possible, and nothing stays behind."""

import os
import resource
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest

from .command import CHANGES_THEN_FOREVER, TRAFFIC, Exits, Place
from .proxies import PLUGINS

pytestmark = pytest.mark.real

#: From what cannot even import all that a run needs to what is nearly enough.
DESCRIPTORS = (12, 16, 20, 24, 28, 32, 36, 44, 52)


def assert_refused(place: Place, value: str | Path, words: str, plugin: str = "haproxy") -> None:
    environment = {**place.environment, "TMPDIR": str(value)}
    result = place.run("--plugin", plugin, *place.ports, environment=environment)
    assert result.stderr.startswith("proxyreload: TMPDIR=")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert (result.status, result.stdout) == (2, "")
    assert not result.csv.exists()


@pytest.mark.parametrize("plugin", [*PLUGINS, "caddy", "envoy", "control"])
def test_a_temporary_folder_so_deep_that_no_socket_fits_is_found_before_the_start(place: Place, plugin: str) -> None:
    deep = place.temp / "deep" / ("d" * 60)
    deep.mkdir(parents=True)
    assert_refused(place, deep, "sockets below it have room for 53", plugin)
    assert list(deep.iterdir()) == []


def test_a_temporary_folder_that_is_none_is_refused_and_no_other_taken(place: Place) -> None:
    assert_refused(place, place.temp / "none", "No such file or directory")
    assert_refused(place, place.write("file", ""), "not a directory")
    (place.temp / "loop").symlink_to("loop")
    assert_refused(place, place.temp / "loop", "loop")


def test_one_that_is_a_link_is_followed(place: Place) -> None:
    link = place.folder / "link"
    link.symlink_to(place.temp)
    environment = {**place.environment, "TMPDIR": str(link)}
    result = place.run("--plugin", "haproxy", "--duration", "4", *place.ports, environment=environment)
    assert (result.stderr, result.status) == ("", 0)
    assert place.left() == []


def test_one_that_is_open_to_all_is_said(place: Place) -> None:
    place.temp.chmod(0o777)
    result = place.run("--plugin", "control", "--duration", "4", *place.ports)
    assert result.stderr == (
        f"proxyreload: {place.temp} is open to every user and has no sticky bit: "
        "any of them can replace this run's files\n"
    )
    assert result.status == 0
    assert place.left() == []


def limit(number: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


@pytest.mark.parametrize("words", [(), ("--backend-processes",)], ids=["one process", "backend processes"])
@pytest.mark.parametrize("number", DESCRIPTORS)
def test_a_start_that_fails_for_descriptors_leaves_nothing(place: Place, number: int, words: tuple[str, ...]) -> None:
    command = ("--plugin", "haproxy", "--duration", "1", *words, *place.ports)
    result = place.run(*command, preexec_fn=partial(limit, number))
    assert result.status in {2, 3}
    assert place.left() == []


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_killed_it_takes_its_backends_along(place: Place, *, stopped: bool) -> None:
    path = place.write("changes.toml", CHANGES_THEN_FOREVER)
    words = ("--plugin", "haproxy", "--backend-processes", "--scenario", path)
    session = place.start(*words, *place.ports)
    session.until(TRAFFIC)
    processes = session.descendants()
    exits = Exits.of(processes)
    if stopped:
        for process in processes:
            if "backend" in process.cmdline():
                process.suspend()
    session.signal(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    assert exits.left() == []
    assert place.left() == []


def test_killed_while_its_backends_start_it_takes_them_along(place: Place) -> None:
    session = place.start("--plugin", "haproxy", "--backend-processes", *place.ports)
    process = psutil.Process(session.pid)
    while not (backends := [child for child in process.children() if child.pid]):
        assert session.process.poll() is None
        os.sched_yield()
    exits = Exits.of(backends)
    session.signal(signal.SIGKILL)
    session.ended()
    assert exits.left() == []
    assert place.left() == []

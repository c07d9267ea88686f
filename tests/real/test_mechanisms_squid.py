"""Squid, changed by reading its configuration again."""

import signal
import socket
from pathlib import Path

import pytest

from .command import TRAFFIC, Exits, Place
from .listeners import Listeners, says
from .mechanisms import assert_shown, assert_whole, over_us, run, third_party

pytestmark = pytest.mark.real

#: A plugin of somebody else, which names a port that is none.
MISTAKEN = """\
import attrs
import proxyreload_squid
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class Reconfigure(proxyreload_squid.Reconfigure):
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, port="none"))


mechanism = Mechanism("reconfigure", "", Reconfigure, configuration=proxyreload_squid.OWN)
plugin = ProxyPlugin("mistaken", proxyreload_squid.plugin.binary, (mechanism,))
"""


def test_both_changes_take_effect_and_whoever_is_closed_is_told(place: Place) -> None:
    result = run(place, "squid:reconfigure", "--duration", "3")
    assert [change["error"] for change in result.changes] == [None, None]
    assert_shown(result)
    assert {how for change in result.changes for how in change["kinds"]["get"]["front_closed"]} >= {"announced"}


def test_it_shows_another_certificate(place: Place) -> None:
    words = ("--tls", "--change", "rotate", "--repeat", "1", "--traffic", "get=1,fresh=2")
    result = run(place, "squid:reconfigure", *words)
    (change,) = result.changes
    assert (change["error"], change["certificate"]["number"]) == (None, 2)
    assert change["certificate"]["shown"] > 0


def test_it_hands_over_to_no_other_program(place: Place) -> None:
    result = place.run("--plugin", "squid", "--repeat", "1", "--change", "upgrade", *place.ports)
    assert result.status == 2
    assert result.stderr == ("proxyreload: squid:reconfigure cannot upgrade: Squid hands its socket to no successor\n")


def test_a_configuration_of_which_it_would_die_is_not_read(place: Place) -> None:
    words = ("--plugin", "mistaken:reconfigure", "--duration", "3", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert add["error"].startswith("squid exited with status 1: / ")
    assert " FATAL: Bungled " in add["error"]
    assert remove["error"] is None
    assert (result.status, result.verdict) == (3, "ineffective")
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1"}
    assert place.left() == []


def test_its_socket_for_name_servers_answers_nobody(place: Place) -> None:
    session = place.start("--plugin", "squid", "--duration", "3600", *place.ports)
    session.until(TRAFFIC)
    (squid,) = [child for child in session.children() if "-n" in child.cmdline()]
    ((address, port),) = Listeners.of([squid.pid]).datagrams
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"\0\7\1\0\0\1\0\0\0\0\0\0\3app\4test\0\0\1\0\1", (address, port))
        for _again in range(3):  # one process: whatever it reads after this question it has read this one before
            assert says(place.front_port, "GET", "/")
        asking.setblocking(False)  # noqa: FBT003
        with pytest.raises(BlockingIOError):
            asking.recv(512)
    session.signal(signal.SIGTERM)
    assert_whole(place, session.ended())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_shared_memory_goes_with_it(place: Place, number: signal.Signals) -> None:
    session = place.start("--plugin", "squid", "--duration", "3600", *place.ports)
    session.until(TRAFFIC)
    (squid,) = [child for child in session.children() if "-n" in child.cmdline()]
    service = squid.cmdline()[-1]
    shared = list(Path("/dev/shm").glob(f"{service}-*"))
    assert shared
    exits = Exits.of(session.descendants())
    session.signal(number)
    session.ended()
    assert exits.left() == []
    assert place.left() == []
    assert list(Path("/dev/shm").glob(f"{service}-*")) == []

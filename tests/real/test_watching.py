"""URL mode: somebody else runs the proxy."""

import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from .command import HOST, SIGNALS, TIMEOUT_S, TRAFFIC, Place
from .proxies import HAPROXY_DEFAULTS, binary

pytestmark = pytest.mark.real

# With more threads than one HAProxy now and then closes a connection to a backend of its own accord.
CONFIG = (
    """\
global
    nbthread 1
"""
    + HAPROXY_DEFAULTS
    + """\
frontend front
    bind fd@{descriptor}
    default_backend app
backend app
    http-reuse always
    default-server pool-max-conn 100 pool-purge-delay 10m
{servers}
"""
)

StartProxy = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_proxy(place: Place) -> Iterator[StartProxy]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(*instances: int) -> "subprocess.Popen[bytes]":
        """Start HAProxy on a socket that listens already: whoever connects waits there until it is up."""
        servers = "\n".join(f"    server s{i} {HOST}:{place.first_port + i}" for i in instances)
        with socket.socket() as front:
            front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            front.bind((HOST, place.front_port))
            front.listen()
            config = place.write("haproxy.cfg", CONFIG.format(descriptor=front.fileno(), servers=servers))
            with (place.folder / "haproxy.log").open("wb") as log:
                process = subprocess.Popen(
                    [binary("haproxy"), "-db", "-f", config], pass_fds=[front.fileno()], stdout=log, stderr=log
                )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait(TIMEOUT_S)


def test_watches_for_as_long_as_it_is_asked(place: Place, start_proxy: StartProxy) -> None:
    start_proxy(0, 1)
    result = place.run(place.front, "--duration", "3", "--first-port", str(place.first_port))
    assert result.stderr == ""
    assert (result.status, result.verdict, result.changes) == (0, "seamless", [])
    result.assert_complete()
    assert {row.instance for row in result.rows} == {"0", "1"}
    assert result.run_json["url"] == place.front
    assert result.run_json["plugin"] is None
    assert max(row.time for row in result.rows) >= 3_000_000


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_and_the_proxy_goes_on(place: Place, start_proxy: StartProxy, number: signal.Signals) -> None:
    proxy = start_proxy(0, 1)
    session = place.start(place.front, "--first-port", str(place.first_port))
    session.until(TRAFFIC)
    session.until_settled()
    session.signal(number)
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (0, "seamless")
    result.assert_complete()
    assert proxy.poll() is None
    # It is alive, and says itself that the backends are gone.
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(place.front, timeout=TIMEOUT_S)


def test_backends_of_somebody_else(place: Place, start_proxy: StartProxy) -> None:
    backends = [place.start("backend", str(i), str(place.first_port + i)) for i in (0, 1)]
    for instance, backend in enumerate(backends):
        line = backend.until("backend")
        assert line == f"backend {instance} on http://{HOST}:{place.first_port + instance}/\n"
    start_proxy(0, 1)
    result = place.run(place.front, "--no-backends", "--duration", "2")
    assert result.stderr == ""
    assert (result.status, result.verdict) == (0, "seamless")
    result.assert_complete()
    assert {row.instance for row in result.rows} == {"0", "1"}
    assert result.run_json["options"]["backends"] == 0
    for number, backend in zip(SIGNALS, backends, strict=True):
        backend.signal(number)
        ended = backend.ended()
        assert (ended.status, ended.stderr) == (0, "")
    assert not [problem for problem in place.left() if f"port {place.front_port}" not in problem]


def test_a_proxy_that_goes_away_is_a_loss(place: Place, start_proxy: StartProxy) -> None:
    proxy = start_proxy(0, 1)
    session = place.start(place.front, "--first-port", str(place.first_port))
    session.until(TRAFFIC)
    proxy.kill()
    for _line in range(11):
        session.until(r"client \d+ .* refused$")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (1, "lossy")
    result.assert_complete()
    assert result.summary["failures"]["refused"] > 10
    refused = [row for row in result.rows if row.failure == "refused"]
    assert {(row.front_port, row.back_port, row.instance, row.connection) for row in refused} == {("", "", "", "")}


def test_nobody_there_at_all(place: Place) -> None:
    result = place.run(place.front, "--duration", "1", "--first-port", str(place.first_port))
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    assert set(result.summary["failures"]) == {"refused"}
    assert place.left() == []

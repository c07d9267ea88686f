"""Whether a port is free, who has it, and which one may be had."""

import errno
import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from proxyreload.errors import StartError, UsageError
from proxyreload.proxy import ports
from proxyreload.proxy.ports import free_port, holder, require_free


@pytest.fixture(name="listening")
def _listening() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        yield taken.getsockname()[1]


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_wrong_usage(port: int) -> None:
    with pytest.raises(UsageError, match=rf"{port} is not a port \(the front\)"):
        require_free("127.0.0.1", port, "the front")


def test_a_port_that_is_taken_is_told_with_what_it_was_wanted_for(
    listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "holder", lambda _port: " by somebody (pid 7)")
    with pytest.raises(StartError) as raised:
        require_free("127.0.0.1", listening, "backend 2")
    assert str(raised.value) == f"port {listening} (backend 2) is in use by somebody (pid 7)"


def test_a_port_that_is_free_again_is_free(listening: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert port != listening
    require_free("127.0.0.1", port, "the front")


def test_a_port_that_may_not_be_listened_on_is_told_with_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(StartError, match=r"port 80 \(the front\) cannot be listened on: Permission denied"):
        require_free("127.0.0.1", 80, "the front")


def test_whoever_listens_is_named(listening: int) -> None:
    assert holder(listening) == f" by {psutil.Process().name()} (pid {os.getpid()})"


def test_nobody_listens_on_a_port_that_is_free() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert holder(free.getsockname()[1]) == ""


def test_where_it_cannot_be_told_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_kind: str) -> object:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert holder(8080) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_port_that_may_be_had_can_be_listened_on(host: str) -> None:
    port = free_port(host)
    with socket.socket() as listening:
        listening.bind((host, port))
        listening.listen(1)
        assert listening.getsockname() == (host, port)


def test_where_no_port_may_be_had_the_system_says_why() -> None:
    # Of TEST-NET-1, an address that no machine has.
    with pytest.raises(StartError, match=r"no port of 192\.0\.2\.1 is free: Cannot assign requested address"):
        free_port("192.0.2.1")

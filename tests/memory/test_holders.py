"""Which of the proxy's processes holds which connection."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from proxyreload.history.events import Held
from proxyreload.proxy import holders, tree
from proxyreload.proxy.holders import Holders, lives, processes, unreaped
from proxyreload.system.tcptable import inodes, listening_at, peers

from .clocks import START_NS

HOST = "127.0.0.1"


@pytest.fixture(name="listening")
def _listening() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listening:
        yield listening


def test_a_connection_is_found_by_the_port_at_its_other_end(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with socket.create_connection((HOST, port)) as client:
        accepted, (_host, client_port) = listening.accept()
        with accepted:
            inode = os.fstat(accepted.fileno()).st_ino
            assert peers(port) == {inode: client_port}
            assert inode in set(inodes(os.getpid()))
            client.shutdown(socket.SHUT_WR)  # half closed, it is held still
            assert peers(port) == {inode: client_port}


def test_it_is_found_by_ipv6_too() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("::1", port)) as client:
            accepted, _address = listening.accept()
            with accepted:
                assert list(peers(port).values()) == [client.getsockname()[1]]


def test_who_listens_is_known_until_he_listens_no_more(listening: socket.socket) -> None:
    port, inode = listening.getsockname()[1], os.fstat(listening.fileno()).st_ino
    with socket.create_connection((HOST, port)), listening.accept()[0]:
        assert listening_at(port) == {inode}
        listening.close()
        assert listening_at(port) == set()


def test_of_a_process_that_is_gone_there_is_nothing() -> None:
    assert list(inodes(2**22 + 1)) == []


def test_new_processes_are_another_generation(listening: socket.socket) -> None:
    port, pids = listening.getsockname()[1], [os.getpid()]
    living = {os.getpid()}
    looking = Holders(port, lambda: START_NS, lambda: pids, living.__contains__)
    with socket.create_connection((HOST, port)) as client, listening.accept()[0]:
        client_port = client.getsockname()[1]
        assert looking.look() == Held(0, {client_port: 0}, START_NS, frozenset({0}))
        assert looking.look() == Held(0, {client_port: 0}, START_NS, frozenset({0}))
        pids += [2**22 + 1, 2**22 + 2]
        living.add(2**22 + 2)
        assert looking.look() == Held(1, {client_port: 0}, START_NS, frozenset({0, 1}))
        assert looking.old == {0}
        pids.append(2**22 + 3)
        living.add(2**22 + 3)
        assert looking.known() == Held(1, {}, START_NS, frozenset({0, 1}))  # nobody is looked for
        assert looking.count() == Held(2, {}, START_NS, frozenset({0, 1, 2}))
        living.remove(os.getpid())
        assert looking.old == {1}


def test_a_process_lives_until_it_is_gone() -> None:
    assert lives(os.getpid())
    assert lives(1)  # somebody else's, perhaps
    assert not lives(2**22 + 1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_one_that_has_ended_and_waits_to_be_reaped_lives_no_more() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert lives(process.pid)  # as far as a signal tells
        assert process.pid in unreaped()
        assert Holders(1, lambda: START_NS, lambda: [process.pid]).count() == Held(0, {}, START_NS, frozenset())
    assert process.pid not in unreaped()


def test_without_a_proxy_there_are_no_processes() -> None:
    # In a process of its own: this one may have children of other tests' still.
    code = "from proxyreload.proxy.holders import processes; print(processes())"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"[]\n"


def test_where_no_descriptor_is_left_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted() -> list[psutil.Process]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(holders, "strangers", exhausted)
    monkeypatch.setattr(tree, "children", lambda _pid: exhausted())
    assert processes() == []
    assert unreaped() == frozenset()
    assert Holders(1, lambda: START_NS).look() == Held(-1, {}, START_NS, frozenset())

"""What the processes of a run listen on, and what anybody on the host gets there."""

import os
import re
import socket
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import attrs
from twisted.names import dns

from .command import HOST

_LISTENS = "0A"
_ACCEPTS = 0x10000
_ANSWER_S = 10.0

#: What is asked of a port that should know nothing: all that the proxies' admin interfaces take, and whose it could be.
QUESTIONS = (
    ("GET", "/"),
    ("GET", "/api/rawdata"),
    ("GET", "/api/http/services"),
    ("PUT", "/api/providers/rest"),
    ("GET", "/config/"),
    ("POST", "/load"),
    ("POST", "/stop"),
    ("GET", "/config_dump"),
    ("GET", "/clusters"),
    ("POST", "/quitquitquit"),
    ("POST", "/v3/discovery:endpoints"),
)
#: Names that a backend could be found by.
NAMES = ("app.test", "_http._tcp.app.test", "backend0.app.test", "test", "")

#: Who owns nothing of a run's.
NOBODY = 65534


@attrs.frozen
class Listeners:
    """Everything that is bound by some processes."""

    ports: frozenset[tuple[str, int]] = frozenset()  #: TCP, that connections are accepted at: address and port
    datagrams: frozenset[tuple[str, int]] = frozenset()  #: UDP, that anybody may send to
    sockets: frozenset[str] = frozenset()  #: Unix sockets, by path; "@" begins one that has no file

    @classmethod
    def of(cls, pids: Iterable[int]) -> "Listeners":
        """Look."""
        inodes = {inode: pid for pid in pids for inode in _inodes(pid)}
        tcp = _bound("tcp", inodes, lambda state, _remote: state == _LISTENS)
        udp = _bound("udp", inodes, lambda _state, remote: int(remote.replace(":", ""), 16) == 0)
        return cls(frozenset(tcp), frozenset(udp), frozenset(_unix(inodes)))


def _inodes(pid: int) -> Iterator[str]:
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return  # it has ended
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")


def _bound(protocol: str, inodes: Container[str], holds: Callable[[str, str], bool]) -> Iterator[tuple[str, int]]:
    for name, family in ((protocol, socket.AF_INET), (f"{protocol}6", socket.AF_INET6)):
        for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
            _number, local, remote, state, *more = line.split()
            if more[5] in inodes and holds(state, remote):
                address, _colon, port = local.partition(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                yield socket.inet_ntop(family, b"".join(words)), int(port, 16)


def _unix(inodes: Mapping[str, int]) -> Iterator[str]:
    for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
        _slot, _count, _protocol, flags, kind, _state, inode, *path = line.split(maxsplit=7)
        if inode in inodes and path and (int(flags, 16) & _ACCEPTS or int(kind, 16) == socket.SOCK_DGRAM):
            # The kernel tells the name that it was bound by, from where that process is; some rename it into place.
            name = re.sub(r"\.\d+\.tmp$", "", path[0])
            with suppress(FileNotFoundError):  # the process has ended meanwhile
                yield name if name.startswith("@") else str(Path(f"/proc/{inodes[inode]}/cwd").readlink() / name)


def reached_by_others(path: str) -> str:
    """Say how another user reaches a Unix socket, empty if he cannot."""
    if path.startswith("@"):
        return "it has no owner"
    place = Path(path)
    shut = [each for each in place.parents if not each.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH)]
    if not shut:
        return "every folder above it is open"
    if {each.stat().st_uid for each in (shut[0], place)} != {os.getuid()}:
        return "it is not ours"
    return "nobody connects to it" if os.getuid() == 0 and _nobody_connects(path) else ""


def _nobody_connects(path: str) -> bool:
    """Return whether a process of another user gets further than a refusal."""
    child = os.fork()
    if child:
        _pid, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) != 0
    reached = 1
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            socket.socket(socket.AF_UNIX, kind).connect(path)
    except PermissionError:
        reached = 0
    finally:
        os._exit(reached)


def says(port: int, method: str, path: str) -> bytes:
    """Return all that a port answers to a request of somebody who knows nothing."""
    body = b'{"apps": {}}'
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((HOST, port), _ANSWER_S) as connection:
        connection.sendall(head.encode("ascii") + body)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while piece := connection.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
    return said


def resolves(port: int, name: str) -> bool:
    """Return whether a name server has records of a name."""
    question = dns.Message(id=7)
    question.addQuery(name.encode("ascii"), dns.SRV)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_ANSWER_S)
        asking.sendto(question.toStr(), (HOST, port))
        packet = asking.recv(512)
    answer = dns.Message()
    answer.fromStr(packet)
    return bool(answer.answers) or answer.rCode != dns.ENAME

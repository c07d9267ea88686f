"""A way that takes time, of the kernel's own: two network namespaces, and what delays the packets between them.

`tc netem` on a veth pair where the kernel has it; or else two TUN devices and a small process that carries each packet
over when it is due. Either way it is the kernels' TCP on both ends that meets the distance, and no code of proxyreload.
"""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from benchmarks.processes import BenchmarkError, end

_NEW_NET = 0x40000000  # CLONE_NEWNET
_TUNSETIFF, _TUN_WITHOUT_HEAD = 0x400454CA, 0x1001  # IFF_TUN | IFF_NO_PI
_IFREQ = struct.Struct("16sH22x")
_DEVICE = "way"
_LARGEST_PACKET = 65_536
_libc = ctypes.CDLL(None, use_errno=True)
#: The addresses at both ends.
PROXY, CLIENTS = "10.77.0.1", "10.77.0.2"


@attrs.frozen
class Place:
    """A network namespace."""

    descriptor: int
    address: str

    @classmethod
    def new(cls, address: str) -> "Place":
        """Make one; this process stays where it is."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            _checked(_libc.unshare(_NEW_NET))
            try:
                place = cls(os.open("/proc/self/ns/net", os.O_RDONLY), address)
                _ip("link", "set", "lo", "up")
            finally:
                _checked(_libc.setns(home, _NEW_NET))
        finally:
            os.close(home)
        return place

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be there, and start processes there, as long as the block runs."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        _checked(_libc.setns(self.descriptor, _NEW_NET))
        try:
            yield
        finally:
            _checked(_libc.setns(home, _NEW_NET))
            os.close(home)


@attrs.frozen
class Way:
    """The way between the clients' place and the proxy's."""

    proxy: Place
    clients: Place
    by: str  #: what delays


@contextmanager
def way(one_way_ms: float, *, netem: bool | None = None) -> Iterator[Way]:
    """Give a way as long as the block runs; `netem` False: by TUN also where the kernel has the other."""
    if os.geteuid() != 0:
        msg = "network namespaces need root"
        raise BenchmarkError(msg)
    with ExitStack() as stack:
        places = [Place.new(address) for address in (PROXY, CLIENTS)]
        for place in places:
            stack.callback(os.close, place.descriptor)
        lacking = netem_lacks() if netem is None else "" if netem else "not asked for"
        if lacking:
            _tun(stack, places, one_way_ms)
        else:
            _netem(places, one_way_ms)
        for place in places:
            with place.inside():
                _ip("address", "add", f"{place.address}/24", "dev", _DEVICE)
                _ip("link", "set", _DEVICE, "up")
        yield Way(places[0], places[1], "TUN" if lacking else "netem")


def netem_lacks() -> str:
    """Return why this machine has no netem, empty if it has."""
    if os.geteuid() != 0:
        return "it needs root"
    place = Place.new(PROXY)
    try:
        with place.inside():
            return _failure("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    finally:
        os.close(place.descriptor)


def _netem(places: list[Place], one_way_ms: float) -> None:
    here, there = places
    with here.inside():
        namespace = f"/proc/{os.getpid()}/fd/{there.descriptor}"
        _ip("link", "add", _DEVICE, "type", "veth", "peer", "name", _DEVICE, "netns", namespace)
    for place in places:
        with place.inside():
            delay = (f"{one_way_ms * 1000:.0f}us", "limit", "100000")
            _run("tc", "qdisc", "add", "dev", _DEVICE, "root", "netem", "delay", *delay)


def _tun(stack: ExitStack, places: list[Place], one_way_ms: float) -> None:
    ends = []
    for place in places:
        with place.inside():
            try:
                ends.append(os.open("/dev/net/tun", os.O_RDWR))
            except OSError as error:
                msg = f"this machine has neither netem ({netem_lacks()}) nor TUN ({error.strerror})"
                raise BenchmarkError(msg) from error
            stack.callback(os.close, ends[-1])
            fcntl.ioctl(ends[-1], _TUNSETIFF, _IFREQ.pack(_DEVICE.encode("ascii"), _TUN_WITHOUT_HEAD))
    words = [str(end) for end in ends]
    command = [sys.executable, "-m", "benchmarks.ways", *words, f"{one_way_ms / 1000:g}"]
    carrying = subprocess.Popen(command, pass_fds=ends, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL)
    stack.callback(end, carrying)


def carry(one: int, other: int, one_way_s: float) -> None:
    """Carry packets between two TUN devices, each `one_way_s` after it has come, until the process is ended."""
    across = {one: other, other: one}
    waiting: deque[tuple[float, int, bytes]] = deque()
    while True:
        left_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select(across, [], [], left_s)
        for device in readable:
            waiting.append((time.monotonic() + one_way_s, across[device], os.read(device, _LARGEST_PACKET)))
        while waiting and waiting[0][0] <= time.monotonic():
            _due_s, device, packet = waiting.popleft()
            os.write(device, packet)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    failure = _failure(*command)
    if failure:
        msg = f"{' '.join(command[:3])}: {failure}"
        raise BenchmarkError(msg)


def _failure(*command: str) -> str:
    """Return what a command says if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{command[0]} is not installed (iproute2)"
    return done.stderr.strip().replace("\n", " ") or "it failed" if done.returncode else ""


def _checked(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        msg = f"network namespaces: {os.strerror(number)}"
        raise BenchmarkError(msg)


if __name__ == "__main__":
    carry(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

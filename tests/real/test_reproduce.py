"""A loss is seen again by a script that anybody can run: with the proxy's program, and without proxyreload.

This is what docs/reproducing.md shows.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import psutil
import pytest

from proxyreload.record.lossfile import COLUMNS

from .command import HOST, TIMEOUT_S, Place
from .proxies import SOZU, binary

RACE = {"failure": "closed before response, reused", "cause": "keep-alive race"}
STALE = {"failure": "status 503", "cause": "stale generation", "kind": "idle", "time": 7_000_000}
CUT = {"failure": "truncated", "cause": "old process killed", "kind": "slow", "fate": "lost_executed"}
REFUSED = {"failure": "refused", "cause": "nobody listened", "kind": "fresh"}
TWICE = {
    "failure": "carried out twice",
    "cause": "repeated by the proxy",
    "kind": "slow",
    "fate": "answered_twice",
    "time": 7_000_000,
}
GONE = {"failure": "status 502", "cause": "backend gone", "kind": "slow", "fate": "lost_executed", "time": 7_000_000}
#: What the script says of such fates.
FATES = {"answered_twice": "carried out 2 times", "lost_executed": "carried out once"}
#: Who is 20 ms away can know of no end when he sends.
NEAR, FAR, KILLED = {"rtt_ms": 0.0}, {"rtt_ms": 20.0}, {"kill_removed": 0.001}
#: A loss that is seen in nearly every change is seen in one of so many.
TIMES = "20"


def bundle(
    place: Place,
    mechanism: str,
    action: str,
    told: Mapping[str, object],
    *,
    rtt_ms: float = 0.0,
    kill_removed: float | None = None,
) -> Path:
    """Write a run with a loss, and return the folder that is made of it."""
    change: dict[str, Any] = {
        "number": 1,
        "action": action,
        "instance": "2" if action == "add" else "0",
        "mechanism": mechanism,
        "requested_us": 1_000_000,
        "applied_us": 1_100_000,
        "effective_us": 1_200_000,
        "error": None,
        "verdict": "lossy",
        "reasons": [],
        "exchanges": 9,
        "failures": {"it": 1},
    }
    counts = ("exchanges", "success", "failure", "front_changed", "back_changed")
    plugin, _colon, name = mechanism.partition(":")
    run = {
        "format": 2,
        "finished": True,
        "plugin": plugin,
        "mechanism": name,
        "url": f"http://proxyreload.test:{place.front_port}/",
        "options": {
            "losses": "losses.csv",
            "first_port": place.first_port,
            "timeout": 5.0,
            "stop_removed": 1.0,
            "kill_removed": kill_removed,
        },
        "scenario": {"backends": [0, 1]},
        "traffic": [{"kind": "get", "clients": 10, "rtt_ms": rtt_ms}],
        "proxy_version": "as told",
        "changes": [change],
        "summary": {**dict.fromkeys(counts, 9), "verdict": "lossy", "latency": {}},
    }
    loss = {
        "time": 1_012_300,
        "client": 3,
        "kind": "get",
        "request": 7,
        "front port": 40000,
        "connection": 0,
        "carried": 7,
        "idle us": 5000,
        "fate": "lost_never_arrived",
        "change": 1,
        "since change us": 12_000,
        **told,
    }
    place.write("run.json", json.dumps(run))
    row = ",".join(f'"{loss.get(column, "")}"' for column in COLUMNS)
    place.write("losses.csv", f"{','.join(COLUMNS)}\n{row}\n")
    return unpacked(place)


def unpacked(place: Place) -> Path:
    """Make the archive of the first loss, and return the folder that comes out of it somewhere else."""
    result = place.run("reproduce", "run.json", "--loss", "1")
    assert (result.status, result.stderr) == (0, "")
    elsewhere = place.folder / "elsewhere"
    with tarfile.open(place.folder / "proxyreload-loss-1.tar.gz") as archive:
        archive.extractall(elsewhere, filter="data")
    return elsewhere / "proxyreload-loss-1"


def start(place: Place, folder: Path, program: Path | str, *words: str) -> "subprocess.Popen[str]":
    """Start the script with a Python that has nothing but its standard library."""
    command = [sys.executable, "-I", "-S", str(folder / "reproduce.py"), "--program", str(program), *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(place.temp)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(place: Place, folder: Path, program: Path | str, *words: str) -> tuple[int, str, str]:
    """Run it to its end, and see that nothing is left of it."""
    process = start(place, folder, program, *words)
    try:
        said, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    until_nothing_is_left(place)  # who was killed takes a moment to be gone
    return process.returncode, said, errors


def left(place: Place) -> tuple[Sequence[str], Sequence[str]]:
    """Return the processes and the folders of a script that are still there."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            cwd = process.cwd()
            if process.status() != psutil.STATUS_ZOMBIE and (str(place.temp) in cwd or str(place.folder) in cwd):
                processes.append(" ".join(process.cmdline()))
    return processes, [path.name for path in place.temp.glob("reproduce-*")]


@pytest.mark.parametrize(
    ("mechanism", "action", "told", "how"),
    [
        ("nginx:reload", "remove", TWICE, KILLED),
        ("nginx:restart", "add", REFUSED, NEAR),
        ("haproxy:reload", "add", RACE, FAR),
        ("haproxy:reload-idle", "remove", STALE, NEAR),
        ("haproxy:hard", "remove", CUT, NEAR),
        ("haproxy:master-worker", "add", RACE, FAR),
        ("caddy:api", "remove", RACE, FAR),
        ("caddy:load", "add", RACE, FAR),
        pytest.param("sozu:upgrade", "add", RACE, FAR, marks=SOZU.marks),
        ("traefik:file", "remove", GONE, KILLED),
        ("envoy:file", "remove", {**GONE, "failure": "status 503"}, KILLED),
    ],
)
def test_a_loss_is_seen_again(
    place: Place, mechanism: str, action: str, told: Mapping[str, object], how: Mapping[str, float]
) -> None:
    folder = bundle(place, mechanism, action, told, **how)
    plugin = mechanism.partition(":")[0]
    status, said, errors = run(place, folder, binary(plugin), "--times", TIMES)
    assert (status, errors) == (1, ""), said
    assert FATES.get(str(told.get("fate")), "never arrived") in said
    assert said.splitlines()[-1].startswith("seen in change ")


def test_a_loss_of_a_run_is_seen_again(place: Place) -> None:
    words = ("--plugin", "nginx:reload", "--traffic", "get=10,aimed=200", "--repeat", "3", "--pace", "0.3")
    for _run in range(10):  # whether one of six changes meets a request is chance
        if place.run(*words, *place.ports).summary["causes"].get("keep-alive race"):
            break
    folder = unpacked(place)
    assert "cause: keep-alive race" in (folder / "README.md").read_text(encoding="utf-8")
    status, said, errors = run(place, folder, binary("nginx"), "--times", TIMES)
    assert (status, errors) == (1, ""), said


@pytest.mark.parametrize(
    ("mechanism", "action", "told", "sent"),
    [
        ("nginx:reload-min-timeout", "add", RACE, 0),
        ("haproxy:reload-redispatch", "remove", STALE, 20),
    ],
)
def test_with_what_helps_it_is_not_seen(
    place: Place, mechanism: str, action: str, told: Mapping[str, object], sent: int
) -> None:
    folder = bundle(place, mechanism, action, told)
    status, said, errors = run(place, folder, binary(mechanism.partition(":")[0]), "--times", "1", "--free-ports")
    assert (status, errors) == (0, "")
    assert f": {sent} requests sent, 0 lost\n" in said
    assert said.splitlines()[-1] == "not seen in 1 change"


def test_a_post_is_carried_out_by_nobody_either(place: Place) -> None:
    folder = bundle(place, "nginx:reload", "remove", {**RACE, "kind": "post"}, rtt_ms=20.0)
    status, said, errors = run(place, folder, binary("nginx"), "--times", TIMES)
    assert (status, errors) == (1, ""), said


def may_capture() -> bool:
    """Say whether whoever runs these tests may hear packets: root, mostly."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


NOT_PERMITTED = "reproduce.py: --capture: Operation not permitted; it takes root, or the capability CAP_NET_RAW\n"


def test_the_packets_of_the_change_are_kept_by_who_may_hear_them(place: Place) -> None:
    folder, file = bundle(place, "nginx:reload", "add", RACE, rtt_ms=20.0), place.folder / "kept.pcapng"
    status, said, errors = run(place, folder, binary("nginx"), "--times", TIMES, "--capture", str(file))
    if not may_capture():
        assert (status, errors, file.exists()) == (2, NOT_PERMITTED, False)
        return
    assert (status, errors) == (1, ""), said
    found = re.search(r"the first: .* from port (\d+) ", said)
    assert found is not None, said
    port = int(found[1])
    packets = [packet for packet in packets_in(file) if port in (packet.source, packet.destination)]
    sent = [packet for packet in packets if packet.source == port]
    assert sum(packet.flags == SYN for packet in sent) == 1  # nothing is there twice
    (at_rest, *lost) = [packet for packet in sent if packet.data.startswith(b"GET / HTTP/1.1\r\n")]
    ends = [packet for packet in packets if packet.destination == port and packet.flags & (FIN | RST)]
    assert ends
    if not lost:  # on a busy machine the reset may be there when it is to be written
        assert ends[-1].flags & RST
        return
    assert at_rest.data.startswith(lost[0].data[:16])
    assert b"Reproduce-Request: " in lost[0].data
    assert not any(packet.data for packet in packets[packets.index(lost[0]) :] if packet.destination == port)
    assert [packet.at_ns for packet in packets] == sorted(packet.at_ns for packet in packets)


FIN, SYN, RST = 1, 2, 4


class Packet(NamedTuple):
    """One TCP segment over IPv4."""

    at_ns: int
    source: int
    destination: int
    flags: int
    data: bytes


def packets_in(file: Path) -> list[Packet]:
    """Read a file of packets: blocks of sections, interfaces and packets, with their length before and after them."""
    content, packets, at = file.read_bytes(), [], 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        assert content[at + length - 4 : at + length] == content[at + 4 : at + 8]
        if kind == 6:
            high, low, size = struct.unpack_from("<III", content, at + 12)
            frame = content[at + 28 : at + 28 + size]
            segment = 14 + 4 * (frame[14] & 15)
            source, destination = struct.unpack_from(">HH", frame, segment)
            data = frame[segment + 4 * (frame[segment + 12] >> 4) :]
            packets.append(Packet(high << 32 | low, source, destination, frame[segment + 13], data))
        at += length
    assert packets
    return packets


#: Python that gives up the right to hear packets, and goes on with other words.
WITHOUT_THE_RIGHT = (
    "import ctypes, os, sys; "
    "ctypes.CDLL(None).prctl(24, 13, 0, 0, 0); "  # PR_CAPBSET_DROP, CAP_NET_RAW: with it goes what an exec gives root
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def test_who_may_not_hear_packets_is_told_so_before_anything_starts(place: Place) -> None:
    folder, file = bundle(place, "nginx:reload", "add", RACE), place.folder / "kept.pcapng"
    words = ["-I", "-S", str(folder / "reproduce.py"), "--program", str(binary("nginx")), "--capture", str(file)]
    command = [sys.executable, "-c", WITHOUT_THE_RIGHT, *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (result.returncode, result.stderr, file.exists()) == (2, NOT_PERMITTED, False)
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_ends_what_it_has_started(place: Place, number: int) -> None:
    folder, file = bundle(place, "nginx:reload-min-timeout", "add", RACE), place.folder / "kept.pcapng"
    process = start(place, folder, binary("nginx"), *(["--capture", str(file)] if may_capture() else []))
    try:
        until(place, lambda: any("nginx: " in each for each in left(place)[0]))
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == (-number if number == signal.SIGKILL else 130)
        until_nothing_is_left(place)
        assert number == signal.SIGKILL or not file.exists()
    finally:
        process.kill()
        process.communicate()


def loaded(folder: Path) -> ModuleType:
    """Return the script as a module, which does nothing yet."""
    spec = spec_from_file_location("script", folder / "reproduce.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_who_was_started_at_the_last_moment_is_found_by_where_it_is_at_home(place: Place) -> None:
    script = loaded(bundle(place, "nginx:reload", "add", RACE))
    home = place.folder / "home"
    home.mkdir()
    with subprocess.Popen(["sleep", "100"], cwd=home, start_new_session=True) as process:
        assert script.processes_in(home) == {process.pid}
        script.end(process.pid)
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL
    assert script.processes_in(home) == set()


def test_a_signal_that_comes_while_a_process_is_started_ends_the_script_after_that(place: Place) -> None:
    signals = loaded(bundle(place, "nginx:reload", "add", RACE)).Signals()
    done = []

    def start() -> None:
        with signals:
            signals.came(signal.SIGTERM, None)
            done.append("known")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done == ["known"]
    with pytest.raises(KeyboardInterrupt):
        signals.came(signal.SIGTERM, None)


def until_nothing_is_left(place: Place) -> None:
    """Wait for the end of all that was started."""
    until(place, lambda: left(place) == ([], []))


def until(place: Place, holds: Any) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, left(place)
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("program", "words", "why"),
    [
        ("no-such-proxy", [], "no-such-proxy: no such program"),
        ("true", [], "has ended; it said:"),
        ("true", ["--times", "0"], "a whole number from 1 to 1000, not '0'"),
        ("true", ["--connections", "x"], "a whole number from 1 to 1000, not 'x'"),
        ("true", ["more"], "unrecognized arguments: more"),
    ],
)
def test_what_it_cannot_do_it_says(place: Place, program: str, words: list[str], why: str) -> None:
    status, _said, errors = run(place, bundle(place, "nginx:reload", "add", RACE), program, *words)
    assert status == 2
    assert why in errors
    assert "Traceback" not in errors


def test_without_its_configuration_it_has_seen_nothing(place: Place) -> None:
    folder = bundle(place, "nginx:reload", "add", RACE)
    (folder / "configuration" / "before" / "nginx.conf").unlink()
    (folder / "configuration" / "before").rmdir()
    status, _said, errors = run(place, folder, binary("nginx"))
    assert status == 2
    assert errors.startswith("reproduce.py: ")
    assert errors.count("\n") == 1


def test_a_port_that_is_taken_is_named(place: Place) -> None:
    folder = bundle(place, "nginx:reload", "add", RACE)
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        text = (folder / "reproduce.py").read_text(encoding="utf-8")
        (folder / "reproduce.py").write_text(text.replace(f"'front': {place.front_port}", f"'front': {port}"))
        status, _said, errors = run(place, folder, "true")
    assert status == 2
    assert f"port {port}: Address already in use (--free-ports takes others)" in errors

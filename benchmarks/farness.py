"""Whether ``--rtt`` is as good as a real way: `python -m benchmarks.farness`, as root.

The same twenty clients and an nginx that is reloaded under them: with packets delayed between two network namespaces
(by netem, or see `ways`), through a relay that delays both directions (`relay`), and with ``--rtt``.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import attrs

from benchmarks.logs import rows
from benchmarks.memory import Rows
from benchmarks.ours import program
from benchmarks.processes import HOST, BenchmarkError, end, free_ports, last_words, serving, tell
from benchmarks.rounds import temporary
from benchmarks.servers import nginx_program
from benchmarks.table import lines_of
from benchmarks.ways import PROXY, netem_lacks, way
from proxyreload.record.csvfile import COLUMNS

CLIENTS = 20
#: Between two requests, drawn: else they would fall into step.
GAP_S = (0.0, 0.01)
#: Between two reloads each client has so many exchanges, and there are so many seconds, at least.
_EXCHANGES, _PAUSE_S = 10, 0.5
_LOOK_S = 0.02
_NGINX = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 0.0.0.0:{port};
        location / { return 200 "a static answer\\n"; }
    }
}
"""


@attrs.frozen
class Front:
    """An nginx, and how its clients reach it."""

    url: str
    nginx: int  #: its master's pid
    rtt_ms: float = 0  #: of the clients' delay line
    place: Callable[[], AbstractContextManager[None]] = nullcontext  #: where the clients are started


@contextmanager
def by_packets(folder: Path, rtt_ms: float) -> Iterator[Front]:
    """Delay the packets between clients and nginx."""
    port = free_ports()
    with way(rtt_ms / 2) as between, _nginx(folder, port, between.proxy.inside) as nginx:
        yield Front(f"http://{PROXY}:{port}/", nginx, place=between.clients.inside)


@contextmanager
def by_relay(folder: Path, rtt_ms: float) -> Iterator[Front]:
    """Put a relay between clients and nginx that delays both directions."""
    port = free_ports(2)
    words = [str(word) for word in (port + 1, port, rtt_ms / 2000)]
    with _nginx(folder, port) as nginx:
        relay = subprocess.Popen([sys.executable, "-m", "benchmarks.relay", *words], cwd=Path(__file__).parents[1])
        try:
            yield Front(f"http://{HOST}:{port + 1}/", nginx)
        finally:
            end(relay)


@contextmanager
def by_line(folder: Path, rtt_ms: float) -> Iterator[Front]:
    """Let the clients have a delay line, on the loopback."""
    port = free_ports()
    with _nginx(folder, port) as nginx:
        yield Front(f"http://{HOST}:{port}/", nginx, rtt_ms)


WAYS: Mapping[str, Callable[[Path, float], AbstractContextManager[Front]]] = {
    "packets": by_packets,
    "relay": by_relay,
    "--rtt": by_line,
}


@contextmanager
def _nginx(folder: Path, port: int, place: Callable[[], AbstractContextManager[None]] = nullcontext) -> Iterator[int]:
    (folder / "nginx.conf").write_text(_NGINX.replace("{port}", str(port)), "utf-8")
    command = [nginx_program(), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    served = serving(command, port, folder)
    with place():
        process = served.__enter__()
    try:
        yield process.pid
    finally:
        served.__exit__(None, None, None)


@attrs.frozen
class Met:
    """What the clients of one run met."""

    by: str
    rtt_ms: float
    reloads: int
    failures: dict[str, int]
    latencies_us: Sequence[int]  #: from written to the first byte, sorted
    connects_us: Sequence[int]  #: sorted

    @property
    def lost(self) -> int:
        """All failures."""
        return sum(self.failures.values())

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table."""
        classes = ", ".join(f"{number} {name}" for name, number in self.failures.items())
        return (
            f"{self.rtt_ms:g} ms",
            self.by,
            *(f"{at(self.latencies_us, share) / 1000:.2f}" for share in (0, 0.5, 0.99)),
            f"{at(self.connects_us, 0.5) / 1000:.2f}",
            f"{self.lost / self.reloads:.1f}",
            f"{classes or 'none'}; {self.reloads} reloads",
        )


def at(ordered: Sequence[int], share: float) -> int:
    """Return the value below which so much of them lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def meet(by: str, rtt_ms: float, reloads: int) -> Met:
    """Let clients meet an nginx that is reloaded, from so far away, by one of `WAYS`."""
    with temporary() as folder, WAYS[by](folder, rtt_ms) as front:
        made = _driven(folder, front, reloads)
        summary = json.loads((folder / "run.json").read_text("utf-8"))["summary"]
        return Met(by, rtt_ms, made, summary["failures"], *_times(folder / "data.csv"))


def _driven(folder: Path, front: Front, reloads: int) -> int:
    """Run the clients, and reload while they send; returns how often."""
    table = {"kind": "idle", "clients": CLIENTS, "gap": GAP_S, "rtt": front.rtt_ms}
    lines = [f"duration = {2 + reloads}", "[[traffic]]", *(f"{key} = {json.dumps(it)}" for key, it in table.items())]
    (folder / "far.toml").write_text("\n".join(lines) + "\n", "utf-8")
    # The one client beside them sends now and then.
    words = ["--no-backends", "--clients", "1", "--rate", "1", "--no-report", "--log", "none", "--run", "run.json"]
    said = folder / "said"
    with said.open("wb") as output, front.place():
        clients = subprocess.Popen(
            [program(), front.url, *words, "--scenario", "far.toml", "--csv", "data.csv"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        made = _reloaded(folder / "data.csv", clients, front.nginx, reloads)
        if clients.wait() not in (0, 1):
            msg = "the clients' run is not valid"
            raise BenchmarkError(msg, last_words(said))
    finally:
        end(clients)
    return made


def _reloaded(csv: Path, clients: subprocess.Popen[bytes], nginx: int, reloads: int) -> int:
    rows_written, made = Rows(csv), 0
    wanted, not_before_s = _EXCHANGES * CLIENTS, 0.0
    while made < reloads and clients.poll() is None:
        written = rows_written.count()
        if written >= wanted and time.monotonic() >= not_before_s:
            os.kill(nginx, signal.SIGHUP)
            made += 1
            wanted, not_before_s = written + _EXCHANGES * CLIENTS, time.monotonic() + _PAUSE_S
        time.sleep(_LOOK_S)
    if not made:
        msg = "the clients' run was over before the first reload"
        raise BenchmarkError(msg)
    return made


def _times(path: Path) -> tuple[list[int], list[int]]:
    """Return the latencies and the times to connect of the far clients, sorted."""
    names = ("kind", "written", "first byte", "connect")
    column = {name: COLUMNS.index(name) for name in names}
    latencies, connects = [], []
    for row in rows(path):
        kind, written, first_byte, connect = (row[column[name]] for name in names)
        if kind == "idle":
            if written and first_byte:
                latencies.append(int(first_byte) - int(written))
            if connect and written:
                connects.append(int(connect))
    if not latencies or not connects:
        msg = "no far client had an answer"
        raise BenchmarkError(msg)
    return sorted(latencies), sorted(connects)


def table(distances_ms: Sequence[float], reloads: int) -> Iterator[str]:
    """Measure, and give the table's lines."""
    head = ("round trip", "by", "least ms", "p50 ms", "p99 ms", "connect p50 ms", "lost in a reload", "which")
    lacking = netem_lacks()
    lines = []
    for rtt_ms in distances_ms:
        for by in WAYS:
            cells = meet(by, rtt_ms, reloads).cells()
            print("  ".join(cells), file=sys.stderr, flush=True)
            lines.append(cells)
    yield from lines_of(head, lines)
    what = f"two TUN devices, for this kernel has no netem ({lacking})" if lacking else "a veth pair, by tc netem"
    yield f"\nPackets were delayed between {what}."


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.farness", description="--rtt beside real ways")
    parser.add_argument("rtt", nargs="*", type=float, default=(1, 10, 50), help="round trips in ms (1 10 50)")
    parser.add_argument("--reloads", type=int, default=20, help="for each (%(default)s)")
    arguments = parser.parse_args()
    tell("farness", table(arguments.rtt, arguments.reloads))


if __name__ == "__main__":
    main()

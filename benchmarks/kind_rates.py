"""How fast each kind of traffic is on one core, beside peers that are asked for the same."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.h2load import STREAMS, H2loadSays
from benchmarks.ours import Proxyreload, program
from benchmarks.peer import Job, Measured
from benchmarks.peers import find
from benchmarks.processes import BenchmarkError, free_ports
from benchmarks.rounds import Contestant, Rounds, play, temporary
from benchmarks.sections import Bench, Row
from benchmarks.servers import backend, nginx, url
from benchmarks.witness import HeySays, OhaSays, Witness, WrkSays
from proxyreload.traffic.identity import ID_FIELD, KIND_FIELD
from proxyreload.traffic.registry import field_of, kind_named, values_of

#: Bytes of a body that is downloaded, and so fast that no limit is met.
_SIZE, _UNLIMITED = 100_000, 1e9
_POSTED = 1000
#: How each peer is told to open a connection for each request.
_CLOSING = {
    WrkSays.name: ["-H", "Connection: close"],
    HeySays.name: ["-disable-keepalive"],
    OhaSays.name: ["--disable-keepalive"],
}


@attrs.frozen
class Asked:
    """One kind, and what a peer must send to ask for the same."""

    kind: str
    settings: dict[str, float] = attrs.field(factory=dict)
    body: int = 0  #: bytes that each request has
    closes: bool = False  #: whether each request has a connection of its own
    ours_answer: bool = False  #: whether only a backend of ours can answer it
    peers: Sequence[type[Witness]] = (WrkSays, HeySays, OhaSays)

    @property
    def scenario(self) -> str:
        """Return the scenario of clients that send nothing else."""
        settings = "".join(f"{name} = {value}\n" for name, value in self.settings.items())
        return f"backends = [0]\n[[traffic]]\nkind = '{self.kind}'\nclients = 10\n{settings}"

    @property
    def fields(self) -> list[str]:
        """Return the header fields that a backend of ours goes by."""
        if not self.ours_answer:
            return []
        kind = kind_named(self.kind)
        field = field_of(kind, values_of(kind, self.settings.items()))
        return [f"{KIND_FIELD.decode()}: {field.decode()}", f"{ID_FIELD.decode()}: 0-0"]


ASKED = (
    Asked("fresh", closes=True),
    Asked("post", {"size": _POSTED}, body=_POSTED, ours_answer=True),
    Asked("download", {"size": _SIZE, "rate": _UNLIMITED}, ours_answer=True),
    Asked("h2", {"streams": STREAMS}, peers=(H2loadSays,)),
)


@attrs.frozen
class OurKind(Proxyreload):
    """This program with clients of one kind, and one more that hardly sends: a run has one at least.

    What only backends of ours can answer needs some of its own, too; they stand by, and another program's answer.
    """

    asked: Asked = ASKED[0]

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, everything recorded, nothing shown."""
        hosts = ["--backends", "1", "--first-port", str(free_ports())] if self.asked.ours_answer else ["--no-backends"]
        traffic = ["--scenario", job.write("kind.toml", self.asked.scenario), "--clients", "1", "--rate", "1"]
        written = ["--csv", str(job.folder / "log"), "--run", str(job.folder / "run"), "--no-report", "--log", "none"]
        how = ["--h2c"] if H2loadSays in self.asked.peers else []
        return [[self.program, job.url, *how, *hosts, *traffic, "--duration", str(job.seconds), *written]]

    def exchanges(self, summary: Mapping[str, Any]) -> int:
        """Take the kind's."""
        return int(summary["kinds"][self.asked.kind]["exchanges"])


KIND_ROWS = (
    *(
        Row(title.format(peer=peer), f"{kind}: {OurKind.name}", f"{kind}: {peer}")
        for kind, title in (
            ("fresh", "fresh: {peer}, a connection for each request"),
            ("post", f"post: {{peer}}, the same {_POSTED:,} bytes each time"),
            ("download", f"download: {{peer}}, {_SIZE:,} bytes that it does not look at"),
        )
        for peer in (WrkSays.name, HeySays.name, OhaSays.name)
    ),
    # At least 12,000 a second are asked for where h2load had 50,000.
    Row(f"h2: h2load, {STREAMS} streams at once", f"h2: {OurKind.name}", "h2: h2load", 0.24, 0.4),
)


def kinds(bench: Bench) -> Rounds:
    """Each kind that has peers, on one core; on the other nginx, or a backend of ours where only that can answer."""
    parts: list[Rounds] = []
    for asked in ASKED:
        with temporary() as folder, _served(asked, folder, bench) as port:
            parts.append(play(_contestants(asked, url(port), bench), bench.rounds, bench.say))
    rates = [dict(ChainMap(*of_one_round)) for of_one_round in zip(*(part.rates for part in parts), strict=True)]
    return Rounds(rates, dict(ChainMap(*(part.troubles for part in parts))))


@contextmanager
def _served(asked: Asked, folder: Path, bench: Bench) -> Iterator[int]:
    if asked.ours_answer:
        with backend(folder, 0, bench.cores.other) as port:
            yield port
    else:
        with nginx(folder, bench.cores.other, http2=H2loadSays in asked.peers) as (port,):
            yield port


def _contestants(asked: Asked, target: str, bench: Bench) -> list[Contestant]:
    ours = OurKind(program(), asked)

    def measure(folder: Path) -> Measured:
        return ours.measure(Job(target, bench.seconds, (bench.cores.measured,), folder))

    peers = [find(kind) for kind in asked.peers]
    found = [_like(peer, asked, target, bench) for peer in peers if isinstance(peer, Witness)]
    return [Contestant(f"{asked.kind}: {ours.name}", measure), *found]


def _like(peer: Witness, asked: Asked, target: str, bench: Bench) -> Contestant:
    """Let a peer ask for the same as a kind's clients."""

    def measure(folder: Path) -> Measured:
        job = Job(target, bench.seconds, (bench.cores.measured,), folder)
        said = peer.look(job, more_options(peer.name, asked, job))
        if said.errors:
            msg = f"{said.errors} errors in {said.requests} requests"
            raise BenchmarkError(msg)
        return Measured(said.requests, said.seconds)

    return Contestant(f"{asked.kind}: {peer.name}", measure)


def more_options(peer: str, asked: Asked, job: Job) -> list[str]:
    """Return what a peer must be told to ask for a kind's exchanges."""
    options = [word for field in asked.fields for word in ("-H", field)]
    if asked.closes:
        options += {"wrk": ["-H", "Connection: close"], "hey": ["-disable-keepalive"]}.get(
            peer, ["--disable-keepalive"]
        )
    if asked.body and peer == WrkSays.name:
        script = f"wrk.method = 'POST'\nwrk.body = string.rep('x', {asked.body})\n"
        options += ["-s", job.write("post.lua", script)]
    elif asked.body:
        options += ["-m", "POST", "-D", job.write("body", "x" * asked.body)]
    return options

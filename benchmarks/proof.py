"""Time to proof: how long, and how many requests, until a known race is shown, by ours and by peers.

Whoever it is sends to the same proxy, configured, started and changed by the same plugin, once a second at fixed times.
"""

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from statistics import median

import attrs

from benchmarks.loop import Loop, Rows, changing
from benchmarks.peer import Job
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import temporary
from benchmarks.sections import Bench
from benchmarks.servers import url
from benchmarks.witness import Witness, witnesses

TRIES = 10
BOUND_S = 30
#: So many times fewer requests than the best of the peers.
REACH_FOR = 20.0
#: Of one run of a peer that says only at its end whether there was an error: so long there is one change.
STRETCH_S = 1
#: The loop goes on for so much longer than is watched: peers take a while to start, each time.
_LONGER = 3.0
#: Failures that say nothing about the proxy.
_OWN = ("aborted", "own limit")

#: What a run of ours sends by default.
DEFAULT = "proxyreload"
#: And the one kind alone that is made for a race.
ALONE = "proxyreload, one kind"
_ALONE = ("--rtt", "20", "--clients", "1", "--rate", "1")
_AIMED, _IDLE = "aimed=100", "idle=20"
#: Mechanisms that lose requests, each by a race or a state of its own, and the kind that is made for it.
RACES = {
    "nginx:reload": _AIMED,
    "haproxy:reload": _AIMED,
    "haproxy:reload-idle": _IDLE,
    "caddy:load": _AIMED,
    "sozu:upgrade": _AIMED,
}
#: One that loses nothing: whoever shows a loss there cannot be believed elsewhere. It is watched for so long at most.
CONTROL, _CONTROL_S = "haproxy:runtime", 10
#: What keeps the loop going beside a peer: a run needs one client of its own.
_BESIDE = ("--traffic", "get=1", "--rate", "10")


@attrs.frozen
class Proving:
    """How long it is tried."""

    tries: int = TRIES
    bound_s: int = BOUND_S

    def bound_of(self, race: str) -> int:
        """Return how long one try goes on."""
        return min(self.bound_s, _CONTROL_S) if race == CONTROL else self.bound_s


@attrs.frozen
class Try:
    """One try: until the first loss was shown, or until the bound."""

    shown: bool
    seconds: float
    requests: int


@attrs.frozen
class Proof:
    """All tries of one program at one race."""

    race: str
    name: str
    tries: tuple[Try, ...]

    @property
    def shown(self) -> int:
        """In how many it was shown."""
        return sum(each.shown for each in self.tries)

    @property
    def seconds(self) -> float:
        """The median of the seconds; a try that showed nothing counts as never."""
        return median(each.seconds if each.shown else inf for each in self.tries)

    @property
    def requests(self) -> float:
        """The median of the requests, likewise."""
        return median(each.requests if each.shown else inf for each in self.tries)

    @property
    def sent(self) -> float:
        """The median of the requests, shown or not: so many are too few, where it was not."""
        return median(each.requests for each in self.tries)


@attrs.define
class Proofs:
    """What was measured."""

    proofs: list[Proof] = attrs.field(factory=list)
    troubles: dict[str, str] = attrs.field(factory=dict)  #: by race and program
    missing: Sequence[str] = ()  #: peers that are not installed

    def of(self, race: str, name: str) -> Proof | None:
        """Return one program's proof of one race."""
        return next((each for each in self.proofs if (each.race, each.name) == (race, name)), None)

    def best(self, race: str) -> Proof | None:
        """Return the best of the peers: the fewest requests, or else who sent the most and saw nothing."""
        peers = [each for each in self.proofs if each.race == race and each.name not in (DEFAULT, ALONE)]
        return min(peers, key=lambda each: (each.requests, -each.sent), default=None)


def proofs(bench: Bench, proving: Proving) -> Proofs:
    """Let all have their tries, in turns."""
    peers, missing = witnesses()
    measured = Proofs(missing=missing)
    contestants: dict[str, Callable[[str, Path], Try]] = {
        DEFAULT: _ours(lambda _race: (), bench, proving),
        ALONE: _ours(lambda race: ("--traffic", RACES.get(race, _AIMED), *_ALONE), bench, proving),
        **{peer.name: _theirs(peer, bench, proving) for peer in peers},
    }
    for race in (CONTROL, *RACES):
        tries: dict[str, list[Try]] = {name: [] for name in contestants}
        for number in range(proving.tries):
            for name, attempt in contestants.items():
                _attempt(race, name, attempt, tries[name], measured, bench, number)
        measured.proofs += [Proof(race, name, tuple(each)) for name, each in tries.items() if each]
    return measured


def _attempt(
    race: str,
    name: str,
    attempt: Callable[[str, Path], Try],
    tries: list[Try],
    measured: Proofs,
    bench: Bench,
    number: int,
) -> None:
    try:
        with temporary() as folder:
            tries.append(attempt(race, folder))
        outcome = f"{'shown' if tries[-1].shown else 'never'}  {tries[-1].seconds:6.2f} s  {tries[-1].requests:9,}"
    except BenchmarkError as error:
        measured.troubles[f"{name} at {race}"] = str(error)
        outcome = f"{error}  {error.said}"
    bench.say(f"try {number + 1:2}  {race:20} {name:26} {outcome}")


def _ours(traffic: Callable[[str], Sequence[str]], bench: Bench, proving: Proving) -> Callable[[str, Path], Try]:
    def attempt(race: str, folder: Path) -> Try:
        bound_s = proving.bound_of(race)
        with changing(race, traffic(race), bound_s * _LONGER, folder, *bench.cores.both) as loop:
            loop.wait_for(failure=True, limit_s=bound_s)
        return first_loss(loop.log, bound_s)

    return attempt


def first_loss(log: Path, bound_s: float) -> Try:
    """Return when the rows have the first loss, and how many requests had been sent by then; whole rows, all there."""
    rows = list(Rows(log).more())
    own = next((row["failure"] for row in rows if row["failure"] in _OWN), "")
    if own:
        msg = f"a failure of its own: {own}"
        raise BenchmarkError(msg)
    lost_us = min((int(row["time"]) for row in rows if row["failure"]), default=None)
    until_us = bound_s * 1e6 if lost_us is None else lost_us
    sent = sum(1 for row in rows if row["written"] and int(row["written"]) <= until_us)
    return Try(lost_us is not None, until_us / 1e6, sent)


def _theirs(peer: Witness, bench: Bench, proving: Proving) -> Callable[[str, Path], Try]:
    def attempt(race: str, folder: Path) -> Try:
        bound_s = proving.bound_of(race)
        with changing(race, _BESIDE, bound_s * _LONGER, folder, *bench.cores.both) as loop:
            return _watched(peer, loop, bench, bound_s)

    return attempt


def _watched(peer: Witness, loop: Loop, bench: Bench, bound_s: int) -> Try:
    """Run a peer again and again until it says that there was an error; most say so only at their end."""
    seconds, requests = 0.0, 0
    while seconds < bound_s:
        length = bound_s if peer.ends_itself else STRETCH_S
        with temporary() as folder:
            said = peer.look(Job(url(loop.port), length, bench.cores.both, folder, peer.connections))
        loop.require_alive()
        if not said.requests or not said.seconds:
            msg = "it has sent nothing"
            raise BenchmarkError(msg)
        seconds, requests = seconds + said.seconds, requests + said.requests
        if said.errors:
            return Try(shown=True, seconds=seconds, requests=requests)
    return Try(shown=False, seconds=seconds, requests=requests)

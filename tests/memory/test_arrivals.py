"""Arrivals beside answers, for each kind: what a proxy does by itself with a request that it could repeat."""

import json
from pathlib import Path

from proxyreload.history.events import Arrival, Ended, Exchange, Started
from proxyreload.record.runfile import RunFile
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import Observation, observe

from .clocks import START_NS
from .happened import exchange

KINDS = {"0": "get", "1": "slow", "p2": "fresh"}


def arrival(request_id: str, *, again: bool = False) -> Arrival:
    return Arrival("0", request_id, 50000, 0, START_NS + 1, again=again)


def seen(*arrivals: Arrival) -> Observation:
    exchanges = [exchange(), exchange(client=1, kind="slow", plain=False), exchange(client=1, number=1, kind="slow")]
    return observe(
        [
            (Started, [Started(START_NS, KINDS)]),
            (Arrival, arrivals),
            (Exchange, exchanges),
            (Ended, [Ended(START_NS + 10)]),
        ]
    )


def told(observation: Observation, folder: Path) -> dict[str, object]:
    file = RunFile(folder / "run.json")
    file.open({"proxy_version": "1"})
    file.finish(observation, judge(observation))
    kinds = json.loads(file.path.read_text(encoding="utf-8"))["summary"]["kinds"]
    return {kind: each["arrivals"] for kind, each in kinds.items()}


REPEATED = [arrival("0-0"), arrival("1-0"), arrival("1-0"), arrival("1-1"), arrival("1-1", again=True)]


def test_each_is_counted_once_with_its_clients_kind(tmp_path: Path) -> None:
    observation = seen(*REPEATED, arrival("p2-0"))
    assert observation.arrivals_by_kind == {"get": 1, "slow": 3, "fresh": 1}
    assert told(observation, tmp_path) == {"get": 1, "slow": 3}


def test_who_is_none_of_our_clients_is_of_no_kind() -> None:
    assert seen(arrival("9-0"), arrival("b0-0"), arrival(""), arrival("odd")).arrivals_by_kind == {}


def test_of_other_peoples_backends_nobody_knows(tmp_path: Path) -> None:
    assert told(seen(), tmp_path) == {"get": None, "slow": None}

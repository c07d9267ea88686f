"""What is tried once through the proxy, what of it is a refusal, and what becomes of a kind that is refused."""

from collections.abc import Sequence
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred

from proxyreload.history.events import Exchange
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.plan.traffic import Group, from_table, group, quiet_mix
from proxyreload.run import tries as module
from proxyreload.run.tries import Tries
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.registry import kind_named

from .clocks import result_of
from .happened import exchange

GROUPS = tuple(group(kind_named(name), 3, rtt_s=0.02) for name in ("post", "idle", "websocket", "h2", "aimed"))
REFUSED = attrs.evolve(exchange(), failure="status 413", message="Too Large", instance="")
FINE = attrs.evolve(exchange(), failure="", message="")


@attrs.define
class Front:
    """Answers each time as the test says, by the sort of what is tried; of what it does not know, well."""

    answers: dict[str, list[Exchange | None]]
    asked: list[list[Group]] = attrs.field(factory=list)

    async def once(self, groups: Sequence[Group]) -> list[Exchange | None]:
        self.asked.append(list(groups))
        return [self.answers[each.sort].pop(0) if each.sort in self.answers else FINE for each in groups]

    @property
    def sorts(self) -> list[list[str]]:
        return [[each.sort for each in groups] for groups in self.asked]


def refused(monkeypatch: pytest.MonkeyPatch, front: Front, groups: Sequence[Group] = GROUPS) -> dict[str, str]:
    monkeypatch.setattr(Tries, "_once", lambda _tries, asked: front.once(asked))
    nothing = cast(Any, None)
    tries = Tries(nothing, lambda: 0, nothing, Target.front(8080), nothing, from_numbered_backend, 5.0)
    return result_of(Deferred.fromCoroutine(tries.refused(groups)))


def test_what_is_answered_like_any_get_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front({})
    assert refused(monkeypatch, front) == {}
    assert front.sorts == [["post", "websocket", "h2 over HTTP/2"]]


def test_nobody_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front({})
    assert refused(monkeypatch, front, [group(kind_named("idle"), 1)]) == {}
    assert front.asked == []


def test_only_what_fails_each_time_is_refused_in_the_words_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    late = attrs.evolve(FINE, failure="timeout", message="no answer after 5 s")
    front = Front({"post": [late, REFUSED], "websocket": [late, FINE]})
    assert refused(monkeypatch, front) == {
        "post": "this configuration does not carry it: status 413: Too Large",
    }
    assert front.sorts == [["post", "websocket", "h2 over HTTP/2"], ["post", "websocket"]]


@pytest.mark.parametrize(
    "failure",
    ["wrong body", "truncated", "reset mid-response", "message lost", "own limit", "aborted", "turned away", ""],
)
def test_what_damages_an_answer_or_is_our_own_doing_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    odd = attrs.evolve(FINE, failure=failure)
    assert refused(monkeypatch, Front({"post": [odd, odd]})) == {}


def test_what_came_to_nothing_is_left_to_the_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, Front({"post": [None, None]})) == {}


@pytest.mark.parametrize(
    ("failure", "message", "instance", "said"),
    [
        ("status 426", "Upgrade\x1b[2J Required", "", "status 426: Upgrade\\x1b[2J Required"),
        ("status 200", "", "2", "backend 2: status 200"),
        ("malformed response", "FRAME_SIZE_ERROR: a frame of 4740180 bytes", "", "an answer in HTTP/1"),
    ],
)
def test_the_reason_is_what_came_printable_and_bounded(
    monkeypatch: pytest.MonkeyPatch, failure: str, message: str, instance: str, said: str
) -> None:
    each = attrs.evolve(FINE, failure=failure, message=message, instance=instance)
    told = refused(monkeypatch, Front({"websocket": [each, each]}))
    assert told["websocket"].endswith(said)
    long = attrs.evolve(each, message="x" * 10_000)
    assert len(refused(monkeypatch, Front({"websocket": [long, long]}))["websocket"]) <= 201


def test_one_exchange_is_as_much_as_the_runs_own_and_sooner_over() -> None:
    upload = from_table({"kind": "upload", "clients": 9, "rtt": 50, "every": 0.1, "length": 5, "rate": 3})
    tried = module._soon_over(upload)
    assert (tried.clients, tried.rtt_s, tried.rate_per_s) == (1, 0.0, None)
    pieces = [sum(1 for _piece in each.kind.client(each.values).pieces(b"1-1") or ()) for each in (upload, tried)]
    assert pieces[0] == pieces[1] > 1
    assert tried.lasts_s < 0.1 < upload.lasts_s
    forever = module._soon_over(from_table({"kind": "websocket", "every": 0.001, "length": 86_400}))
    assert forever.lasts_s <= 1
    large = module._soon_over(from_table({"kind": "post", "size": 1_000_000}))
    assert large.values["size"] == 1_000_000


def test_what_was_refused_is_left_out_asked_for_or_not_and_told_with_the_reason() -> None:
    mix = Settings(Target.front(8080), default(), load=LoadSettings(groups=(*quiet_mix(hosted=True), *GROUPS)))
    found = mix.without({"post": "status 413", "slow over HTTP/2": "no HTTP/2"})
    assert {each.kind.name for each in mix.groups} - {each.kind.name for each in found.groups} == {"post"}
    assert found.left_out["post"] == "status 413"
    traffic = cast(list[dict[str, object]], found.as_run()["traffic"])
    assert {"kind": "post", "clients": 0, "cannot": "status 413"} in traffic
    assert (found.refused, mix.refused) == ({"post": "status 413"}, {})

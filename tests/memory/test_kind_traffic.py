"""Who sends what: the texts of ``--traffic``, and the tables of a scenario."""

from collections.abc import Mapping
from random import Random
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from proxyreload.client.client import Client
from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.dialogue import Dialogue
from proxyreload.client.load import BEGIN_WITHIN_S, Load
from proxyreload.client.request import KindRequest, prepare
from proxyreload.client.volley import Aimer
from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.plan.scenario import watching
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.plan.traffic import (
    GROUPS_LIMIT,
    MIX_RTT_S,
    Group,
    beside,
    checked,
    from_table,
    parsed,
    quiet_mix,
    spoken,
)
from proxyreload.run.crowds import Crowds
from proxyreload.service.run_service import _announcement
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.registry import kind_named, kinds

from .clocks import Time, result_of
from .connections import Front

few_examples = settings(max_examples=60)


def told(groups: tuple[Group, ...]) -> list[tuple[str, int, float]]:
    return [(group.kind.name, group.clients, group.rtt_s) for group in groups]


def text(words: str, rtt_s: float = 0.0, *, hosted: bool = True) -> tuple[int | None, list[tuple[str, int, float]]]:
    plain, groups = parsed(words, rtt_s, hosted=hosted)
    return plain, told(groups)


def test_a_table_that_does_not_say_how_many_has_one_and_a_volley_is_a_hundred() -> None:
    assert [from_table({"kind": name}).clients for name in ("idle", "aimed")] == [1, 100]


def test_get_is_the_clients_that_are_asked_for_by_number_and_all_else_are_groups() -> None:
    assert text("get=3,idle=2, post=1 ") == (3, [("idle", 2, 0), ("post", 1, 0)])
    assert text("idle=2") == (None, [("idle", 2, 0)])


def test_get_without_a_number_is_those_that_are_asked_for_and_no_more() -> None:
    assert text("get") == (None, [])
    assert text("get,idle=2") == (None, [("idle", 2, 0)])
    with pytest.raises(UsageError, match="KIND=CLIENTS"):
        text("get", 0.02)


def test_a_second_group_of_get_is_beside_the_first() -> None:
    assert text("get=3,get=4") == (3, [("get", 4, 0)])


def test_those_that_are_far_away_are_a_group_also_of_get() -> None:
    assert text("get=3,idle=2", 0.05) == (None, [("get", 3, 0.05), ("idle", 2, 0.05)])


def test_all_is_the_quiet_mix_at_its_own_distance() -> None:
    plain, groups = parsed("get=3,all", 0.0, hosted=True)
    assert plain == 3
    assert groups == quiet_mix(hosted=True)
    assert {group.rtt_s for group in groups} == {MIX_RTT_S}


def test_the_mix_has_every_kind_but_that_of_the_probe() -> None:
    assert {group.kind.name for group in quiet_mix(hosted=True)} == set(kinds()) - {"fresh"}


IDLE = Group(kind_named("idle"), 2)


@pytest.mark.parametrize(
    ("asked", "of_the_scenario", "ours", "sent"),
    [
        (None, None, True, quiet_mix(hosted=True)),
        (None, None, False, ()),
        ((), None, True, ()),
        (None, (), True, ()),
        ((IDLE,), None, True, (IDLE,)),
        (None, (IDLE,), False, (IDLE,)),
        ((IDLE,), (IDLE,), True, (IDLE, IDLE)),
    ],
)
def test_where_nobody_says_what_is_sent_it_is_the_mix_if_the_changes_are_ours(
    asked: tuple[Group, ...] | None, of_the_scenario: tuple[Group, ...] | None, *, ours: bool, sent: tuple[Group, ...]
) -> None:
    assert beside(asked, of_the_scenario, ours=ours, hosted=True) == sent


def test_what_is_sent_is_said_by_distance() -> None:
    groups = (IDLE, attrs.evolve(IDLE, rtt_s=0.02), attrs.evolve(IDLE, kind=kind_named("post"), rtt_s=0.02))
    everyone = LoadSettings(clients=10, groups=groups).everyone
    assert spoken(everyone) == "get=10, idle=2; 20 ms away: idle=2, post=2"
    assert spoken(everyone, tls=True) == "get=10, idle=2; 20 ms away: idle=2, post=2; over TLS"


def test_of_other_peoples_backends_it_has_what_anyone_answers() -> None:
    assert [group.kind.name for group in quiet_mix(hosted=False)] == ["get", "aimed", "h2", "idle"]
    assert parsed("all", 0.0, hosted=False)[1] == quiet_mix(hosted=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "no kind ''; there are: aimed, "),
        ("get=3,", "no kind ''; there are: aimed, "),
        ("=3", "no kind ''; there are: aimed, "),
        ("all=3", "no kind 'all'; there are: "),
        ("GET=3", "no kind 'GET'; there are: "),
        ("\x1b[2J=1", r"no kind '\x1b[2J'; there are: "),
        ("idle", "--traffic takes KIND=CLIENTS, a comma between two, or all, not 'idle'"),
        ("get=", "--traffic get takes a whole number from 1 to 10000, not ''"),
        ("get=0", "--traffic get takes a whole number from 1 to 10000, not '0'"),
        ("get=-1", "--traffic get takes a whole number from 1 to 10000, not '-1'"),
        ("get=1.5", "--traffic get takes a whole number from 1 to 10000, not '1.5'"),
        ("get=10001", "--traffic get takes a whole number from 1 to 10000, not '10001'"),
        ("get=" + "9" * 5000, "--traffic get takes a whole number from 1 to 10000, not "),
        ("get=1=2", "--traffic get takes a whole number from 1 to 10000, not '1=2'"),
        (",".join(["idle=1"] * 25), "25 groups of traffic are too many: 24 at most"),
    ],
)
def test_a_text_that_cannot_be_is_refused_in_a_line(words: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed(words, 0.0, hosted=True)
    assert str(error.value).replace("\\\\", "\\").startswith(said)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@given(words=st.text(max_size=60), rtt_s=st.sampled_from([0.0, 0.02]), hosted=st.booleans())
@few_examples
def test_any_text_is_traffic_or_refused(words: str, rtt_s: float, *, hosted: bool) -> None:
    said = ""
    try:
        parsed(words, rtt_s, hosted=hosted)
    except UsageError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize("name", ["post", "slow", "stream", "download", "upload"])
def test_what_only_our_backends_answer_needs_them(name: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed(f"{name}=1", 0.0, hosted=False)
    assert str(error.value) == (
        f"traffic {name} needs backends of ours, which know it: it does not go with --no-backends"
    )
    assert text("get=1,idle=2,fresh=1,aimed=3", hosted=False)[0] == 1


# Tables.


def test_a_table_has_the_keys_of_all_kinds_and_its_own() -> None:
    made = from_table({"kind": "idle", "clients": 3, "rate": 5, "rtt": 20, "gap": [1, 2]})
    assert made == Group(kind_named("idle"), 3, {"gap": (1, 2)}, 5, 0.02)
    assert made.as_run() == {"kind": "idle", "clients": 3, "rate": 5, "rtt_ms": 20.0, "gap": [1, 2]}


def test_what_is_not_said_is_one_client_near_by_as_its_kind_does() -> None:
    made = from_table({"kind": "stream"})
    assert made == Group(kind_named("stream"), 1, {"every": 0.1, "length": 5.0, "streams": 0})


def test_a_rate_is_that_of_the_kind_where_it_has_one() -> None:
    made = from_table({"kind": "download", "rate": 2000})
    assert (made.rate_per_s, made.values["rate"]) == (None, 2000)
    assert made.as_run()["rate"] == 2000


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "kind must be one of: aimed, download, "),
        ({"kind": 3}, "kind must be one of: aimed, download, "),
        ({"kind": ["get"]}, "kind must be one of: aimed, download, "),
        ({"kind": "gopher"}, "no kind 'gopher'; there are: aimed, "),
        ({"kind": "idle", "clients": 0}, "clients takes a whole number from 1 to 10000, not 0"),
        ({"kind": "idle", "clients": 1.0}, "clients takes a whole number from 1 to 10000, not 1.0"),
        ({"kind": "idle", "clients": True}, "clients takes a whole number from 1 to 10000, not True"),
        ({"kind": "idle", "rate": 0}, "rate takes a number from 0.001 to 1000000 requests/s, not 0"),
        ({"kind": "idle", "rate": float("inf")}, "rate takes a number from 0.001 to 1000000 requests/s, not inf"),
        ({"kind": "download", "rate": 1}, "rate takes a number from 1000 to 1000000000, not 1"),
        ({"kind": "idle", "rtt": -1}, "rtt takes a number from 0 to 10000 ms, not -1"),
        ({"kind": "idle", "rtt": "20 ms"}, "rtt takes a number from 0 to 10000 ms, not '20 ms'"),
        ({"kind": "idle", "every": 1}, "unknown key 'every'; idle has: kind, clients, rate, rtt, gap"),
        ({"kind": "get", "x\n": 1}, r"unknown key 'x\n'; get has: kind, clients, rate, rtt"),
        ({"kind": "download", "size": 0}, "size takes a whole number from 1 to 16000000, not 0"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_what_can(table: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        from_table(table)
    assert str(error.value).replace("\\\\", "\\").startswith(said)
    assert str(error.value).isprintable()


def test_so_many_groups_fit_and_no_more() -> None:
    groups = [Group(kind_named("idle"), 1)] * GROUPS_LIMIT
    assert len(checked(groups, hosted=True)) == GROUPS_LIMIT
    with pytest.raises(UsageError, match="25 groups of traffic are too many"):
        checked([*groups, groups[0]], hosted=True)


# The clients that come of it.


def crowds_of(*tables: Mapping[str, Any]) -> tuple[Load, Front]:
    """Return a load that has these groups beside two clients, before a front in memory."""
    time = Time()
    connector = HTTP11Connector(time, "127.0.0.1", 8080, time.ns)  # type: ignore[arg-type]
    crowds = result_of(
        Deferred.fromCoroutine(
            Crowds(connector, Target.parse("http://front.test/x")).of(
                checked([from_table(table) for table in tables], hosted=True)
            )
        )
    )
    for crowd in crowds:
        assert isinstance(crowd.connector, HTTP11Connector)
        assert crowd.connector.careful or crowd.connector.line is not None
    front = Front(time, held=True)
    plain = result_of(Deferred.fromCoroutine(prepare("GET", "http://front.test/x")))
    load = Load(time, time.ns, EventBus(), [front], plain, from_numbered_backend, 2, 4.0, crowds=crowds, seed=7)
    return load, front


def test_numbers_go_on_behind_those_of_the_plain_clients() -> None:
    load, _front = crowds_of({"kind": "idle", "clients": 2, "rtt": 20}, {"kind": "aimed", "clients": 3, "rtt": 20})
    load.start()
    clients = load._clients
    assert [client.number for client in clients] == list(range(7))
    assert [client.kind for client in clients] == ["get"] * 2 + ["idle"] * 2 + ["aimed"] * 3
    assert [client.plain for client in clients] == [True] * 2 + [False] * 5
    assert not any(client.long for client in clients)
    aimers = [client for client in clients if isinstance(client, Aimer)]
    assert len(aimers) == 3
    assert all(aimer.volley is aimers[0].volley for aimer in aimers)
    assert aimers[0].volley.clients == aimers


def begun(load: Load) -> list[int]:
    """Return the numbers of the clients that have begun to send."""
    clients = [client for client in load._clients if isinstance(client, Client)]
    return [client.number for client in clients if client._pending is not None]


@pytest.mark.parametrize("stops", [False, True])
def test_a_crowd_begins_one_after_another_unless_it_is_over_before(*, stops: bool) -> None:
    load, front = crowds_of({"kind": "idle", "clients": 4}, {"kind": "post"})
    load = attrs.evolve(load, crowds=[attrs.evolve(crowd, connector=front) for crowd in load.crowds])
    time = cast(Time, load.reactor)
    load.start()
    assert begun(load) == [0, 1, 2, 6]
    time.advance(BEGIN_WITHIN_S / 4)
    assert begun(load) == [0, 1, 2, 3, 6]
    if stops:
        load.stop()
    time.advance(BEGIN_WITHIN_S)
    assert begun(load) == ([0, 1, 2, 3, 6] if stops else list(range(7)))
    load.abort()
    load.close()


def test_a_load_tells_which_of_its_kinds_are_aimed() -> None:
    load, _front = crowds_of({"kind": "idle"}, {"kind": "aimed", "clients": 3})
    assert load.aimed == {"aimed"}


def test_each_has_an_end_and_a_draw_of_its_own_by_the_runs_seed() -> None:
    load, _front = crowds_of({"kind": "upload", "clients": 2, "rtt": 20})
    load.start()
    first, second = (client for client in load._clients if isinstance(client, Dialogue))
    assert first.end is not second.end
    assert first.long
    assert first.random.random() == Random("7 2").random()
    assert first.random.random() != second.random.random()


@pytest.mark.parametrize(
    ("table", "starts", "has"),
    [
        ({"kind": "post", "size": 3}, b"POST /x HTTP/1.1\r\n", b"\r\nContent-Length: 3\r\n"),
        ({"kind": "upload"}, b"POST /x HTTP/1.1\r\n", b"\r\nTransfer-Encoding: chunked\r\n"),
        ({"kind": "stream"}, b"GET /x HTTP/1.1\r\n", b"\r\nProxyreload-Kind: stream every=0.1 length=5\r\n"),
        ({"kind": "slow", "delay": 3}, b"GET /x HTTP/1.1\r\n", b"\r\nProxyreload-Kind: slow delay=3\r\n"),
        ({"kind": "idle"}, b"GET /x HTTP/1.1\r\n", b"\r\nHost: front.test\r\n"),
    ],
)
def test_a_request_says_what_a_backend_must_know(table: Mapping[str, Any], starts: bytes, has: bytes) -> None:
    load, _front = crowds_of(table)
    [crowd] = load.crowds
    assert isinstance(crowd.prepared, KindRequest)
    request = crowd.prepared.encode(b"3-7")
    assert request.startswith(starts)
    assert has in request
    assert b"\r\nProxyreload-Id: 3-7\r\n\r\n" in request
    assert (b"Proxyreload-Kind" in request) == (table["kind"] != "idle")
    assert request.count(b"Content-Length") == (table["kind"] == "post")


def test_a_run_announces_all_that_it_sends() -> None:
    plain = Settings(Target.front(8080), watching(None), load=LoadSettings(clients=3))
    said = "http://proxyreload.test:8080/; 3 clients and the probe, each sends as soon as it has its answer"
    assert _announcement(plain) == f"{said}; until Ctrl-C; every request is written to data.csv"
    mixed = attrs.evolve(plain, load=attrs.evolve(plain.load, groups=quiet_mix(hosted=True)))
    assert _announcement(mixed).startswith(f"{said}; beside them 20 ms away: get=10, aimed=100, ")

"""A kind that a mechanism cannot carry is *cannot*, with the reason, never left out in silence."""

from typing import Any, cast

import attrs
import pytest

from proxyreload.command import kinds as kinds_module
from proxyreload.command.kinds import list_kinds
from proxyreload.errors import CannotError, UsageError
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.plan.traffic import Group, from_table, group, parsed, quiet_mix
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.registry import Choice
from proxyreload.run.preflight import programs
from proxyreload.terminal.summary import summary_lines
from proxyreload.traffic.registry import kind_named, kinds
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import Observation

from .plugins import BINARY, FakeProxy

WHY = "it keeps a body until it is whole"
ALL = ("HTTP/2", "gRPC", "WebSocket")
PLUGIN = ProxyPlugin(
    "keeper",
    BINARY,
    (
        Mechanism("whole", "", cast(Any, FakeProxy), carries_not={"upload": WHY, "stream": WHY}, carries=ALL),
        Mechanism("through", "", cast(Any, FakeProxy), carries=ALL),
        Mechanism("plain", "", cast(Any, FakeProxy)),
        Mechanism("secure", "", cast(Any, FakeProxy), carries=ALL, only_over_tls={"HTTP/2": "it is shy"}),
        Mechanism("theirs", "", cast(Any, FakeProxy), commanded=True),
    ),
)


def settings_of(groups: tuple[Group, ...], mechanism: int = 0) -> Settings:
    choice = Choice(PLUGIN, PLUGIN.mechanisms[mechanism])
    return Settings(Target.front(8080), default(), choice, load=LoadSettings(groups=groups))


def test_of_the_quiet_mix_only_what_it_carries_is_sent_and_the_rest_is_told_with_the_reason() -> None:
    made = settings_of(quiet_mix(hosted=True))
    sent = {each.kind.name for each in made.groups}
    assert sent == kinds().keys() - {"upload", "stream", "fresh"}
    traffic = cast(list[dict[str, object]], made.as_run()["traffic"])
    assert {each["kind"] for each in traffic if each["clients"]} == sent | {"fresh"}
    told = [each for each in traffic if "cannot" in each]
    assert told == [{"kind": kind, "clients": 0, "cannot": WHY} for kind in ("stream", "upload")]
    assert made.kinds_asked == {"get": ""}


def test_so_is_the_word_all_and_another_mechanism_gets_all_of_it() -> None:
    _plain, groups = parsed("all", 0.0, hosted=True)
    assert settings_of(groups).left_out == {"upload": WHY, "stream": WHY}
    assert settings_of(groups, mechanism=1).left_out == {}
    assert settings_of(groups, mechanism=1).groups == groups


def test_what_is_asked_for_by_name_is_refused_with_the_reason() -> None:
    made = settings_of((group(kind_named("idle"), 3), group(kind_named("upload"), 1)))
    with pytest.raises(CannotError) as raised:
        programs(made)
    assert str(raised.value) == f"keeper:whole cannot carry upload: {WHY}"
    assert isinstance(raised.value, UsageError)


def test_the_terminal_says_so_beside_the_kinds_that_were_sent() -> None:
    observation = Observation()
    lines = summary_lines(observation, judge(observation), "keeper:whole", cannot={"upload": WHY})
    assert f"upload  cannot: {WHY}" in list(lines)


def test_the_list_of_kinds_says_who_carries_each_and_why_who_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    testing = attrs.evolve(PLUGIN, name="toy", testing=True)
    plugins = {"keeper": PLUGIN, "toy": testing, "broken": None}

    def load(point: ProxyPlugin | None) -> ProxyPlugin:
        if point is None:
            msg = "plugin broken cannot be loaded"
            raise UsageError(msg)
        return point

    monkeypatch.setattr(kinds_module, "installed", lambda: plugins)
    monkeypatch.setattr(kinds_module, "load", load)
    assert list_kinds([]) == 0
    said = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: index for index, line in enumerate(said) if line[:1].strip()}
    idle = said[told["idle"] : told["post"]]
    assert idle[-1] == "           carried by keeper"
    upload = said[told["upload"] :]
    assert "           carried by keeper:through, keeper:plain, keeper:secure, keeper:theirs" in upload
    h2 = said[told["h2"] : told["idle"]]
    assert "           keeper:plain cannot: its plugin does not say that it speaks HTTP/2" in h2
    assert "           keeper:secure only with --tls: it is shy" in h2
    assert f"           keeper:whole cannot: {WHY}" in upload
    assert said[-1] == "plugin broken cannot be loaded"
    assert not [line for line in said if "toy" in line]


def test_what_the_clients_rest_is_what_no_time_out_of_a_proxy_may_fire_in() -> None:
    def quiet_s(kind: str, **keys: float) -> tuple[float, float]:
        made = LoadSettings(groups=(from_table({"kind": kind, "clients": 4, **keys}),))
        return made.quiet_s, made.lasts_s

    assert quiet_s("idle", gap=90) == (90, 0)
    assert quiet_s("slow", delay=70) == (70, 70)
    assert quiet_s("upload", every=2, length=100) == (2, 100)
    assert quiet_s("get", rate=0.1) == (40, 0)
    assert LoadSettings(clients=10, rate_per_s=0.05).quiet_s == 200
    assert LoadSettings().quiet_s == 0


def test_what_is_more_than_http11_is_sent_to_a_plugin_that_says_so() -> None:
    left_out = settings_of(quiet_mix(hosted=True), mechanism=2).left_out
    assert set(left_out) == {kind.name for kind in kinds().values() if kind.needs}
    assert left_out["h2"] == "its plugin does not say that it speaks HTTP/2"


def test_what_it_speaks_over_tls_alone_is_left_out_in_the_clear() -> None:
    mix = quiet_mix(hosted=True)
    assert settings_of(mix, mechanism=3).left_out == {"h2": "it is shy"}
    over_tls = attrs.evolve(settings_of(mix, mechanism=3), target=Target.front(8080, tls=True))
    assert over_tls.left_out == {}
    assert over_tls.speaks == {*ALL}


def test_of_somebody_elses_proxy_nobody_knows_and_who_asks_by_name_has_it() -> None:
    mix = settings_of(quiet_mix(hosted=True), mechanism=4)
    assert mix.left_out["websocket"] == "nobody knows whether the proxy speaks WebSocket: ask for it by name"
    asked = settings_of((group(kind_named("websocket"), 1),), mechanism=4)
    assert asked.left_out == {}
    assert asked.speaks == {"WebSocket"}


def test_who_calls_over_grpc_speaks_http2_too() -> None:
    assert settings_of((group(kind_named("grpc"), 1),), mechanism=1).speaks == {"HTTP/2", "gRPC"}


def test_aimed_traffic_over_http2_needs_that() -> None:
    aimed = from_table({"kind": "aimed", "streams": 4})
    assert aimed.needs == "HTTP/2"
    assert from_table({"kind": "aimed"}).needs == ""

"""Targets and settings."""

import itertools
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from proxyreload.errors import UsageError
from proxyreload.plan.scenario import Scenario, default, parse, watching
from proxyreload.plan.settings import (
    BackendSettings,
    CollectorSettings,
    FileSettings,
    LoadSettings,
    Settings,
    Target,
    TlsSettings,
)
from proxyreload.plan.traffic import Group
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.interfaces import Mechanism
from proxyreload.proxy.registry import Choice
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.threshold import PerChange, Threshold

from .plugins import RotatingProxy, plugin


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://example.test/", "example.test", 80, False),
        ("http://example.test:8080/path?query=1", "example.test", 8080, False),
        ("https://example.test", "example.test", 443, True),
        ("http://[::1]:8080/", "::1", 8080, False),
        ("http://example.test/a@b?c@d", "example.test", 80, False),
    ],
)
def test_a_url_names_host_and_port(url: str, host: str, port: int, tls: bool) -> None:  # noqa: FBT001
    target = Target.parse(url)
    assert (target.url, target.host, target.port, target.tls) == (url, host, port, tls)


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("user:secret", b"user:secret"),
        ("user", b"user:"),
        ("user:", b"user:"),
        (":secret", b":secret"),
        ("us%65r:p%40ss%3Aword", b"user:p@ss:word"),
        ("user:a:b", b"user:a:b"),
        ("u@home:x", b"u@home:x"),
        ("%C3%A9:%e6%bc%a2", "é:漢".encode()),
    ],
)
def test_who_asks_is_sent_and_no_part_of_the_url(who: str, told: bytes) -> None:
    target = Target.parse(f"http://{who}@example.test:81/a@b?c")
    assert (target.url, target.host, target.port) == ("http://example.test:81/a@b?c", "example.test", 81)
    kind, value = target.authorization.split(" ")
    assert (kind, b64decode(value)) == ("Basic", told)
    assert target.fields == {"Authorization": target.authorization}
    assert target.authorization not in repr(target)


@pytest.mark.parametrize("url", ["http://example.test/", "http://@example.test/"])
def test_without_anybody_who_asks_nothing_is_sent(url: str) -> None:
    target = Target.parse(url)
    assert (target.url, target.authorization, target.fields) == ("http://example.test/", "", {})


@pytest.mark.parametrize("who", ["user%3Aname:x", "user%0d%0aHost:x", "user:%00", "user:%7f"])
def test_who_cannot_be_sent_is_told_without_being_named(who: str) -> None:
    with pytest.raises(UsageError, match=r"^'http://…@example\.test/': a user's name has no colon in it") as raised:
        Target.parse(f"http://{who}@example.test/")
    assert who not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        *("http://user:secret@", "http://user:secret@/", "http://user:secret@host:port/", "http://user:sec/ret@host/"),
        *(
            "http://user:secret@[::1/",
            "ftp://user:secret@host/",
            "http://user:sec ret@host/",
            "http://user:sec#ret@host/",
        ),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Target.parse(url)
    assert "is not a URL" in str(raised.value)
    assert "sec" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.test", "example.test:8080", "//example.test/", "ftp://example.test/", "http://", "http:///x"),
        *("http://example.test:99999/", "http://example.test:port/", "http://[::1/", "http://exämple.test/"),
        *("http://example.test/a b", "http://example.test/\r\nHost: evil", "http://example.test/\x1b", "unix:/socket"),
    ],
)
def test_what_is_no_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is not a URL"):
        Target.parse(url)


def test_port_0_is_no_port() -> None:
    with pytest.raises(UsageError, match="is not a URL"):
        Target.parse("http://example.test:0/")


def test_a_front_of_ours_is_asked_for_by_a_name_that_resolves_nowhere() -> None:
    target = Target.front(8080)
    assert (target.url, target.host, target.port, target.tls) == (
        "http://proxyreload.test:8080/",
        "127.0.0.1",
        8080,
        False,
    )


def test_a_front_of_ours_may_speak_tls() -> None:
    target = Target.front(8080, tls=True)
    assert (target.url, target.host, target.tls) == ("https://proxyreload.test:8080/", "127.0.0.1", True)
    settings = Settings(target, default(), tls=TlsSettings(front=True), load=LoadSettings(clients=3))
    assert settings.spoken == "get=3; over TLS"
    assert as_run(settings)["options"]["tls"] is True  # type: ignore[index]


def test_without_tls_no_certificate_can_be_changed() -> None:
    choice = Choice(plugin, Mechanism("new", "", cast(Any, RotatingProxy)))
    told = [Settings(Target.front(8080, tls=tls), default(), choice).why_not("rotate") for tls in (True, False)]
    assert told == ["", "the clients speak in the clear, and are shown no certificate"]
    assert Settings(Target.parse("http://x/"), default()).why_not("rotate") == "somebody else runs the proxy"


def as_run(settings: Settings) -> dict[str, object]:
    """Return what stands in ``run.json`` once it is written and read."""
    content: dict[str, object] = json.loads(json.dumps(settings.as_run()))
    return content


def test_the_run_file_has_all_that_is_needed_to_run_it_again() -> None:
    run = as_run(Settings(Target.front(8080), parse("[[step]]\nat = 5\nadd = 2\n[[step]]\npause = 1", "s")))
    assert run["url"] == "http://proxyreload.test:8080/"
    assert run["scenario"] == {
        "title": "s",
        "backends": [0, 1],
        "steps": [{"action": "add", "instance": 2, "at_s": 5.0}, {"action": "pause", "pause_s": 1.0}],
    }


def test_the_run_file_names_backend_0_like_any_other() -> None:
    scenario = as_run(Settings(Target.front(8080), default()))["scenario"]
    assert isinstance(scenario, dict)
    assert [(step["action"], step.get("instance")) for step in scenario["steps"]] == [("add", 2), ("remove", 0)]


def test_the_run_file_has_steps_at_the_very_start() -> None:
    scenario = as_run(Settings(Target.front(8080), parse("[[step]]\nat = 0\nadd = 2", "s")))["scenario"]
    assert isinstance(scenario, dict)
    assert scenario["steps"] == [{"action": "add", "instance": 2, "at_s": 0.0}]


def test_a_run_without_an_end_has_no_duration() -> None:
    options = as_run(Settings(Target.front(8080), watching(None)))["options"]
    assert isinstance(options, dict)
    assert options["duration"] is None


def test_without_backends_of_ours_there_are_none() -> None:
    settings = Settings(Target.front(8080), watching(5.0))
    for hosted, backends in ((True, 4), (False, 0)):
        options = as_run(attrs.evolve(settings, backends=BackendSettings(hosted=hosted)))["options"]
        assert isinstance(options, dict)
        assert (options["backends"], options["host_backends"]) == (backends, hosted)


def test_without_a_plugin_none_is_named() -> None:
    run = as_run(Settings(Target.front(8080), watching(5.0)))
    assert (run["plugin"], run["mechanism"]) == (None, None)


# Nothing is left out.

GROUPS = {
    "load": LoadSettings,
    "backends": BackendSettings,
    "tls": TlsSettings,
    "files": FileSettings,
    "collector": CollectorSettings,
}


#: What stands in ``traffic``, too.
SENT = ("clients", "rate_per_s", "probe_rate_per_s")


def some(kind: Any, number: int) -> Any:
    """Return a value of a field's type, told from any other by its number."""
    made: list[tuple[Any, Any]] = [
        (bool, True),
        (int, number),
        (int | float, number + 0.5),
        (str, f"word-{number}"),
        (Path, Path(f"file-{number}")),
        (Mapping[str, str], {"add": f"command-{number}"}),
        (tuple[str, ...], (f"word-{number}", "more")),
        (tuple[Threshold | PerChange, ...], (PerChange(number),)),
        (Target, Target.front(number)),
        (Scenario, parse(f"duration = {number + 9}\n[[step]]\nat = {number}\nadd = 2", f"scenario-{number}")),
        (tuple[Group, ...], (Group(kind_named("slow"), number, {"delay": 2.0}),)),
        (Choice, Choice(plugin, plugin.mechanisms[0])),
        (Configuration, Configuration.of({"x.cfg": ""}).with_files({"x.cfg": ""}, f"my-{number}.cfg")),
    ]
    for each, value in made:
        if kind in (each, each | None) or (kind in (float, float | None) and each == int | float):
            return value
    pytest.fail(f"a field of a type that this test knows no value of: {kind}")


def all_fields() -> Iterator[tuple[str, str, Any]]:
    """Yield the group, the name and the type of every field; those of `Settings` itself are in no group."""
    for field in attrs.fields(Settings):
        if field.name not in GROUPS:
            known = field.name in ("target", "scenario", "choice")
            assert known or not attrs.has(cast(type, field.type)), "a group that this test does not know"
            yield "", field.name, field.type
    for group, kind in GROUPS.items():
        assert attrs.fields_dict(Settings)[group].type is kind
        for field in attrs.fields(kind):
            if field.repr:  # what is shown nowhere is written down nowhere
                yield group, field.name, field.type


FIELDS = list(all_fields())


def told(settings: Settings) -> dict[str, Any]:
    """Return what stands in ``run.json``, but for the options, and each option."""
    run = as_run(settings)
    options = run.pop("options")
    assert isinstance(options, dict)
    return {**run, **{f"options {name}": value for name, value in options.items()}}


def whole(values: Mapping[tuple[str, str], Any]) -> Settings:
    """Return settings of these values."""
    groups = {
        group: kind(**{name: value for (of, name), value in values.items() if of == group})
        for group, kind in GROUPS.items()
    }
    return Settings(**{name: value for (of, name), value in values.items() if not of}, **groups)


@pytest.mark.parametrize(
    ("group", "name", "kind"), FIELDS, ids=[f"{group}.{name}".strip(".") for group, name, _kind in FIELDS]
)
def test_each_setting_alone_makes_another_run_file(group: str, name: str, kind: Any) -> None:
    settings = Settings(Target.front(8080), default())
    of: Any = getattr(settings, group) if group else settings
    value = some(kind, 77)
    changed = attrs.evolve(of, **{name: (not getattr(of, name)) if kind is bool else value})
    assert getattr(changed, name) != getattr(of, name)
    before, after = told(settings), told(attrs.evolve(settings, **{group: changed}) if group else changed)
    assert before != after
    if group:
        assert before.keys() == after.keys()
        differing = {key for key in before if before[key] != after[key]}
        # Without backends of ours there are none.
        several = {"hosted": {"options host_backends", "options backends"}, "groups": {"traffic"}}
        # Who sends what stands in one place besides.
        several |= {each: {f"options {each.removesuffix('_per_s')}", "traffic"} for each in SENT}
        assert differing == several[name] if name in several else len(differing) == 1


def test_every_setting_stands_in_the_run_file_with_its_value() -> None:
    numbers = itertools.count(1001)
    values = {(group, name): some(kind, next(numbers)) for group, name, kind in FIELDS}
    settings = whole(values)
    run = as_run(settings)
    options = run["options"]
    assert isinstance(options, dict)
    apart = {"target", "scenario", "choice", "command", "groups", "configuration"}
    expected = [
        str(value) if isinstance(value, Path) else list(map(str, value)) if isinstance(value, tuple) else value
        for (_of, name), value in values.items()
        if name not in apart
    ]
    left = [value for name, value in options.items() if name != "duration"]
    for value in expected:
        assert value in left
        left.remove(value)
    assert left == []
    assert run["traffic"] == [
        {"kind": "get", "clients": settings.load.clients, "rate": settings.load.rate_per_s, "rtt_ms": 0.0},
        *(group.as_run() for group in settings.load.groups),
        {"kind": "fresh", "clients": 1, "rate": settings.load.probe_rate_per_s, "rtt_ms": 0.0, "probe": True},
    ]
    assert options["duration"] == settings.scenario.duration_s
    assert run["url"] == settings.target.url
    assert run["command"] == list(settings.command)
    assert (run["plugin"], run["mechanism"]) == (plugin.name, plugin.mechanisms[0].name)
    scenario = run["scenario"]
    assert isinstance(scenario, dict)
    assert scenario["title"] == settings.scenario.title
    assert scenario["backends"] == list(settings.scenario.initial)
    assert len(scenario["steps"]) == len(settings.scenario.steps)


def test_an_option_has_the_name_that_scripts_know() -> None:
    options = as_run(Settings(Target.front(8080), default()))["options"]
    assert isinstance(options, dict)
    assert set(options) == {
        *("duration", "clients", "rate", "timeout", "probe_rate", "seed"),
        *("backends", "host_backends", "backend_host", "first_port", "backend_processes"),
        *("kill_removed", "stop_removed", "wait_old"),
        *(
            "ca",
            "insecure",
            "tls",
            "csv",
            "losses",
            "run",
            "junit",
            "report",
            "report_required",
            "binary",
            "upgrade_to",
            "commands",
            "log",
            "fail_on",
            "summary",
            "annotations",
            "otel",
            "looks_before_changes",
        ),
    }


def test_a_password_in_a_command_of_the_users_is_not_written_down() -> None:
    settings = Settings(Target.front(80), default(), commands={"add": "curl http://me:secret@proxy.test/add"})
    assert as_run(settings)["options"]["commands"] == {"add": "curl http://…@proxy.test/add"}  # type: ignore[index]

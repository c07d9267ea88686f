"""Targets and settings."""

import json

import attrs
import pytest

from proxyreload.errors import UsageError
from proxyreload.plan.scenario import default, parse, watching
from proxyreload.plan.settings import Settings, Target


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://example.test/", "example.test", 80, False),
        ("http://example.test:8080/path?query=1", "example.test", 8080, False),
        ("https://example.test", "example.test", 443, True),
        ("http://[::1]:8080/", "::1", 8080, False),
        ("http://user:secret@example.test:81/", "example.test", 81, False),
    ],
)
def test_a_url_names_host_and_port(url: str, host: str, port: int, tls: bool) -> None:  # noqa: FBT001
    target = Target.parse(url)
    assert (target.url, target.host, target.port, target.tls) == (url, host, port, tls)


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
        options = as_run(attrs.evolve(settings, host_backends=hosted))["options"]
        assert isinstance(options, dict)
        assert options["backends"] == backends


def test_without_a_plugin_none_is_named() -> None:
    run = as_run(Settings(Target.front(8080), watching(5.0)))
    assert (run["plugin"], run["mechanism"]) == (None, None)

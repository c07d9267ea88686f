"""Traefik, changed by each of its mechanisms."""

import pytest

from .command import Place, Result
from .mechanisms import assert_shown, over_us, run, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("file", "rest", "http")
#: With what they are compared.
ALL = ("file", "file-in-place", "rest", "http", "restart")
CHANGES = 10
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.6")

UPGRADE = """\
duration = 5
step = [
    {at = 0.4, add = 2}, {pause = 1}, {upgrade = true}, {pause = 1}, {remove = 0}, {pause = 2},
]
"""

#: A plugin of somebody else, which names a port that is none.
MISTAKEN = """\
from types import SimpleNamespace
import proxyreload_traefik
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithoutPort:
    async def add_backend(self, upstream):
        where = {"host": upstream.host, "port": "none", "address": f"{upstream.host}:none"}
        await super().add_backend(SimpleNamespace(name=upstream.name, instance=upstream.instance, **where))


class File(WithoutPort, proxyreload_traefik.File):
    pass


class Rest(WithoutPort, proxyreload_traefik.Rest):
    pass


class Http(WithoutPort, proxyreload_traefik.Http):
    pass


mechanisms = (
    Mechanism("file", "", File, configuration=proxyreload_traefik.BY_FILE),
    Mechanism("rest", "", Rest, configuration=proxyreload_traefik.BY_REST),
    Mechanism("http", "", Http, configuration=proxyreload_traefik.BY_HTTP),
)
plugin = ProxyPlugin("mistaken", proxyreload_traefik.plugin.binary, mechanisms)
"""


def assert_lossless(result: Result) -> None:
    """Check that the traffic has shown every change, and lost nothing."""
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.summary["failures"] == {}
    assert result.verdict in {"seamless", "graceful"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_take_effect(place: Place, mechanism: str) -> None:
    result = run(place, f"traefik:{mechanism}", "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert_lossless(result)
    assert_shown(result)


def test_the_file_is_what_is_recommended(place: Place) -> None:
    result = place.run("plugins")
    lines = [line for line in result.stdout.splitlines() if line.strip().startswith("traefik:")]
    assert [line.split()[0] for line in lines] == [f"traefik:{mechanism}" for mechanism in ALL]
    assert [line.split()[0] for line in lines if line.endswith("(recommended)")] == ["traefik:file"]


@pytest.mark.parametrize("mechanism", ALL)
def test_a_second_process_takes_over(place: Place, mechanism: str) -> None:
    path = place.write("upgrade.toml", UPGRADE)
    result = run(place, f"traefik:{mechanism}", "--scenario", path)
    made = [(change["action"], change["error"]) for change in result.changes]
    assert made == [("add", None), ("upgrade", None), ("remove", None)]
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful", "racy", "lossy"}
    # The new process is told of the added backend, and of later changes.
    _add, _upgrade, remove = result.changes
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1", "2"}


def test_what_does_not_start_is_not_upgraded_to(place: Place) -> None:
    script = place.write("other", "#!/bin/sh\necho not for me >&2; exit 3\n", mode=0o755)
    path = place.write("upgrade.toml", UPGRADE)
    result = run(place, "traefik:file", "--upgrade-to", script, "--scenario", path)
    add, upgrade, remove = result.changes
    assert (add["error"], remove["error"]) == (None, None)
    assert upgrade["error"].startswith("other exited with status 3; it said: / ")
    assert upgrade["error"].endswith(" / not for me")
    assert remove["verdict"] == "seamless"
    assert (result.verdict, result.summary["failures"]) == ("ineffective", {})


def test_it_has_nothing_to_reload(place: Place) -> None:
    result = place.run("--plugin", "traefik:file", "--repeat", "1", "--change", "reload", *place.ports)
    assert result.status == 2
    assert result.stderr.startswith("proxyreload: traefik:file cannot reload: Traefik has nothing to reload")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_ten_changes_lose_nothing(place: Place, mechanism: str) -> None:
    result = run(place, f"traefik:{mechanism}", *ROLLING, "--log", "changes")
    assert len(result.changes) == CHANGES
    assert_lossless(result)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_change_that_traefik_refuses_is_told_in_its_words_and_the_run_goes_on(place: Place, mechanism: str) -> None:
    words = ("--plugin", f"mistaken:{mechanism}", "--duration", "4", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert add["error"] == (
        'error parsing server URL http://127.0.0.1:none: parse "http://127.0.0.1:none": invalid port ":none" after host'
    )
    assert add["verdict"] == "ineffective"
    assert remove["error"] is None
    # Traefik takes the mistake all the same, and answers 404 until it has the next configuration.
    assert set(result.summary["failures"]) == {"status 404"}
    assert {row.instance for row in result.rows if row.time > remove["applied_us"] and row.instance} == {"1"}
    assert (result.status, result.verdict) == (3, "ineffective")
    assert place.left() == []

"""Caddy, changed by each of its mechanisms."""

import signal

import pytest

from .command import Place, Result
from .mechanisms import assert_ends_during_upgrade, assert_shown, run, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("api", "load", "load-close-delay", "signal", "dns", "replace", "restart")
#: Those that build a new server for each change.
ANEW = ("api", "load", "signal", "replace", "restart")
CHANGES = 10
ROLLING = ("--repeat", str(CHANGES // 2), "--pace", "0.6")

#: A plugin of somebody else, which gives Caddy a number where an address belongs.
MISTAKEN = """\
from types import SimpleNamespace
import proxyreload_caddy
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithNumber:
    number = '", "dial": 5}, {"dial": "'  # where its configuration has it between quotes

    async def add_backend(self, upstream):
        told = {"name": upstream.name, "instance": upstream.instance, "host": "", "port": 0}
        await super().add_backend(SimpleNamespace(address=self.number, **told))


class Api(WithNumber, proxyreload_caddy.Api):
    number = 5


class Load(WithNumber, proxyreload_caddy.Load):
    pass


class Signal(WithNumber, proxyreload_caddy.Signal):
    pass


class Replace(WithNumber, proxyreload_caddy.Replace):
    pass


classes = {"api": Api, "load": Load, "signal": Signal, "replace": Replace}
whole = proxyreload_caddy.WHOLE
mechanisms = [Mechanism(name, "", proxy, configuration=whole) for name, proxy in classes.items()]
plugin = ProxyPlugin("mistaken", proxyreload_caddy.plugin.binary, mechanisms)
"""


def assert_effective(result: Result) -> None:
    """Check that the traffic has shown every change; Caddy may lose something to each."""
    assert [change["error"] for change in result.changes] == [None] * len(result.changes)
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful", "racy", "lossy"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_take_effect(place: Place, mechanism: str) -> None:
    result = run(place, f"caddy:{mechanism}", "--duration", "4")
    assert result.run_json["mechanism"] == mechanism
    assert_effective(result)
    assert_shown(result)


def test_the_api_is_what_is_recommended(place: Place) -> None:
    result = place.run("plugins")
    lines = [line for line in result.stdout.splitlines() if line.strip().startswith("caddy:")]
    assert [line.split()[0] for line in lines] == [f"caddy:{mechanism}" for mechanism in MECHANISMS]
    assert [line.split()[0] for line in lines if line.endswith("(recommended)")] == ["caddy:api"]


@pytest.mark.parametrize("mechanism", ANEW)
def test_ten_changes_take_effect(place: Place, mechanism: str) -> None:
    result = run(place, f"caddy:{mechanism}", *ROLLING, "--log", "changes")
    assert len(result.changes) == CHANGES
    assert_effective(result)
    assert result.verdict in {"graceful", "racy", "lossy"}, "every change closes the clients' connections"


def test_over_dns_no_connection_of_a_client_is_touched(place: Place) -> None:
    result = run(place, "caddy:dns", "--repeat", "5", "--pace", "0.3")
    assert len(result.changes) == 10
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.summary["failures"], result.summary["front_changed"]) == ({}, 0)


REPEATED = ("--repeat", "3", "--pace", "0.3")


@pytest.mark.parametrize("mechanism", ["api", "signal", "dns", "replace"])
def test_it_reloads_with_nothing_changed(place: Place, mechanism: str) -> None:
    result = run(place, f"caddy:{mechanism}", "--change", "reload", *REPEATED)
    assert [(change["action"], change["error"]) for change in result.changes] == [("reload", None)] * 3
    assert result.summary["front_changed"] > 0, "a new server serves"
    assert {row.instance for row in result.rows if row.status == "200"} == {"0", "1"}


def test_another_process_can_be_another_program(place: Place) -> None:
    result = run(place, "caddy:replace", "--change", "upgrade", *REPEATED)
    assert [(change["action"], change["error"]) for change in result.changes] == [("upgrade", None)] * 3
    assert result.summary["front_changed"] > 0


@pytest.mark.parametrize("mechanism", ["api", "load", "signal", "dns"])
def test_one_process_cannot_be_upgraded(place: Place, mechanism: str) -> None:
    result = place.run("--plugin", f"caddy:{mechanism}", "--change", "upgrade", *REPEATED, *place.ports)
    why = "a Caddy that runs cannot become another program; caddy:replace starts one beside it"
    assert result.stderr == f"proxyreload: caddy:{mechanism} cannot upgrade: {why}\n"
    assert result.status == 2


# Hangs, or dies, in place of a Caddy that is to take over.
SUCCESSOR = """\
#!/bin/sh
[ "$1" = version ] && exit
echo "cannot take over" >&2
{action}
"""


def test_a_successor_that_does_not_come_up_is_a_failed_change_and_the_old_process_goes_on(place: Place) -> None:
    script = place.write("successor", SUCCESSOR.format(action="exit 3"), mode=0o755)
    words = ("--change", "upgrade", *REPEATED, "--upgrade-to", script)
    result = run(place, "caddy:replace", *words)
    errors = {change["error"] for change in result.changes}
    assert all(error.startswith("successor exited with status 3; it said: ") for error in errors)
    assert all(error.endswith("cannot take over") for error in errors)
    assert (result.summary["failure"], result.summary["front_changed"]) == (0, 0)
    assert (result.verdict, result.status) == ("ineffective", 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_while_two_processes_run_leaves_neither(place: Place, number: signal.Signals) -> None:
    script = place.write("successor", SUCCESSOR.format(action="exec tail -f /dev/null"), mode=0o755)
    words = ("--plugin", "caddy:replace", "--change", "upgrade", *REPEATED, "--upgrade-to", script)
    session = place.start(*words, *place.ports)
    assert_ends_during_upgrade(place, session, number)


@pytest.mark.parametrize("mechanism", ["api", "load", "signal", "replace"])
def test_a_change_that_caddy_refuses_is_told_in_its_words_and_the_run_goes_on(place: Place, mechanism: str) -> None:
    words = ("--plugin", f"mistaken:{mechanism}", "--duration", "4", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert "json: cannot unmarshal number into Go struct field Upstream.upstreams.dial" in add["error"]
    assert add["verdict"] == "ineffective"
    assert remove["error"] is None
    assert remove["verdict"] in {"graceful", "racy", "lossy"}
    assert {row.instance for row in result.rows if row.instance} == {"0", "1"}
    assert (result.status, result.verdict) == (3, "ineffective")
    assert place.left() == []

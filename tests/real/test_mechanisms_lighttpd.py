"""lighttpd, changed by each of its mechanisms."""

import pytest

from .command import Place
from .mechanisms import assert_shown, over_us, run, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("reload", "reload-bg")
#: Whether another program takes over, and whether it is told of what was added before.
UPGRADE = """\
duration = 3
step = [{at = 0.4, add = 2}, {pause = 0.7}, {upgrade = true}, {pause = 0.7}, {remove = 0}]
"""

#: A plugin of somebody else, which names a port that is none.
MISTAKEN = """\
import attrs
import proxyreload_lighttpd
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class Reload(proxyreload_lighttpd.Reload):
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, port='"none"'))


mechanism = Mechanism("reload", "", Reload, configuration=proxyreload_lighttpd.OWN)
plugin = ProxyPlugin("mistaken", proxyreload_lighttpd.plugin.binary, (mechanism,))
"""


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_take_effect(place: Place, mechanism: str) -> None:
    result = run(place, f"lighttpd:{mechanism}", "--duration", "3")
    assert [change["error"] for change in result.changes] == [None, None]
    assert_shown(result)


def test_what_rests_is_closed_without_a_word(place: Place) -> None:
    result = run(place, "lighttpd:reload", "--traffic", "get=1,aimed=40", "--change", "reload", "--repeat", "1")
    assert result.verdict in {"racy", "lossy"}
    closed = result.changes[0]["kinds"]["aimed"]["front_closed"]
    assert sum(number for how, number in closed.items() if how != "announced") > 20


def test_another_program_takes_over(place: Place) -> None:
    result = run(place, "lighttpd:reload-bg", "--scenario", place.write("upgrade.toml", UPGRADE))
    made = [(change["action"], change["error"]) for change in result.changes]
    assert made == [("add", None), ("upgrade", None), ("remove", None)]
    _add, _upgrade, remove = result.changes
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1", "2"}


def test_what_does_not_start_is_not_upgraded_to(place: Place) -> None:
    script = place.write("other", "#!/bin/sh\necho not for me >&2; exit 3\n", mode=0o755)
    words = ("--upgrade-to", script, "--scenario", place.write("upgrade.toml", UPGRADE))
    result = run(place, "lighttpd:reload-bg", *words)
    add, upgrade, remove = result.changes
    assert (add["error"], remove["error"]) == (None, None)
    assert upgrade["error"] == "lighttpd exited with status 3: / not for me"
    assert result.verdict == "ineffective"


def test_in_its_place_it_has_no_other_program(place: Place) -> None:
    result = place.run("--plugin", "lighttpd:reload", "--repeat", "1", "--change", "upgrade", *place.ports)
    assert result.status == 2
    assert result.stderr.startswith("proxyreload: lighttpd:reload cannot upgrade: a lighttpd that runs reads its file")


def test_a_configuration_of_which_it_would_die_is_not_read(place: Place) -> None:
    words = ("--plugin", "mistaken:reload", "--duration", "3", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert add["error"].startswith("lighttpd exited with status ")
    assert "port" in add["error"]
    assert remove["error"] is None
    assert (result.status, result.verdict) == (3, "ineffective")
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1"}
    assert place.left() == []

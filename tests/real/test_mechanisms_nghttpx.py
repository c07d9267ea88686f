"""nghttpx, changed by each of its mechanisms."""

import pytest

from .command import Place
from .mechanisms import assert_shown, over_us, run, third_party

pytestmark = pytest.mark.real

MECHANISMS = ("api", "reload")
#: Whether another program takes over, and whether it is told of what was added before.
UPGRADE = """\
duration = 4
step = [{at = 0.4, add = 2}, {pause = 0.7}, {upgrade = true}, {pause = 0.7}, {remove = 0}]
"""

#: A plugin of somebody else, which names a port that is none.
MISTAKEN = """\
import attrs
import proxyreload_nghttpx
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class WithoutPort:
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, port="none"))


class Api(WithoutPort, proxyreload_nghttpx.Api):
    pass


class Reload(WithoutPort, proxyreload_nghttpx.Reload):
    pass


mechanisms = (
    Mechanism("api", "", Api, configuration=proxyreload_nghttpx.ASKED),
    Mechanism("reload", "", Reload, configuration=proxyreload_nghttpx.RELOADED),
)
plugin = ProxyPlugin("mistaken", proxyreload_nghttpx.plugin.binary, mechanisms)
"""
#: In whose words it is refused.
REFUSED = {
    "api": 'PUT /api/v1beta1/backendconfig: status 400: {"status":"Failure","code":400}',
    "reload": "backend: Port is invalid: none",
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_both_changes_take_effect_and_nothing_is_lost(place: Place, mechanism: str) -> None:
    result = run(place, f"nghttpx:{mechanism}", "--duration", "3")
    assert [change["error"] for change in result.changes] == [None, None]
    assert result.summary["failures"] == {}
    assert result.verdict == "graceful" if mechanism == "reload" else result.verdict in {"seamless", "graceful"}
    assert_shown(result)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_another_program_takes_over(place: Place, mechanism: str) -> None:
    result = run(place, f"nghttpx:{mechanism}", "--scenario", place.write("upgrade.toml", UPGRADE))
    made = [(change["action"], change["error"]) for change in result.changes]
    assert made == [("add", None), ("upgrade", None), ("remove", None)]
    _add, _upgrade, remove = result.changes
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1", "2"}
    assert result.verdict == "graceful"


def test_what_does_not_start_is_not_upgraded_to(place: Place) -> None:
    script = place.write("other", "#!/bin/sh\necho not for me >&2; exit 3\n", mode=0o755)
    words = ("--upgrade-to", script, "--scenario", place.write("upgrade.toml", UPGRADE))
    result = run(place, "nghttpx:api", *words)
    add, upgrade, remove = result.changes
    assert (add["error"], remove["error"]) == (None, None)
    assert upgrade["error"] == "nghttpx exited with status 3: / not for me"
    assert (result.verdict, result.summary["failures"]) == ("ineffective", {})


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_change_that_nghttpx_refuses_changes_nothing(place: Place, mechanism: str) -> None:
    words = ("--plugin", f"mistaken:{mechanism}", "--duration", "3", *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert REFUSED[mechanism] in add["error"]
    assert remove["error"] is None
    assert (result.status, result.verdict, result.summary["failures"]) == (3, "ineffective", {})
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1"}
    assert place.left() == []

"""Plugins that raise what ends programs, wherever they are asked: no run ends by it, hangs, or is taken for a success."""

import pytest

from .command import Place
from .mechanisms import third_party

pytestmark = pytest.mark.real

NAUGHTY = """\
import sys
import proxyreload_control_proxy
from zope.interface import implementer
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import IReloads, IUpgrades, Mechanism, ProxyPlugin

def naughty(where):
    if where == {where!r}:
        raise {what}

naughty("import")

@implementer(IReloads, IUpgrades)
class Naughty(proxyreload_control_proxy.Runtime):
    def __init__(self, workspace):
        naughty("make")
        super().__init__(workspace)

    async def start(self, upstreams):
        await super().start(upstreams)
        naughty("start")

    async def add_backend(self, upstream):
        naughty("add")
        await super().add_backend(upstream)

    async def remove_backend(self, upstream):
        naughty("remove")
        await super().remove_backend(upstream)

    async def reload(self):
        naughty("reload")

    async def upgrade(self, binary):
        naughty("upgrade")

    async def stop(self):
        naughty("stop")
        await super().stop()

def packaged():
    naughty("find")
    return sys.executable

plugin = ProxyPlugin("naughty", Binary("control", "", packaged=packaged), (Mechanism("quick", "", Naughty),))
"""
KINDS = ("SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "BaseException('odd')")
WORDS = ("SystemExit: 0", "KeyboardInterrupt", "GeneratorExit", "BaseException: odd")
QUICK = ("--repeat", "1", "--pace", "0.3", "--clients", "2", "--rate", "200", "--log", "changes")
CHANGES = {"add": "backends", "remove": "backends", "reload": "reload", "upgrade": "upgrade"}

ALL = pytest.mark.parametrize(("what", "words"), list(zip(KINDS, WORDS, strict=True)), ids=WORDS)


@pytest.mark.parametrize(
    ("where", "status", "complaint"),
    [
        ("import", 2, "plugin naughty of naughty cannot be loaded: "),
        ("find", 3, "what plugin naughty says of its program: "),
        ("make", 3, "naughty:quick cannot be started: "),
        ("start", 3, "naughty:quick cannot be started: "),
    ],
)
@ALL
def test_what_is_raised_before_there_is_traffic_is_one_line(
    place: Place, where: str, status: int, complaint: str, what: str, words: str
) -> None:
    environment = third_party(place, "naughty", NAUGHTY.format(where=where, what=what))
    result = place.run("--plugin", "naughty", *QUICK, *place.ports, environment=environment)
    assert result.stderr == f"proxyreload: {complaint}{words}\n"
    assert result.status == status
    assert place.left() == []


@pytest.mark.parametrize("where", list(CHANGES))
@ALL
def test_what_is_raised_in_a_change_has_failed_it(place: Place, where: str, what: str, words: str) -> None:
    environment = third_party(place, "naughty", NAUGHTY.format(where=where, what=what))
    command = ("--plugin", "naughty", *QUICK, "--change", CHANGES[where], *place.ports)
    result = place.run(*command, environment=environment)
    assert result.stderr == ""
    assert [change["error"] for change in result.changes if change["action"] == where] == [words]
    assert (result.status, result.verdict) == (3, "ineffective")
    result.assert_complete()
    assert place.left() == []


@ALL
def test_what_is_raised_when_it_is_stopped_changes_nothing(place: Place, what: str, words: str) -> None:
    environment = third_party(place, "naughty", NAUGHTY.format(where="stop", what=what))
    result = place.run("--plugin", "naughty", *QUICK, *place.ports, environment=environment)
    assert words not in result.stdout
    assert (result.stderr, result.status) == ("", 0)
    result.assert_complete()
    assert place.left() == []


def test_the_others_are_listed(place: Place) -> None:
    environment = third_party(place, "naughty", NAUGHTY.format(where="import", what="SystemExit(0)"))
    result = place.run("plugins", environment=environment)
    assert (result.status, result.stderr) == (0, "")
    assert "naughty    plugin naughty of naughty cannot be loaded: SystemExit: 0\n" in result.stdout
    assert "traefik:file" in result.stdout

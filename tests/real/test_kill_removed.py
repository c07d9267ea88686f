"""Backends that are killed some time after their removal, as a deployment does."""

import pytest

from .command import Place
from .mechanisms import assert_whole, third_party

pytestmark = pytest.mark.real

KILLING = ("--repeat", "3", "--pace", "0.3", "--kill-removed", "0.1")


@pytest.mark.parametrize("where", [(), ("--backend-processes",)])
def test_whoever_no_longer_sends_to_it_loses_nothing(place: Place, where: tuple[str, ...]) -> None:
    result = place.run("--plugin", "haproxy:runtime", *KILLING, *where, *place.ports)
    assert_whole(place, result)
    assert result.summary["failures"] == {}
    assert result.status == 0
    # Backend 0 goes first, is killed, and comes back in the third cycle.
    assert [line.split()[1:] for line in result.stdout.splitlines() if line.endswith(" killed")][:2] == [
        ["backend", "0", "killed"],
        ["backend", "1", "killed"],
    ]
    back = [change for change in result.changes if (change["action"], change["instance"]) == ("add", "0")]
    assert [change["verdict"] for change in back] in (["seamless"], ["graceful"])


#: A proxy that says it has removed a backend, and has not.
FORGETFUL = """\
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload_control import plugin as control
from proxyreload_control_proxy import Runtime

class Forgetful(Runtime):
    async def remove_backend(self, upstream):
        pass

plugin = ProxyPlugin("forgetful", control.binary, (Mechanism("runtime", "", Forgetful),))
"""
REMOVES_ONE = "duration = 5\n[[step]]\nat = 0.5\nremove = 0\n"


def test_whoever_still_sends_to_it_loses(place: Place) -> None:
    environment = third_party(place, "forgetful", FORGETFUL)
    path = place.write("one.toml", REMOVES_ONE)
    words = ("--plugin", "forgetful", "--scenario", path, "--kill-removed", "0.5", *place.ports)
    result = place.run(*words, environment=environment)
    assert result.stderr == ""
    result.assert_complete()
    (change,) = result.changes
    assert change["verdict"] == "lossy"
    assert result.status == 1
    failed = [row for row in result.rows if row.failure]
    assert failed
    assert min(row.time for row in failed) > change["applied_us"] + 500_000
    assert max(row.time for row in result.rows if row.instance == "0") > change["applied_us"]
    assert place.left() == []

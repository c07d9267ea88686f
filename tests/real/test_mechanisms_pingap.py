"""pingap, changed by the file at which it looks."""

import pytest

from .command import Place
from .mechanisms import assert_shown, over_us, run, third_party

pytestmark = pytest.mark.real

QUIET = ("--rate", "100")

#: A plugin of somebody else, which names a port that is none.
MISTAKEN = """\
import attrs
import proxyreload_pingap
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin


class Autoreload(proxyreload_pingap.Autoreload):
    async def add_backend(self, upstream):
        await super().add_backend(attrs.evolve(upstream, port="none"))


mechanism = Mechanism("autoreload", "", Autoreload, configuration=proxyreload_pingap.OWN)
plugin = ProxyPlugin("mistaken", proxyreload_pingap.plugin.binary, (mechanism,))
"""


def test_both_changes_take_effect_and_nobody_notices(place: Place) -> None:
    result = run(place, "pingap", "--traffic", "get=4,aimed=20", *QUIET)
    assert [change["error"] for change in result.changes] == [None, None]
    assert result.verdict == "seamless"
    assert_shown(result)


@pytest.mark.parametrize("change", ["edit", "rotate"])
def test_a_route_and_a_certificate_are_taken_over_too(place: Place, change: str) -> None:
    words = ("--change", change, "--repeat", "2", "--pace", "0.2", "--traffic", "get=2,fresh=1")
    result = run(place, "pingap", *words, *QUIET, *(("--tls",) if change == "rotate" else ()))
    assert [each["error"] for each in result.changes] == [None, None]
    assert {each["verdict"] for each in result.changes} <= {"seamless", "graceful"}


def test_what_it_would_not_take_over_is_told_in_its_words_and_the_run_goes_on(place: Place) -> None:
    words = ("--plugin", "mistaken:autoreload", *QUIET, *place.ports)
    result = place.run(*words, environment=third_party(place, "mistaken", MISTAKEN))
    add, remove = result.changes
    assert "update config fail error=Io error invalid port value" in add["error"]
    assert remove["error"] is None
    assert (result.status, result.verdict) == (3, "ineffective")
    assert {row.instance for row in result.rows if row.time > over_us(remove) and row.instance} == {"1"}
    assert place.left() == []


def test_it_neither_reads_again_what_it_knows_nor_hands_its_sockets_over(place: Place) -> None:
    for change in ("reload", "upgrade"):
        result = place.run("--plugin", "pingap", "--repeat", "1", "--change", change, *place.ports)
        assert result.status == 2
        assert result.stderr.startswith(f"proxyreload: pingap:autoreload cannot {change}: ")

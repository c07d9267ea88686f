"""What a proxy repeats by itself is counted: more requests arrive than were sent."""

import pytest

from .command import Place, Result

pytestmark = pytest.mark.real

#: The removed backend dies with requests that it has read and not answered.
DIES = """\
duration = 6
[[traffic]]
kind = "slow"
clients = 24
delay = 1.5
[[step]]
at = 2
remove = 0
"""


def killed(place: Place, mechanism: str) -> Result:
    path = place.write("dies.toml", DIES)
    words = ("--plugin", mechanism, "--scenario", path, "--kill-removed", "0.1", "--clients", "2", "--rate", "37")
    result = place.run(*words, *place.ports)
    assert result.stderr == ""
    return result


def test_nginx_repeats_a_get_whose_backend_died_with_it(place: Place) -> None:
    result = killed(place, "nginx:reload")
    slow = result.summary["kinds"]["slow"]
    assert slow["arrivals"] > slow["exchanges"]
    assert slow["failures"] == {}
    twice = slow["ledger"]["answered_twice"]
    assert twice == slow["arrivals"] - slow["exchanges"]
    assert f"{twice} requests carried out twice by the proxy, which may repeat them" in result.stdout


def test_haproxy_does_not(place: Place) -> None:
    result = killed(place, "haproxy:reload")
    slow = result.summary["kinds"]["slow"]
    assert slow["arrivals"] <= slow["exchanges"]
    assert slow["failures"] != {}
    assert slow["ledger"]["answered_twice"] == 0
    assert slow["ledger"]["lost_executed"] == sum(slow["failures"].values())
    assert "carried out twice" not in result.stdout

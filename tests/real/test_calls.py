"""Calls of gRPC go through real proxies, with every message and every status; one setting of one proxy loses statuses.

Caddy with ``flush_interval -1`` ends some answers that are a head alone without the status that was in it: its clients are
told UNKNOWN. It is for answers that are to be passed on bit by bit, which those of gRPC are without it.
"""

import pytest

from .calling import STARTS
from .command import Place, Result
from .repeating import Setting, running

pytestmark = pytest.mark.real

#: Half of a second for a stream, so that there are many calls.
CALLS = """\
duration = {duration}
[[traffic]]
kind = "grpc"
clients = 2
streams = 5
every = 0.05
length = 0.4
"""


def called(place: Place, proxy: str, setting: Setting, duration: int) -> Result:
    path = place.write("calls.toml", CALLS.format(duration=duration))
    with running(place, proxy, setting, STARTS[proxy]):
        backends = ("--backends", "2", "--first-port", str(place.first_port))
        result = place.run(place.front, "--scenario", path, "--clients", "1", "--rate", "20", "--h2c", *backends)
    assert result.stderr == ""
    return result


@pytest.mark.parametrize("proxy", STARTS)
def test_every_message_and_every_status_comes(place: Place, proxy: str) -> None:
    result = called(place, proxy, {}, 3)
    assert result.summary["failures"] == {}
    assert result.status == 0
    calls = [row for row in result.rows if row.kind == "grpc"]
    assert len(calls) > 20
    assert {row.instance for row in calls} == {"0", "1"}
    ledger = result.summary["kinds"]["grpc"]["ledger"]
    assert {fate for fate, number in ledger.items() if number} == {"answered_once"}


def test_caddy_loses_statuses_with_one_setting(place: Place) -> None:
    result = called(place, "caddy", {"flush": "flush_interval -1"}, 6)
    assert set(result.summary["failures"]) == {"trailers lost"}
    lost = [row for row in result.rows if row.failure.startswith("trailers lost")]
    assert {row.request % 10 for row in lost} == {9}  # those that were refused on purpose
    assert result.verdict == "lossy"

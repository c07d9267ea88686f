"""Every kind of traffic at once, by clients a network away, through changes of real proxies."""

from collections import Counter

import pytest

from proxyreload.traffic.registry import kinds

from .command import EXIT_STATUS, TURNED_AWAY, Place, Result

pytestmark = pytest.mark.real

CLIENTS = {
    "get": 4,
    "fresh": 1,
    "idle": 4,
    "aimed": 20,
    "post": 2,
    "slow": 2,
    "stream": 2,
    "download": 1,
    "upload": 1,
    "websocket": 2,
    "h2": 2,
    "grpc": 1,
}
#: Of these a client has several under way, which end in no order.
SEVERAL = ("h2", "grpc")
MIX = (
    *("--traffic", ",".join(f"{kind}={clients}" for kind, clients in CLIENTS.items())),
    *("--clients", "2", "--rtt", "20", "--duration", "9"),
)
#: Of a client 20 ms away no answer is there before, in microseconds.
RTT_US = 20_000


def through(place: Place, mechanism: str) -> Result:
    """Run every kind through two changes, and check that rows, run file and status line tell the same."""
    result = place.run("--plugin", mechanism, *MIX, *place.ports)
    assert result.stderr == ""
    assert result.status == EXIT_STATUS[result.verdict]
    assert place.left() == []
    rows, summary = result.rows, result.summary
    assert [change["error"] for change in result.changes] == [None, None]
    away = [row for row in rows if row.failure == TURNED_AWAY]
    assert summary["turned_away"] == len(away)
    assert summary["exchanges"] == len(rows) == result.last_line.success + result.last_line.failure + len(away)
    assert summary["failures"] == Counter(row.failure for row in rows if row.failure not in ("", TURNED_AWAY))
    following: Counter[int] = Counter()
    for row in sorted(rows, key=lambda row: row.request if row.kind in SEVERAL else -1):
        assert row.request == following[row.client], f"client {row.client}: a row of its is missing"
        following[row.client] += 1
    told = {kind: (each["exchanges"], each["failures"]) for kind, each in summary["kinds"].items()}
    assert told == {
        kind: (
            len([row for row in rows if row.kind == kind]),
            Counter(row.failure for row in rows if row.kind == kind and row.failure not in ("", TURNED_AWAY)),
        )
        for kind in kinds()
    }
    by_kind = {kind: {row.client for row in rows if row.kind == kind} for kind in CLIENTS}
    # Beside the two near clients of `get`, and the probe.
    near = {"get": 2, "fresh": 1}
    assert {kind: len(clients) for kind, clients in by_kind.items()} == {
        kind: clients + near.get(kind, 0) for kind, clients in CLIENTS.items()
    }
    probe = max(row.client for row in rows)
    for row in rows:
        if row.client not in (0, 1, probe) and row.first_byte and row.written:
            assert int(row.first_byte) - int(row.written) >= RTT_US, row
    return result


def test_through_haproxys_runtime_api_no_kind_loses_anything(place: Place) -> None:
    result = through(place, "haproxy:runtime")
    assert result.summary["failures"] == {}
    assert result.verdict in ("seamless", "graceful")
    assert {each["verdict"] for each in result.summary["kinds"].values()} <= {"seamless", "graceful"}


def test_through_nginxs_reload_who_aims_loses_or_would_have_from_farther_away(place: Place) -> None:
    result = through(place, "nginx:reload")
    told = result.summary["kinds"]
    assert told["aimed"]["verdict"] in ("lossy", "racy")
    assert result.verdict in ("lossy", "racy")
    # All that is lost is lost by that race: no body is wrong, and none is too long for it.
    assert {failure.partition(" before")[0] for failure in result.summary["failures"]} <= {"closed", "reset"}

"""Which proxy sends what again by itself, and with which setting, where a backend dies with requests that it carried out.

Two backends are behind each. One is killed while it has requests that it has read whole and acted on, and the ledger
says what became of them: carried out once, and lost, or carried out twice. A proxy may do that to a GET; a POST that it
repeats makes a run lossy, though every client has its answer.

- Envoy has three repeats under way at a time by default (``max_retries`` of its circuit breaker) and refuses the
  others: here it may have more.
- sozu sends a GET again where the connection to the backend had served before; one over a new connection it does not.
  As it still knows the dead backend, some of what it sends again comes to nothing.
- HAProxy has nothing to send again but what it still holds: the head alone, where the body came later. What it does not
  send again it answers with 502, or, where the connection to the backend had served before, by closing the client's.
- Caddy's ``lb_retry_match`` sends a POST whose length was told again without its body, which comes to nothing. One that
  came in chunks is an empty one then: the backend carries that out too, and its answer is wrong. By itself it repeats
  no GET, but Go's HTTP client does, over connections that had served before: here there are none.
"""

import csv
from collections import Counter

import attrs
import pytest

from proxyreload.record.lossfile import CARRIED_OUT_TWICE

from .command import Place
from .proxies import SOZU
from .repeating import Setting, of_caddy, of_envoy, of_haproxy, of_traefik, running

pytestmark = pytest.mark.real

#: Clients begin within a second. Half of what is under way is at the backend that dies, of each kind: for as many of each
#: they would take turns.
DIES = """\
duration = {until}
[[traffic]]
kind = "slow"
clients = 31
delay = {delay}
[[traffic]]
kind = "post"
clients = 13
delay = {delay}
[[traffic]]
kind = "upload"
clients = 17
every = 0.05
length = 0.1
delay = {delay}
[[step]]
at = {dies}
remove = 0
"""
#: What is under way is mostly the first over each connection, or for sure; or others, when they all have served before.
FIRST = DIES.format(delay=1.1, dies=1, until=2.1)
NONE_BEFORE = DIES.format(delay=4, dies=1, until=1.5)
LATER = DIES.format(delay=1.1, dies=3.3, until=4.4)
#: Whoever runs the proxy has not told it that the backend is gone.
CHANGED_BY_NOBODY = ("--plugin", "external", "--remove-command", "true", "--kill-removed", "0.001")
MAY_BE_REPEATED = "carried out twice by the proxy, which may repeat them"


@attrs.frozen
class Row:
    """What a proxy is told, and which requests it sends again: GETs, POSTs that came in one piece, POSTs in chunks."""

    proxy: str
    setting: Setting
    get: bool = False
    post: bool = False
    chunked: bool = False
    dies: str = FIRST


L7_RETRY_NO_POST = "http-request disable-l7-retry if METH_POST"
POSTS_TOO = ("lb_retry_match {\n method POST\n }", "transport http {\n keepalive off\n }")
OF_502 = 'status: ["502"]'
#: As ``docs/causes.md`` has them.
ROWS = {
    "haproxy, by default": Row("haproxy", {}, dies=LATER),
    "haproxy, `retry-on all-retryable-errors`, `option redispatch 1`": Row(
        "haproxy", of_haproxy(), get=True, post=True
    ),
    "haproxy, the same, `option http-buffer-request`": Row(
        "haproxy", of_haproxy("option http-buffer-request"), get=True, post=True, chunked=True
    ),
    "haproxy, the same, `http-request disable-l7-retry if METH_POST`": Row(
        "haproxy", of_haproxy("option http-buffer-request", L7_RETRY_NO_POST), get=True
    ),
    "nginx, by default": Row("nginx", {}, get=True, dies=LATER),
    "nginx, `proxy_next_upstream off`": Row("nginx", {"tries": "proxy_next_upstream off;"}),
    "nginx, `proxy_next_upstream error timeout non_idempotent`": Row(
        "nginx", {"tries": "proxy_next_upstream error timeout non_idempotent;"}, get=True, post=True, chunked=True
    ),
    "nginx, `max_fails=0`": Row("nginx", {"of_server": " max_fails=0"}, get=True),
    "caddy, by default": Row("caddy", {}, dies=LATER),
    "caddy, `lb_try_duration 2s`": Row("caddy", of_caddy(), get=True),
    "caddy, the same, `lb_retry_match` of POST, `keepalive off`": Row("caddy", of_caddy(*POSTS_TOO), chunked=True),
    "caddy, the same, `request_buffers 1MiB`": Row(
        "caddy", of_caddy(*POSTS_TOO, "request_buffers 1MiB"), post=True, chunked=True
    ),
    "traefik, by default": Row("traefik", {}, dies=LATER),
    "traefik, `retry` with `attempts`": Row("traefik", of_traefik()),
    "traefik, the same, `status: [502]`": Row("traefik", of_traefik(OF_502), get=True),
    "traefik, the same, `retryNonIdempotentMethod: true`": Row(
        "traefik", of_traefik(OF_502, "retryNonIdempotentMethod: true"), get=True, post=True, chunked=True
    ),
    "envoy, by default": Row("envoy", {}, dies=LATER),
    "envoy, `retry_on: reset`": Row("envoy", of_envoy("reset"), get=True, post=True, chunked=True),
    "envoy, `retry_on: reset-before-request,connect-failure,refused-stream`": Row(
        "envoy", of_envoy("reset-before-request,connect-failure,refused-stream")
    ),
    "sozu, by default, over connections that have served before": Row("sozu", {}, get=True, dies=LATER),
    "sozu, by default, over new connections": Row("sozu", {}, dies=NONE_BEFORE),
}


def repeated(place: Place) -> Counter[str]:
    """Return how many of each kind are told to have been carried out twice, though their clients had their answers."""
    with (place.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        return Counter(row["kind"] for row in csv.DictReader(file) if row["failure"] == CARRIED_OUT_TWICE)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=SOZU.marks if row.proxy == "sozu" else ())
        for name, row in ROWS.items()
    ],
)  # fmt: skip
def test_what_a_backend_died_with_is_sent_again_or_not(place: Place, row: Row) -> None:
    words = ("--scenario", place.write("dies.toml", row.dies), "--clients", "2", "--rate", "37", *place.ports)
    with running(place, row.proxy, row.setting):
        result = place.run(*CHANGED_BY_NOBODY, *words)
    assert result.stderr == ""
    result.assert_complete()
    for kind, again in (("slow", row.get), ("post", row.post), ("upload", row.chunked)):
        told = result.summary["kinds"][kind]
        ledger = told["ledger"]
        assert (ledger["answered_twice"] + ledger["lost_executed_twice"] > 0) is again, (kind, ledger)
        assert again or ledger["lost_executed"] > 0, (kind, ledger)
        assert repeated(place)[kind] == ledger["answered_twice"]
        graceful = kind == "slow" and not told["failures"]
        assert told["verdict"] == ("graceful" if graceful else "lossy")
        said = " ".join(told["reasons"])
        assert ("carried out twice" in said) is again
        assert (MAY_BE_REPEATED in said) is (again and kind == "slow")
    assert place.left() == []

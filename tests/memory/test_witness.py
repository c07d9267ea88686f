"""What other load generators say of errors is read as they say it."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import integers

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.h2load import H2loadSays
from benchmarks.witness import HeySays, K6Says, OhaSays, Said, Witness, WrkSays

WRK = """\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.93ms   19.09ms 134.37ms   91.73%
    Req/Sec    27.90k    14.48k   49.54k    60.00%
  20000 requests in 1.02s, 1.08MB read
{more}Requests/sec:  10000.00
Transfer/sec:      1.05MB
"""
SOCKETS = "  Socket errors: connect {}, read {}, write {}, timeout {}\n"
NO_SUCCESS = "  Non-2xx or 3xx responses: 85\n"
HEY = """\

Summary:
  Total:\t2.0048 secs
  Slowest:\t0.0777 secs
  Requests/sec:\t1944.6292

  Total data:\t3890 bytes

Response time histogram:
  0.000 [1]\t|
  0.008 [1892]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■

Latency distribution:
  10% in 0.0003 secs

Status code distribution:
{statuses}
{errors}
"""
ERRORS = """\
Error distribution:
  [4]\tGet "http://127.0.0.1:8080/": EOF
  [3]\tGet "http://127.0.0.1:8080/": read tcp 127.0.0.1:4711->127.0.0.1:8080: read: connection reset by peer
"""
OHA = """{{
  "summary": {{"successRate": 0.5, "total": 1.5, "slowest": 0.1, "requestsPerSec": 20.0}},
  "statusCodeDistribution": {{{statuses}}},
  "errorDistribution": {{{errors}}}
}}"""


H2LOAD = """\
finished in {took}, 49358.00 req/s, 3.55MB/s
requests: 104716 total, 104816 started, 104716 done, 104700 succeeded, 16 failed, 16 errored, 0 timeout
"""


@pytest.mark.parametrize(("took", "seconds"), [("2.00s", 2.0), ("20.50ms", 0.0205)])
def test_h2load_says_how_many_it_has_done_and_how_many_of_them_failed(took: str, seconds: float) -> None:
    assert H2loadSays("h2load").said(H2LOAD.format(took=took)) == Said(104_716, 16, seconds)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", Said(20_000, 0, 2.0)),
        (NO_SUCCESS, Said(20_000, 85, 2.0)),
        (SOCKETS.format(1, 2, 3, 4), Said(20_010, 10, 2.0)),
        (SOCKETS.format(0, 2, 0, 0) + NO_SUCCESS, Said(20_002, 87, 2.0)),
    ],
    ids=["all well", "answers of another status", "requests without an answer", "both"],
)
def test_wrk_counts_what_had_no_answer_and_what_was_no_success(more: str, said: Said) -> None:
    assert WrkSays("wrk").said(WRK.format(more=more)) == said


@given(*[integers(0, 10**6)] * 4)
def test_wrk_counts_every_error_of_a_socket(connect: int, read: int, write: int, timeout: int) -> None:
    errors = WrkSays("wrk").said(WRK.format(more=SOCKETS.format(connect, read, write, timeout))).errors
    assert errors == connect + read + write + timeout


@pytest.mark.parametrize(
    ("statuses", "errors", "said"),
    [
        ("  [200]\t1945 responses\n", "", Said(1945, 0, 2.0048)),
        ("  [200]\t1945 responses\n  [503]\t5 responses\n", "", Said(1950, 5, 2.0048)),
        ("  [200]\t1945 responses\n", ERRORS, Said(1952, 7, 2.0048)),
        ("", ERRORS, Said(7, 7, 2.0048)),
    ],
    ids=["all well", "answers of another status", "requests without an answer", "nothing else"],
)
def test_hey_lists_statuses_and_errors(statuses: str, errors: str, said: Said) -> None:
    assert HeySays("hey").said(HEY.format(statuses=statuses, errors=errors)) == said


@pytest.mark.parametrize(
    ("statuses", "errors", "said"),
    [
        ('"200": 30', "", Said(30, 0, 1.5)),
        ('"200": 30, "502": 2', "", Said(32, 2, 1.5)),
        ('"200": 30', '"connection closed before message completed": 3', Said(33, 3, 1.5)),
        ('"200": 30', '"aborted due to deadline": 10', Said(40, 0, 1.5)),
    ],
    ids=["all well", "answers of another status", "requests without an answer", "given up by itself at its end"],
)
def test_oha_gives_statuses_and_errors(statuses: str, errors: str, said: Said) -> None:
    assert OhaSays("oha").said(OHA.format(statuses=statuses, errors=errors)) == said


def test_k6_says_what_its_script_counts() -> None:
    assert K6Says("k6").said('{"requests":125,"failed":1,"ms":419.5}') == Said(125, 1, 0.4195)


@pytest.mark.parametrize(
    "witness", [WrkSays("wrk"), HeySays("hey"), OhaSays("oha"), K6Says("k6")], ids=lambda it: it.name
)
@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:8080 Connection refused\n", "{}"])
def test_a_witness_that_says_nothing_has_seen_nothing_to_count(witness: Witness, text: str) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        witness.said(text)

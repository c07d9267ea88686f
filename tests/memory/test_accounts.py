"""A run's rows are held against what it says in sum, and whatever does not add up is found."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import data, integers, lists, sampled_from

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.accounts import Accounts, unexplained
from proxyreload.history import failures
from proxyreload.record.csvfile import COLUMNS

Row = dict[str, str]


def row(client: int, request: int, kind: str = "get", failure: str = "") -> Row:
    return {"client": str(client), "request": str(request), "kind": kind, "failure": failure}


#: Two clients that were asked for by number, one of another kind, and the probe.
ROWS = [
    row(0, 0),
    row(1, 0),
    row(2, 0, "aimed"),
    row(0, 1),
    row(2, 1, "aimed", "closed before response, reused"),
    row(3, 0, "fresh"),
    row(2, 2, "aimed", "status 503"),
]


def run(**changed: Any) -> dict[str, Any]:
    summary = {
        "failure": 2,
        "failures": {"closed before response, reused": 1, "status 503": 1},
        "kinds": {"get": {"exchanges": 3}, "aimed": {"exchanges": 3}, "fresh": {"exchanges": 1}},
        "answers_by_instance": {"0": 3, "1": 2},
        "arrivals_by_instance": {"0": 4, "1": 2},
    }
    changes = [
        {"number": 1, "action": "remove", "instance": "0", "requested_us": 900_000, "effective_us": 800_000},
        {"number": 2, "action": "add", "instance": "0", "requested_us": 2_000_000, "effective_us": 2_000_000},
        {"number": 3, "action": "reload", "instance": "", "requested_us": 3_000_000, "effective_us": None},
    ]
    return {"summary": summary | changed, "changes": changes}


@pytest.fixture
def accounts(tmp_path: Path) -> Callable[[list[Row]], Accounts]:
    def of(rows: list[Row]) -> Accounts:
        path = tmp_path / "rows.csv"
        lines = [",".join(f'"{each.get(column, "")}"' for column in COLUMNS) for each in rows]
        path.write_text("\n".join([",".join(COLUMNS), *lines, ""]), "utf-8")
        return Accounts.of(path)

    return of


Of = Callable[[list[Row]], Accounts]


def test_what_adds_up_is_explained(accounts: Of) -> None:
    assert unexplained(accounts(ROWS), run()) == []


def test_the_mix_is_what_neither_the_first_clients_nor_the_probe_sent(accounts: Of) -> None:
    assert accounts(ROWS).mixed(2) == 3


@pytest.mark.parametrize(
    ("rows", "changed", "said"),
    [
        (ROWS[1:], {}, ["1 rows that do not follow: client 0: request 1 after 0 rows", "get: 2 rows, 3 exchanges"]),
        ([*ROWS, row(1, 0)], {}, ["1 rows that do not follow: client 1: request 0 after 1 rows", "get: 4 rows, 3 exchanges"]),
        ([ROWS[3], ROWS[0], *ROWS[1:3], *ROWS[4:]], {}, ["client 0: request 1 after 0 rows, client 0: request 0 after 2 rows"]),
        (ROWS[:-1], {}, ["aimed: 2 rows, 3 exchanges", "status 503: 0 rows that failed, 1 failures"]),
        (ROWS, {"answers_by_instance": {"0": 5, "1": 2}}, ["backend 0: 5 answers to 4 requests"]),
        (
            ROWS,
            {"arrivals_by_instance": {"0": 6, "1": 2}},
            ["3 requests arrived beyond those that were answered, and 2 failed"],
        ),
        (ROWS, {"arrivals_by_instance": {"0": 4, "1": 2, "7": 2}}, ["3 requests arrived beyond"]),
    ],
    ids=["the first is missing", "one is there twice", "two have changed places", "the last is missing", "made up by a backend", "sent twice", "at a stranger"],
)  # fmt: skip
def test_what_does_not_add_up_is_found(accounts: Of, rows: list[Row], changed: dict[str, Any], said: list[str]) -> None:
    found = unexplained(accounts(rows), run(**changed))
    assert len(found) == len(said)
    assert all(words in told for words, told in zip(said, found, strict=True)), found


@pytest.mark.parametrize("failure", ["aborted", "own limit", "odd", "status", "status what"])
def test_a_failure_that_says_nothing_about_the_proxy_explains_nothing(accounts: Of, failure: str) -> None:
    rows = [*ROWS[:-1], row(2, 2, "aimed", failure)]
    changed = run(failures={"closed before response, reused": 1, failure: 1})
    assert unexplained(accounts(rows), changed) == [f"1 failures of class {failure!r}, which explains nothing"]


@pytest.mark.parametrize("failure", [failures.TIMEOUT, failures.MESSAGE_LOST, failures.WRONG_BODY, "status 204"])
def test_every_class_of_what_became_of_a_request_explains_it(accounts: Of, failure: str) -> None:
    rows = [*ROWS[:-1], row(2, 2, "aimed", failure)]
    assert unexplained(accounts(rows), run(failures={"closed before response, reused": 1, failure: 1})) == []


@pytest.mark.parametrize(
    ("instance", "cut_us", "times"), [("0", 1_900_000, 1), ("0", 2_100_000, 1), ("0", 2_400_000, 0), ("1", 2_000_000, 0)]
)  # fmt: skip
def test_an_answer_that_its_backend_broke_when_it_came_back_is_no_doing_of_the_proxys(
    accounts: Of, instance: str, cut_us: int, times: int
) -> None:
    rows = [*ROWS[:-1], row(2, 2, "aimed", "truncated") | {"instance": instance, "time": str(cut_us)}]
    found = unexplained(accounts(rows), run(failures={"closed before response, reused": 1, "truncated": 1}))
    assert found == [f"an answer of backend 0 was cut at {cut_us / 1e6:.2f} s, when that was added again"] * times


@pytest.mark.parametrize("number", [1, 2])
def test_a_change_that_was_seen_before_it_was_asked_for_was_not_seen(accounts: Of, number: int) -> None:
    told = run()
    change = told["changes"][number]
    change["effective_us"] = change["requested_us"] - 1
    said = f"change {change['number']} was asked for at {change['requested_us']} µs, and seen at {change['effective_us']} µs"
    assert unexplained(accounts(ROWS), told) == [said]


@given(lists(integers(0, 3), min_size=1, max_size=30), data())
def test_any_one_row_that_is_left_out_is_missed(clients: list[int], drawn: Any) -> None:
    whole, less, left_out = Accounts(), Accounts(), drawn.draw(sampled_from(range(len(clients))))
    for number, client in enumerate(clients):
        request = whole.sent_by[client]
        whole.take(client, request, "get", "")
        if number != left_out:
            less.take(client, request, "get", "")
    counts = {"0": len(clients)}
    kinds = {"get": {"exchanges": len(clients)}}
    summary = run(failure=0, failures={}, kinds=kinds, answers_by_instance=counts, arrivals_by_instance=counts)
    assert unexplained(whole, summary) == []
    assert unexplained(less, summary)

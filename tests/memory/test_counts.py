"""The four counts of the status line."""

import csv
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.events import ConnectionChanged, Exchange, Started
from proxyreload.record.csvfile import CsvFile
from proxyreload.traffic.identity import port_number
from proxyreload.verdict import counts as counts_module
from proxyreload.verdict.counts import Counts, SeenConnections

from .clocks import START_NS, some_examples
from .happened import exchange, exchanges_st, failed


def counted(*exchanges: Exchange) -> Counts:
    """Return the counts of these."""
    counts = Counts()
    counts.add(exchanges)
    return counts


def test_a_whole_right_answer_is_a_success() -> None:
    counts = counted(exchange(), exchange())
    assert (counts.success, counts.failure, counts.total) == (2, 0, 2)


def test_everything_else_is_a_failure_counted_by_its_class() -> None:
    counts = counted(exchange(), failed("timeout"), failed("refused", connection=-1), failed("timeout"))
    assert (counts.success, counts.failure, counts.total) == (1, 3, 4)
    assert counts.by_failure == {"timeout": 2, "refused": 1}


def test_a_clients_first_connection_is_no_change() -> None:
    assert counted(exchange(client=0), exchange(client=1, back_port=50001)).front_changed == 0


def test_a_request_over_another_connection_than_the_one_before_it_is_a_front_change() -> None:
    counts = counted(exchange(connection=0), exchange(connection=1), exchange(connection=1), exchange(connection=2))
    assert counts.front_changed == 2


def test_each_client_has_connections_of_its_own() -> None:
    counts = counted(
        exchange(client=0, connection=0), exchange(client=1, connection=4), exchange(client=0, connection=0)
    )
    assert counts.front_changed == 0


def test_a_failed_request_over_another_connection_is_a_front_change() -> None:
    assert counted(exchange(), failed("timeout", connection=1)).front_changed == 1


def test_a_request_that_found_no_connection_is_no_front_change() -> None:
    counts = counted(exchange(connection=0), failed("refused", connection=-1), exchange(connection=0))
    assert counts.front_changed == 0


def test_a_clients_first_answer_is_no_back_change() -> None:
    assert counted(*(exchange(client=n, back_port=50000 + n) for n in range(5))).back_changed == 0


def test_an_answer_over_a_backend_connection_that_carried_none_before_is_a_back_change() -> None:
    assert counted(exchange(back_port=50000), exchange(back_port=50001)).back_changed == 1


def test_a_steady_pool_stays_flat() -> None:
    ports = (50000, 50001, 50002)
    warmed = counted(*(exchange(client=n, back_port=port) for n, port in enumerate(ports)))
    warmed.add([exchange(back_port=port) for port in ports * 5])
    assert warmed.back_changed == 0


def test_a_replaced_backend_connection_counts_once_however_many_use_it() -> None:
    counts = counted(exchange(client=0), exchange(client=1))
    counts.add([exchange(client=client, back_port=50009) for client in (0, 1, 0, 1)])
    assert counts.back_changed == 1


def test_the_same_port_of_another_backend_is_another_connection() -> None:
    assert counted(exchange(instance="0"), exchange(instance="1")).back_changed == 1


def test_an_answer_without_a_backend_connection_is_no_back_change() -> None:
    assert counted(exchange(), failed("status 503", status=503)).back_changed == 0


def test_after_a_failure_without_answer_the_first_answer_is_still_no_back_change() -> None:
    assert counted(exchange(client=1), failed("timeout"), exchange(client=0, back_port=50007)).back_changed == 0


def test_the_probe_counts_in_success_and_failure_alone() -> None:
    probe = [exchange(client=9, probe=True, connection=n, back_port=50000 + n) for n in range(4)]
    counts = counted(*probe, failed("timeout", client=9, probe=True, connection=5))
    assert (counts.success, counts.failure, counts.front_changed, counts.back_changed) == (4, 1, 0, 0)


def test_a_backend_connection_that_the_probe_opened_is_not_new_to_a_client() -> None:
    counts = counted(exchange(), exchange(client=9, probe=True, back_port=50005), exchange(back_port=50005))
    assert counts.back_changed == 0


def test_adding_tells_which_connections_changed() -> None:
    first, front, back, both = (
        exchange(),
        exchange(connection=1),
        exchange(connection=1, back_port=50001),
        exchange(connection=2, back_port=50002),
    )
    assert Counts().add([first, front, back, both, both]) == [
        ConnectionChanged(front, front=True, back=False),
        ConnectionChanged(back, front=False, back=True),
        ConnectionChanged(both, front=True, back=True),
    ]


def test_the_status_line_has_the_ancestors_words() -> None:
    counts = counted(exchange(), exchange(connection=1, back_port=50001), failed("refused", connection=-1))
    assert counts.line() == "success: 2 failure: 1 front changed: 1 back changed: 1"


def test_a_source_port_that_no_connection_can_have_is_counted_like_none() -> None:
    counts = counted(exchange(), exchange(back_port=port_number(b"99999")))
    assert (counts.success, counts.back_changed) == (2, 0)


def test_the_highest_port_is_a_port() -> None:
    seen = SeenConnections()
    assert seen.add("0", 65535)
    assert not seen.add("0", 65535)
    assert seen.add("0", 65534)


def test_backends_that_somebody_invents_do_not_fill_the_memory() -> None:
    seen = SeenConnections()
    known = counts_module._INSTANCES_KEPT
    added = [seen.add(str(number), 1) for number in range(known + 50)]
    assert added == [True] * known + [False] * 50
    assert len(seen.ports) == known


@some_examples
@given(exchanges_st)
def test_success_and_failure_are_all_there_is(exchanges: list[Exchange]) -> None:
    counts = counted(*exchanges)
    assert counts.success + counts.failure == counts.total == len(exchanges)
    assert sum(counts.by_failure.values()) == counts.failure


@some_examples
@given(exchanges_st)
def test_the_counters_can_be_recomputed_from_the_file(exchanges: list[Exchange]) -> None:
    counts = counted(*exchanges)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        file = CsvFile(path)
        file.open()
        file.started([Started(START_NS)])
        if exchanges:
            file.exchanged(exchanges)
        file.close()
        with path.open(newline="") as opened:
            rows = list(csv.DictReader(opened))
    assert len(rows) == counts.total
    assert sum(row["failure"] == "" for row in rows) == counts.success
    connections: dict[str, str] = {}
    changed = 0
    for row in rows:
        client, connection = row["client"], row["connection"]
        if connection:
            changed += connections.get(client, connection) != connection
            connections[client] = connection
    assert changed == counts.front_changed


@some_examples
@given(exchanges_st, st.integers(1, 10))
def test_the_counts_do_not_depend_on_where_batches_end(exchanges: list[Exchange], size: int) -> None:
    by_batches = Counts()
    changed: list[ConnectionChanged] = []
    for start in range(0, len(exchanges), size):
        changed += by_batches.add(exchanges[start : start + size])
    at_once = Counts()
    assert at_once.add(exchanges) == changed
    assert at_once == by_batches


@some_examples
@given(exchanges_st)
def test_back_changes_can_be_recomputed_from_the_file(exchanges: list[Exchange]) -> None:
    counts = counted(*exchanges)
    answered: set[int] = set()
    seen: set[tuple[str, int]] = set()
    changed = 0
    for each in exchanges:
        if each.back_port:
            changed += each.client in answered and (each.instance, each.back_port) not in seen
            seen.add((each.instance, each.back_port))
            answered.add(each.client)
    assert changed == counts.back_changed

"""The main job: add backend 2, remove backend 0, verdict."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from .command import EXIT_STATUS, Place, Result, Row
from .mechanisms import over_us
from .proxies import LOSSLESS, PLUGINS

pytestmark = pytest.mark.real

ANCESTORS_COLUMNS = ["time", "client", "status", "instance", "front port", "back port"]


@pytest.fixture(scope="module", params=PLUGINS)
def plugin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plugin: str) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp(plugin))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="module")
def job(place: Place, plugin: str) -> Result:
    return place.run("--plugin", plugin, "--duration", "4", *place.ports)


@pytest.fixture
def add(job: Result) -> dict[str, Any]:
    return job.changes[0]


@pytest.fixture
def remove(job: Result) -> dict[str, Any]:
    return job.changes[1]


def of_instance(job: Result, instance: str) -> list[Row]:
    return [row for row in job.rows if row.instance == instance]


def test_exit_status_is_the_verdicts(job: Result, plugin: str) -> None:
    assert job.stderr == ""
    assert job.status == EXIT_STATUS[job.verdict] == job.summary["exit_status"]
    assert job.verdict in {"seamless", "graceful", *([] if plugin in LOSSLESS else ["racy", "lossy"])}
    assert f"\nverdict: {job.verdict}" in job.stdout


def test_without_a_loss_where_the_mechanism_has_none(job: Result, plugin: str) -> None:
    if plugin == "nginx":
        assert set(job.summary["failures"]) <= {"closed before response, reused", "reset before response, reused"}
    else:
        assert job.summary["failures"] == {}
        assert [change["failures"] for change in job.changes] == [{}, {}]


def test_rows_run_file_and_status_line_agree(job: Result) -> None:
    assert len(job.rows) > 100
    job.assert_complete()


def test_added_backend_answers(job: Result, add: dict[str, Any]) -> None:
    assert (add["action"], add["instance"], add["error"]) == ("add", "2", None)
    times = [row.time for row in of_instance(job, "2")]
    assert min(times) == add["effective_us"]
    assert add["requested_us"] < min(times)
    assert add["requested_us"] < add["applied_us"] < max(times)


def test_removed_backend_answers_no_more(job: Result, remove: dict[str, Any]) -> None:
    assert (remove["action"], remove["instance"], remove["error"]) == ("remove", "0", None)
    times = [row.time for row in of_instance(job, "0")]
    since = [time for time in times if time >= remove["requested_us"]]
    assert max(remove["effective_us"] or 0, remove["drained_us"] or 0) == max(since, default=0)
    assert min(times) < remove["requested_us"] < remove["applied_us"]
    others = [row for row in job.rows if row.time > over_us(remove)]
    assert len(others) > 100
    assert {row.instance for row in others if row.instance} == {"1", "2"}


def test_stragglers_are_counted(job: Result, remove: dict[str, Any]) -> None:
    applied = remove["applied_us"]
    sent = [int(row.written) for row in of_instance(job, "0") if row.written and row.time >= applied]
    # The file has whole µs: what was sent in the same one may have been before or after.
    assert sum(at > applied for at in sent) <= remove["stragglers"] <= sum(at >= applied for at in sent)


def test_answers_are_counted_by_backend(job: Result) -> None:
    answers = Counter(row.instance for row in job.rows if row.instance)
    assert job.summary["answers_by_instance"] == answers
    arrivals = Counter(job.summary["arrivals_by_instance"])
    assert set(arrivals) == set(answers) == {"0", "1", "2"}
    assert arrivals.total() - answers.total() <= job.summary["failure"]
    assert all(arrivals[instance] >= answers[instance] for instance in answers)


def test_columns(job: Result) -> None:
    head, *rows = job.table
    assert head[:6] == ANCESTORS_COLUMNS
    number = re.compile(r"\d+")
    assert all(number.fullmatch(row[0]) for row in rows)
    assert {len(row) for row in rows} == {len(head)}


def test_times_of_an_exchange_are_in_order(job: Result) -> None:
    for row in job.rows:
        if row.status == "200":
            assert row.due <= int(row.written) <= int(row.first_byte) <= row.time


def test_a_connection_has_one_port_and_carries_requests_one_by_one(job: Result) -> None:
    ports: dict[tuple[int, str], str] = {}
    carried: Counter[tuple[int, str]] = Counter()
    for row in job.rows:
        connection = (row.client, row.connection)
        assert row.front_port == ports.setdefault(connection, row.front_port)
        assert row.carried == carried[connection]
        carried[connection] += 1


def test_probe_connects_anew_for_each_request(job: Result) -> None:
    probe = max(row.client for row in job.rows)
    assert probe == 10
    connections = [row.connection for row in job.rows if row.client == probe]
    assert len(connections) > 10
    assert len(set(connections)) == len(connections)


def test_run_file_says_what_ran(job: Result, place: Place, plugin: str) -> None:
    run = job.run_json
    assert run["plugin"] == plugin
    assert run["mechanism"]
    assert run["proxy_version"]
    assert run["options"]["clients"] == 10
    assert run["options"]["duration"] == 4
    assert run["options"]["first_port"] == place.first_port
    assert [(step["action"], step["instance"]) for step in run["scenario"]["steps"]] == [("add", 2), ("remove", 0)]
    assert run["versions"]["proxyreload"]
    assert [change["number"] for change in job.changes] == [1, 2]


def test_changes_are_in_the_log(job: Result) -> None:
    for number, words in ((1, "add backend 2"), (2, "remove backend 0")):
        assert re.search(rf"^ +\d+\.\d{{6}}  change {number}: {words} \(\S+\) requested$", job.stdout, re.MULTILINE)
        assert re.search(rf"^ +\d+\.\d{{6}}  change {number}: {words} \(\S+\) applied$", job.stdout, re.MULTILINE)


def test_a_clean_run_says_its_detection_limit(job: Result) -> None:
    limit = f"0 failures in {len(job.rows)} exchanges: with 95 % confidence"
    assert (limit in job.stdout) == (job.summary["failure"] == 0)


def test_piped_output_has_no_escape_codes(job: Result) -> None:
    assert "\x1b" not in job.stdout
    assert "\r" not in job.stdout


def test_nothing_is_left(job: Result, place: Place) -> None:
    assert job.rows
    assert place.left() == []

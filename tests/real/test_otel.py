"""``--otel``: a run as a trace, at a real collector, at a dead one, at one that hangs."""

import csv
import re
import shlex
import signal
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from .collector import Collector, attributes, collector
from .command import HOST, MORE, TWISTD, Place, Result, free_ports
from .page import blocks, pattern

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "opentelemetry.md"  # opentelemetry.md has commands that are run here
#: Figures that stand in a loss's event and in its row.
WHOLE = ("client", "request", "front_port", "connection", "since_change_us")
TEXTS = ("kind", "failure", "fate", "cause", "evidence")
STEPS = ("applied", "effective", "drained")


def watch(place: Place, there: Collector, *words: str, url: str | None = None, **more: Any) -> Result:
    """Watch a server for a moment, and send that to a collector."""
    told = (f"{there.url}/", "--no-backends", "--duration", "0.5", "--otel", url or there.url)
    return place.run(*told, *words, **more)


def us_since(run: Span, at_ns: int) -> int:
    """Return a moment as the run's file has it."""
    return (at_ns - run.start_time_unix_nano) // 1000


def rows_of(place: Place) -> list[dict[str, str]]:
    """Return the rows of the losses."""
    with (place.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_row(run: Span, change: int, event: Span.Event) -> dict[str, str]:
    """Return what a row of the losses has of an event."""
    told = attributes(event.attributes)
    cells = {name.replace("_", " "): str(told.get(name, "")) for name in (*WHOLE, *TEXTS)}
    return cells | {"time": str(us_since(run, event.time_unix_nano)), "change": str(change or "")}


def assert_as_written(place: Place, result: Result, spans: list[Span]) -> None:
    """Check that spans and events say what the files say, to the µs."""
    run, *changes = spans
    told = attributes(run.attributes)
    summary = result.summary
    assert (run.name, run.parent_span_id) == ("proxyreload run", b"")
    assert us_since(run, run.end_time_unix_nano) == summary["duration_us"]
    for key in ("verdict", "reasons", "exit_status", "exchanges", "turned_away"):
        assert told[key] == summary[key]
    assert (told["failures"], told["changes"]) == (summary["failure"], len(result.changes))
    for key in ("plugin", "mechanism", "url", "proxy_version"):
        assert told[key] == result.run_json[key]
    for span, change in zip(changes, result.changes, strict=True):
        told = attributes(span.attributes)
        assert (span.trace_id, span.parent_span_id) == (run.trace_id, run.span_id)
        assert told["change"] == change["number"]
        for key in ("action", "mechanism", "verdict", "exchanges"):
            assert told[key] == change[key]
        assert told.get("instance", "") == change["instance"]
        assert told["failures"] == sum(change["failures"].values())
        closed = {key.partition(".")[2]: number for key, number in told.items() if key.startswith("front_closed.")}
        assert closed == change["front_closed"]
        assert us_since(run, span.start_time_unix_nano) == change["requested_us"]
        steps = {
            f"{event.name}_us": us_since(run, event.time_unix_nano) for event in span.events if event.name != "loss"
        }
        assert steps == {f"{name}_us": change[f"{name}_us"] for name in STEPS if change[f"{name}_us"] is not None}
        assert us_since(run, span.end_time_unix_nano) == max(steps["applied_us"], steps["effective_us"])
        worse = change["verdict"] in {"lossy", "ineffective", "invalid"}
        assert span.status.code == (Status.STATUS_CODE_ERROR if worse else Status.STATUS_CODE_UNSET)
    events = [
        as_row(run, number, event) for number, span in enumerate(spans) for event in span.events if event.name == "loss"
    ]
    columns = events[0].keys()
    rows = [{column: row[column].removeprefix("'") for column in columns} for row in rows_of(place)]
    assert sorted(events, key=repr) == sorted(rows, key=repr)


def test_a_lossy_reload_is_a_trace_that_says_what_the_files_say(place: Place) -> None:
    (block,) = [each for each in blocks(PAGE) if "nginx:reload" in each.text]
    (command,) = block.shown
    before_ns = time.time_ns()
    with collector() as there:
        _program, *words = shlex.split(command.text.replace("http://127.0.0.1:4318", there.url))
        result = place.run(*words, "--duration", "4", *place.ports)
    assert (result.status, result.stderr) == (1, "")
    shown = [line.replace(":4318/", f":{there.port}/") for line in command.output]
    assert pattern(tuple(shown)).fullmatch(result.stdout), result.stdout
    spans = there.spans
    assert len(there.requests) == 1
    assert there.paths == ["/v1/traces"]
    assert_as_written(place, result, spans)
    assert sum(event.name == "loss" for span in spans for event in span.events) > 10
    assert spans[0].status.message.startswith("lossy: ")
    started_ns = datetime.fromisoformat(result.run_json["started"]).timestamp() * 10**9
    assert before_ns < spans[0].start_time_unix_nano < spans[0].end_time_unix_nano < there.taken_ns
    assert started_ns <= spans[0].start_time_unix_nano
    assert f"sent to {there.url}/v1/traces: trace {spans[0].trace_id.hex()}" in result.stdout.splitlines()
    assert result.run_json["options"]["otel"] == f"{there.url}/v1/traces"
    assert place.left() == []


def test_the_environment_says_where_and_whose_and_a_password_stands_nowhere(place: Place) -> None:
    with collector() as there:
        environment = {
            **place.environment,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:secret@{HOST}:{there.port}/x",
            "OTEL_SERVICE_NAME": "edge",
            "OTEL_RESOURCE_ATTRIBUTES": "team=net",
            "TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
        result = watch(place, there, url="environment", environment=environment)
    assert (result.status, result.stderr, there.paths) == (0, "", ["/x/v1/traces"])
    assert there.headers[0]["authorization"] == "Basic bWU6c2VjcmV0"
    assert "secret" not in result.stdout + result.run.read_text(encoding="utf-8")
    whose = attributes(there.requests[0].resource_spans[0].resource.attributes)
    assert (whose["service.name"], whose["team"]) == ("edge", "net")
    (run,) = there.spans
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert attributes(run.attributes)["url"] == f"{there.url}/"


def test_a_service_sends_it_too(place: Place) -> None:
    with collector() as there:
        result = watch(place, there, command=TWISTD)
    assert (result.status, result.stderr, len(there.spans)) == (0, "", 1)


def test_a_run_that_is_ended_early_sends_what_there_is(place: Place) -> None:
    with collector() as there:
        words = (f"{there.url}/", "--no-backends", "--duration", "600", "--otel", there.url)
        session = place.start(*words)
        session.until(MORE)
        session.signal(signal.SIGINT)
        result = session.ended()
    assert (result.status, result.verdict, result.stderr) == (3, "invalid", "")
    (run,) = there.spans
    assert us_since(run, run.end_time_unix_nano) == result.summary["duration_us"]
    assert run.status.code == Status.STATUS_CODE_ERROR
    assert run.status.message.startswith("invalid: the run was ended early")


def impatient(place: Place) -> dict[str, str]:
    """Return an environment in which the exporter gives up soon."""
    return {**place.environment, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}


def test_a_collector_that_is_dead_costs_a_line_and_the_exit_status(place: Place) -> None:
    dead = f"http://{HOST}:{free_ports(1)}"
    with collector() as there:
        result = watch(place, there, url=dead, environment=impatient(place))
    assert (result.status, result.verdict, result.stderr) == (3, "seamless", "")
    assert f"not sent to {dead}/v1/traces: Connection refused" in result.stdout.splitlines()
    assert result.summary["exit_status"] == 0
    result.assert_complete()


def test_one_that_hangs_is_not_waited_for_for_ever(place: Place) -> None:
    with collector() as there, socket.create_server((HOST, 0)) as deaf:
        url = f"http://{HOST}:{deaf.getsockname()[1]}"
        result = watch(place, there, url=url, environment=impatient(place))
    assert (result.status, result.verdict, result.stderr) == (3, "seamless", "")
    assert f"not sent to {url}/v1/traces: it has not answered in time" in result.stdout.splitlines()


def test_who_will_not_wait_for_it_ends_it_by_a_signal(place: Place) -> None:
    with collector() as there, socket.create_server((HOST, 0)) as deaf:
        url = f"http://{HOST}:{deaf.getsockname()[1]}"
        session = place.start(f"{there.url}/", "--no-backends", "--duration", "0.5", "--otel", url)
        connection, _whose = deaf.accept()
        with connection:
            assert connection.recv(4) == b"POST"
            session.signal(signal.SIGINT)
            result = session.ended()
    assert (result.status, result.verdict, result.stderr) == (3, "seamless", "")
    assert f"not sent to {url}/v1/traces: ended by a signal" in result.stdout.splitlines()


def test_without_the_sdk_it_says_before_the_run_what_to_install(place: Place) -> None:
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; from proxyreload.entry import main; main()"
    words = ("--plugin", "control", "--otel", f"http://{HOST}:4318", *place.ports)
    result = place.run(*words, command=(sys.executable, "-c", code))
    assert result.status == 2
    assert re.fullmatch(
        r"proxyreload: --otel needs .*, which is not installed: pip install 'proxyreload\[otel\]'\n", result.stderr
    )
    assert not result.csv.exists()


@pytest.mark.parametrize("url", ["localhost:4318", "grpc://localhost:4317", "http://me:secret@h:x/"])
def test_what_is_no_url_is_told_in_a_line(place: Place, url: str) -> None:
    result = place.run("--plugin", "control", "--otel", url, *place.ports)
    assert result.status == 2
    assert re.fullmatch(r"proxyreload: --otel: .* is not a URL.*\n", result.stderr.splitlines(keepends=True)[0])
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr

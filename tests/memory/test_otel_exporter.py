"""OpenTelemetry's exporter, with collectors in memory: what it is given, and what is told of what they answer."""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import NewConnectionError

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.otel import exporter as adapter
from proxyreload.otel.export import TraceExport
from proxyreload.otel.exporter import Exporter
from proxyreload.otel.spans import Span, SpanEvent, Trace
from proxyreload.plan.settings import CollectorSettings

TRACE = Trace(
    Span("proxyreload run", 1_000, 9_000, {"proxyreload.verdict": "lossy", "proxyreload.kinds": ["get", "idle"]}),
    [
        Span(
            "reload",
            2_000,
            3_000,
            {"proxyreload.change": 1},
            [SpanEvent("loss", 5_000, {"proxyreload.client": 3})],
            "lossy: 1 failure",
        )
    ],
)
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Answers = Callable[[], tuple[int, bytes]]


def taken() -> tuple[int, bytes]:
    return 200, ExportTraceServiceResponse().SerializeToString()


class Collector(BaseAdapter):
    """Keeps the requests, and answers."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self.answers = answers
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_args: object, **_more: object) -> requests.Response:
        self.requests.append(request)
        status, body = self.answers()
        response = requests.Response()
        response.status_code, response.reason, response.url = status, "so", str(request.url)
        response.request = request
        response.raw = HTTPResponse(io.BytesIO(body), status=status, preload_content=False)
        response.headers["Location"] = "http://elsewhere.test/"
        return response

    def close(self) -> None: ...

    @property
    def bodies(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(request.body) for request in self.requests]  # type: ignore[arg-type]

    def spans(self) -> list[SentSpan]:
        return [
            span
            for body in self.bodies
            for resource in body.resource_spans
            for of in resource.scope_spans
            for span in of.spans
        ]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")  # tries again until then


def exported(
    answers: Answers = taken, authorization: str = "", trace: Trace = TRACE
) -> tuple[str, Collector, Exporter]:
    """Return why a trace could not be sent to one that answers so, the collector and the exporter."""
    exporter, collector = (
        Exporter(CollectorSettings("http://collector.test/v1/traces", authorization)),
        Collector(answers),
    )
    exporter._session.mount("http://", collector)
    try:
        return exporter.export(trace), collector, exporter
    finally:
        exporter.close()


def strings(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


def test_spans_are_sent_as_they_are() -> None:
    why_not, collector, exporter = exported()
    assert why_not == ""
    assert [(request.method, request.url) for request in collector.requests] == [
        ("POST", "http://collector.test/v1/traces")
    ]
    run, change = collector.spans()
    assert (run.name, run.start_time_unix_nano, run.end_time_unix_nano) == ("proxyreload run", 1_000, 9_000)
    assert (change.name, change.start_time_unix_nano, change.end_time_unix_nano) == ("reload", 2_000, 3_000)
    assert {run.trace_id.hex(), change.trace_id.hex()} == {exporter.trace_id}
    assert (run.parent_span_id, change.parent_span_id) == (b"", run.span_id)
    assert strings(run.attributes)["proxyreload.verdict"] == "lossy"
    assert [each.string_value for each in run.attributes[1].value.array_value.values] == ["get", "idle"]
    (event,) = change.events
    assert (event.name, event.time_unix_nano, event.attributes[0].value.int_value) == ("loss", 5_000, 3)
    assert (run.status.code, change.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    assert change.status.message == "lossy: 1 failure"


def test_whose_it_is_says_the_environment_or_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = strings(exported()[1].bodies[0].resource_spans[0].resource.attributes)
    assert ours["service.name"] == "proxyreload"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci,service.version=7")
    theirs = strings(exported()[1].bodies[0].resource_spans[0].resource.attributes)
    assert (theirs["service.name"], theirs["service.version"]) == ("edge", "7")
    assert theirs["deployment.environment.name"] == "ci"


def test_who_has_started_us_in_a_trace_has_the_run_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", CALLER)
    _why_not, collector, exporter = exported()
    run, change = collector.spans()
    assert exporter.trace_id == run.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert run.parent_span_id.hex() == "00f067aa0ba902b7"
    assert change.parent_span_id == run.span_id


@pytest.mark.parametrize(
    "words", ["", "nonsense", CALLER.replace("4bf9", "zzzz"), f"00-{'0' * 32}-00f067aa0ba902b7-01"]
)
def test_what_is_no_trace_is_none(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", words)
    assert exported()[1].spans()[0].parent_span_id == b""


def test_who_asks_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=edge")
    _why_not, collector, _exporter = exported(authorization="Basic bWU6c2VjcmV0")
    headers = collector.requests[0].headers
    assert (headers["Authorization"], headers["x-team"]) == ("Basic bWU6c2VjcmV0", "edge")


def test_many_spans_are_sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_BATCH", 2)
    _why_not, collector, _exporter = exported(trace=Trace(TRACE.run, [*TRACE.changes] * 4))
    assert [len(body.resource_spans[0].scope_spans[0].spans) for body in collector.bodies] == [2, 2, 1]
    assert len({span.span_id for span in collector.spans()}) == 5


def raises(error: Exception) -> Answers:
    def answers() -> tuple[int, bytes]:
        raise error

    return answers


def refused() -> requests.ConnectionError:
    """Return what is raised where nobody listens: what the system says stands at its bottom."""
    error = requests.ConnectionError("HTTPConnectionPool(host='collector.test'): Max retries exceeded")
    error.__context__ = NewConnectionError(None, "failed")  # type: ignore[arg-type]
    error.__context__.__cause__ = ConnectionRefusedError(111, "Connection refused")
    return error


def rejecting() -> tuple[int, bytes]:
    part = ExportTracePartialSuccess(rejected_spans=2, error_message="too\x1b old")
    return 200, ExportTraceServiceResponse(partial_success=part).SerializeToString()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (raises(refused()), "Connection refused"),
        (raises(requests.ReadTimeout("read timed out")), "it has not answered in time"),
        (raises(requests.exceptions.InvalidHeader("odd")), "odd"),
        (raises(RuntimeError("broken")), "broken"),
        (lambda: (404, b"no"), "it answered 404 so"),
        (lambda: (503, b"later"), "it answered 503 so"),
        (lambda: (302, b""), "it answered 302 so"),
        (lambda: (200, b"x" * 65_537), "its answer has no end"),
        (lambda: (200, b"<html>"), "it does not answer as a collector does"),
        (rejecting, "it rejected 2 spans: too\\x1b old"),
    ],
)
def test_what_a_collector_does_not_take_is_told_in_a_line(
    answers: Answers, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    why_not, _collector, _exporter = exported(answers)
    assert why in why_not
    assert why_not.isprintable()
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_used_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = TraceExport(CollectorSettings("http://collector.test/v1/traces"))

    def broken(_collector: CollectorSettings) -> None:
        message = "odd\nversions"
        raise TypeError(message)

    monkeypatch.setattr(adapter, "Exporter", broken)
    with pytest.raises(UsageError, match=r"^--otel: OpenTelemetry's SDK cannot be used: TypeError: odd / versions$"):
        trace.open(EventBus())
    monkeypatch.delitem(sys.modules, "proxyreload.otel.exporter")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UsageError, match=r"^--otel needs OpenTelemetry's SDK, .*: pip install 'proxyreload\[otel\]'$"):
        trace.open(EventBus())

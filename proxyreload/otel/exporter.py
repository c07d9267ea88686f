"""Gives spans to OpenTelemetry's own exporter, OTLP over HTTP. Imports what the extra ``otel`` brings.

What else the environment says of an exporter (headers, certificates, compression, how long it may take) the SDK goes by
itself.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

import proxyreload
from proxyreload.otel.spans import Span, Trace
from proxyreload.plan.settings import CollectorSettings
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: Spans that are sent at once, as the SDK does.
_BATCH = 512
#: What is read of an answer, which has a few bytes.
_ANSWER_BYTES = 65_536
_NAME = "proxyreload"


class _Words(logging.Handler):
    """Keeps what the SDK has said last: else that goes to standard error, also from a thread that nobody awaits."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


_SAID = _Words()


class _Session(requests.Session):
    """Knows how the last request failed, follows no redirection, and reads no more of an answer than it has to have."""

    def __init__(self, authorization: str) -> None:
        super().__init__()
        self.why_not = ""
        self._authorization = authorization
        if authorization:  # beside the headers that the environment asks for
            self.auth = self._authorized
        self.headers["Accept-Encoding"] = "identity"
        self.hooks["response"].append(self._answered)

    def request(self, *args: Any, **more: Any) -> requests.Response:  # noqa: ANN401
        self.why_not = ""
        try:
            return super().request(*args, **{**more, "allow_redirects": False})
        except requests.Timeout:
            self.why_not = "it has not answered in time"
            raise
        except requests.RequestException as error:
            self.why_not = self.why_not or _words_of(error)
            raise

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request

    def _answered(self, response: requests.Response, **_how: object) -> None:
        body = response.raw.read(_ANSWER_BYTES + 1, decode_content=False)
        if len(body) > _ANSWER_BYTES:
            self.why_not = "its answer has no end"
            raise requests.exceptions.ContentDecodingError(self.why_not)
        if response.status_code >= requests.codes.multiple_choices:
            self.why_not = f"it answered {response.status_code} {response.reason or ''}".strip()
        elif response.status_code == requests.codes.ok:
            self.why_not = _rejected(body)


def _rejected(body: bytes) -> str:
    """Say what a collector has not taken of what it was sent."""
    try:
        rejection = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return "it does not answer as a collector does"
    if not rejection.rejected_spans:
        return ""
    return ": ".join(filter(None, [f"it rejected {rejection.rejected_spans} spans", rejection.error_message]))


def _words_of(error: BaseException) -> str:
    """Return the words of what a request failed with, the operating system's if they are its."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError) and first.strerror:
            return first.strerror
        first = first.__cause__ or first.__context__
    return str(error) or type(error).__name__


class Exporter:
    """Sends one trace; it is made before the run, so that what it cannot do is known then."""

    def __init__(self, collector: CollectorSettings) -> None:
        assert collector.otel is not None  # noqa: S101
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).addHandler(_SAID)  # which it has once, however often that is said
        self._session = _Session(collector.authorization)
        self._sdk = OTLPSpanExporter(collector.otel, session=self._session)
        told = Resource({SERVICE_NAME: _NAME, SERVICE_VERSION: proxyreload.__version__})
        self._resource = Resource.create(told.merge(OTELResourceDetector().detect()).attributes)
        self._ids = RandomIdGenerator()
        # Who has started us in a trace of his own says so by the environment, as in a request's head.
        around = TraceContextTextMapPropagator().extract({"traceparent": os.environ.get("TRACEPARENT", "")})
        parent = get_current_span(around).get_span_context()
        self._parent = parent if parent.is_valid else None
        self._trace_id = self._parent.trace_id if self._parent is not None else self._ids.generate_trace_id()

    @property
    def trace_id(self) -> str:
        """The trace's id, by which it is found: 32 hexadecimal digits."""
        return format_trace_id(self._trace_id)

    def export(self, trace: Trace) -> str:
        """Send it; returns why that cannot be, empty if the collector has it. Blocks, for as long as the SDK waits."""
        run = self._context()
        spans = [self._span(trace.run, run, self._parent)]
        spans += [self._span(change, self._context(), run) for change in trace.changes]
        for first in range(0, len(spans), _BATCH):
            why_not = self._sent(spans[first : first + _BATCH])
            if why_not:
                return one_line(why_not, WORDS_LIMIT)
        return ""

    def close(self) -> None:
        """Give back what it has open; what is being sent is tried no more."""
        self._sdk.shutdown()

    def _sent(self, spans: Sequence[ReadableSpan]) -> str:
        try:
            done = self._sdk.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  (older versions let through what requests raise)
            return self._session.why_not or _words_of(error)
        if self._session.why_not or done:
            return self._session.why_not
        return _SAID.last or "the exporter does not say why"

    def _context(self) -> SpanContext:
        return SpanContext(
            self._trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )

    def _span(self, span: Span, context: SpanContext, parent: SpanContext | None) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context,
            parent,
            self._resource,
            span.attributes,
            [Event(event.name, event.attributes, event.at_ns) for event in span.events],
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.started_ns,
            end_time=span.ended_ns,
            instrumentation_scope=InstrumentationScope(_NAME, proxyreload.__version__),
        )

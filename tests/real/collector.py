"""A collector of OpenTelemetry's on the loopback, that keeps what it is sent."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .command import HOST


@attrs.define(eq=False)
class Collector:
    """What came to it; it answers a GET too, so that there can be traffic."""

    port: int = 0
    requests: list[ExportTraceServiceRequest] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    paths: list[str] = attrs.field(factory=list)
    taken_ns: int = 0  #: when the last came, since the epoch

    @property
    def url(self) -> str:
        """What ``--otel`` takes."""
        return f"http://{HOST}:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """All spans, in the order in which they came."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep a request."""
        self.taken_ns = time.time_ns()
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        self.headers.append(headers)
        self.paths.append(path)


@contextmanager
def collector() -> Iterator[Collector]:
    """Have one for a while."""
    kept = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"it is there")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self._answer(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_words: object) -> None: ...

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        kept.port = server.server_address[1]
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield kept
        finally:
            server.shutdown()
            serving.join()


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes by their names without what ours begin with; those of others as they are."""
    return {each.key.removeprefix("proxyreload."): _value(each.value) for each in pairs}


def _value(value: AnyValue) -> Any:
    if value.WhichOneof("value") == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, str(value.WhichOneof("value")))

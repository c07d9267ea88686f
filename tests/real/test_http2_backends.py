"""Other people's clients of HTTP/2 and gRPC ask our backends, straight: whatever fails behind a proxy is not ours."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proxyreload.backend.process import LEAVE
from proxyreload.traffic.content import content, digest
from proxyreload.traffic.grpc import CALL, asked, told
from proxyreload.traffic.grpchealth import HEALTH_CHECK, HEALTH_WATCH
from proxyreload.traffic.grpcmessages import encoded

from .command import HOST, Place, Session

pytestmark = pytest.mark.real

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


@pytest.fixture(name="backend")
def _backend(place: Place) -> Session:
    session = place.start("backend", "7", str(place.first_port))
    session.until("backend 7 on http")
    return session


@pytest.fixture(name="channel")
def _channel(place: Place, backend: Session) -> Iterator[Any]:
    with grpc.insecure_channel(f"{HOST}:{place.first_port}") as channel:
        yield channel


def curl(place: Place, *words: str) -> bytes:
    """Return what curl says: a body, and behind it the protocol and the status."""
    say = ("-sS", "--max-time", "600", "-w", "\n%{http_version} %{http_code}")
    url = f"http://{HOST}:{place.first_port}/"
    return subprocess.run(["curl", *say, *words, url], capture_output=True, check=True).stdout


def test_curl_speaks_http2_and_http11_to_one_port(place: Place, backend: Session, tmp_path: Path) -> None:
    prior = "--http2-prior-knowledge"
    mine = ("-H", "Proxyreload-Id: 3-7")
    assert curl(place, prior, *mine) == b"backend 7 answers 3-7\n\n2 200"
    assert curl(place, *mine) == b"backend 7 answers 3-7\n\n1.1 200"
    assert curl(place, prior, "--head").endswith(b"\n2 200")
    body = tmp_path / "body"
    body.write_bytes(content(b"mine", 3_000_000))  # more than any window
    receipt = b"backend 7 had 3000000 bytes %b of 3-7\n\n2 200" % digest(body.read_bytes())
    assert curl(place, prior, *mine, "-H", "Proxyreload-Kind: post size=1", "--data-binary", f"@{body}") == receipt
    download = "Proxyreload-Kind: download size=3000000 rate=1000000"
    assert curl(place, prior, *mine, "-H", download) == content(b"3-7", 3_000_000) + b"\n2 200"


def test_h2load_has_all_its_answers(place: Place, backend: Session) -> None:
    words = ["-n", "3000", "-c", "5", "-m", "50", f"http://{HOST}:{place.first_port}/"]
    said = subprocess.run(["h2load", *words], capture_output=True, check=True, text=True).stdout
    assert re.search(r"3000 succeeded, 0 failed, 0 errored, 0 timeout", said), said
    assert "3000 2xx" in said


def test_grpcio_calls_and_asks_how_a_backend_is(channel: Any) -> None:
    call = channel.unary_stream(CALL.decode())
    assert list(call(asked(b"x", 1))) == [told(b"x", 1)]
    assert list(call(asked(b"x", 5, 20_000))) == [told(b"x", number) for number in range(1, 6)]
    with pytest.raises(grpc.RpcError) as raised:
        list(call(asked(b"x", 0, 0, 9)))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "as asked")
    assert list(call(asked(b"y", 2000))) == [told(b"y", number) for number in range(1, 2001)]
    check = channel.unary_unary(HEALTH_CHECK.decode())
    assert check(b"") == check(encoded("HealthCheckRequest", service=b"proxyreload.Calls")) == SERVING
    with pytest.raises(grpc.RpcError) as raised:
        check(encoded("HealthCheckRequest", service=b"else"))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/else.Else/Else")(b"")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    watch = channel.unary_stream(HEALTH_WATCH.decode())(b"")
    assert next(watch) == SERVING
    watch.cancel()


def test_one_that_leaves_ends_its_calls_in_order_and_its_watches(channel: Any, backend: Session) -> None:
    watch = channel.unary_stream(HEALTH_WATCH.decode())(b"")
    assert next(watch) == SERVING
    stream = channel.unary_stream(CALL.decode())(asked(b"x", 10, 100_000))
    assert next(stream) == told(b"x", 1)
    backend.signal(LEAVE)
    assert next(watch) == NOT_SERVING
    with pytest.raises(grpc.RpcError) as raised:
        next(watch)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert list(stream) == [told(b"x", number) for number in range(2, 11)]
    result = backend.ended()
    assert (result.status, result.stderr) == (0, "")

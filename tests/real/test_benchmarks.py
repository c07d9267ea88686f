"""What the benchmarks drive serves, with the plugins as they are."""

import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.servers import backend, haproxy, nginx, site

from .command import HOST, TIMEOUT_S

pytestmark = pytest.mark.real


def answer(port: int) -> tuple[int, bytes]:
    """Return what a server answers."""
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_haproxy_stands_before_nginx(tmp_path: Path) -> None:
    with nginx(tmp_path, 0, ports=2) as ports, haproxy(tmp_path, ports, 0) as front:
        assert answer(front) == (200, b"a static answer\n")


def test_a_backend_and_what_it_is_measured_against_answer_the_same(tmp_path: Path) -> None:
    with backend(tmp_path, 0, 0) as ours, site(tmp_path, 0) as other:
        assert answer(ours) == answer(other)
        assert answer(ours)[0] == 200

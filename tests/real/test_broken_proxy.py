"""Proxies that die or hang."""

import re
import signal
import sys

import pytest

from .command import HOST, TRAFFIC, Exits, Place
from .proxies import PLUGINS, binary

pytestmark = pytest.mark.real

ALL = ("haproxy", "nginx", "sozu")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_proxy_that_is_killed_ends_the_run_as_invalid(place: Place, plugin: str) -> None:
    session = place.start("--plugin", plugin, "--duration", "3600", *place.ports)
    session.until(TRAFFIC)
    session.until_settled()
    (proxy,) = session.children()
    exits = Exits.of(session.descendants())
    proxy.kill()
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "invalid")
    reason = result.summary["reasons"][0]
    assert reason.startswith(f"the proxy died: {plugin} was ended by SIGKILL")
    assert len([line for line in result.stdout.splitlines() if re.match(r" +\d+\.\d+  the proxy died", line)]) == 1
    assert f"verdict: invalid ({reason}" in result.stdout
    result.assert_complete()
    assert exits.left() == []
    assert place.left() == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_proxy_that_hangs_ends_the_run_as_invalid(place: Place, plugin: str) -> None:
    session = place.start("--plugin", plugin, "--duration", "3600", "--timeout", "5", *place.ports)
    session.until(TRAFFIC)
    session.until_settled()
    processes = session.descendants()
    exits = Exits.of(processes)
    for process in processes:
        process.suspend()
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "invalid")
    assert result.summary["reasons"] == [
        "the proxy hangs: not one answer to any client for 5 s, though its backends, asked straight, answer"
    ]
    assert "verdict: invalid (the proxy hangs" in result.stdout
    result.assert_complete()
    assert "timeout" in result.summary["failures"]
    assert exits.left() == []
    assert place.left() == []


@pytest.mark.parametrize("plugin", ALL)
def test_a_proxy_that_dies_at_the_start_is_quoted(place: Place, plugin: str) -> None:
    script = place.write(
        "proxy", "#!/bin/sh\necho 'reading it'\nprintf '\\033[31mline 7: no such word\\n' >&2\nexit 1\n", mode=0o755
    )
    result = place.run("--plugin", plugin, "--binary", script, *place.ports)
    assert result.status == 3
    first, *said = result.stderr.splitlines()
    assert first == "proxyreload: proxy exited with status 1 at the start; it said:"
    assert said == ["  reading it", "  \\x1b[31mline 7: no such word"]
    assert place.left() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_proxy_that_is_killed_at_the_start(place: Place, number: signal.Signals) -> None:
    script = place.write("proxy", f'#!/bin/sh\n[ "$1" = -v ] && exit\nkill -{number.value} $$\n', mode=0o755)
    result = place.run("--plugin", "haproxy", "--binary", script, *place.ports)
    assert result.status == 3
    assert result.stderr == f"proxyreload: proxy was ended by {number.name} at the start; it said:\n  nothing\n"
    assert place.left() == []


def test_a_program_that_is_none(place: Place) -> None:
    path = place.write("proxy", "", mode=0o755)
    (place.folder / "proxy").write_bytes(b"\x7fELF but not really")
    result = place.run("--plugin", "haproxy", "--binary", path, *place.ports)
    assert result.status == 3
    assert result.stderr == f"proxyreload: {path} cannot be started: Exec format error\n"
    assert place.left() == []


# Takes the front port, and becomes the proxy with the port still taken.
TAKER = """\
import os, socket, sys
taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.bind(({host!r}, {port}))
taken.listen()
taken.set_inheritable(True)
os.execv({proxy!r}, [{proxy!r}, *sys.argv[1:]])
"""


@pytest.mark.parametrize("plugin", ["haproxy", "nginx"])
def test_a_front_port_that_only_the_proxy_cannot_have(place: Place, plugin: str) -> None:
    taker = place.write("taker.py", TAKER.format(host=HOST, port=place.front_port, proxy=str(binary(plugin))))
    script = place.write("proxy", f'#!/bin/sh\nexec "{sys.executable}" "{taker}" "$@"\n', mode=0o755)
    result = place.run("--plugin", plugin, "--binary", script, *place.ports)
    assert result.status == 3
    first, *said = result.stderr.splitlines()
    assert first == "proxyreload: proxy exited with status 1 at the start; it said:"
    words = "Address already in use" if plugin == "haproxy" else "still could not bind()"
    assert any(words in line for line in said)
    assert "Traceback" not in result.stderr
    assert place.left() == []

"""A proxy that somebody else runs, changed by commands that the user gives."""

import signal
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import attrs
import psutil
import pytest

from .command import EXIT_STATUS, HOST, TIMEOUT_S, TRAFFIC, Exits, Place, Result, is_free
from .mechanisms import assert_shown
from .proxies import HAPROXY_DEFAULTS, NGINX_FOLDERS, binary

pytestmark = pytest.mark.real

HAPROXY = (
    """\
global
    stats socket unix@api.sock mode 600 level admin expose-fd listeners
    pidfile proxy.pid
"""
    + HAPROXY_DEFAULTS
    + """\
frontend front
    bind 127.0.0.1:{front}
    default_backend app
backend app
    default-server pool-max-conn 100
    server backend0 127.0.0.1:{first}
    server backend1 127.0.0.1:{second}
"""
)

NGINX = (
    """\
pid {folder}/proxy.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
"""
    + NGINX_FOLDERS
    + """\
    upstream app {{ server 127.0.0.1:{first}; server 127.0.0.1:{second}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{front};
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
)

# Tells HAProxy each of its arguments.
TELL = """\
#!/usr/bin/env python3
import socket, sys
for command in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("api.sock")
        connection.sendall(command.encode() + b"\\n")
        print(command, connection.makefile().read(), file=open("told.txt", "a"))
"""
ADD = './tell "add server app/$PROXYRELOAD_NAME $PROXYRELOAD_ADDRESS" "enable server app/$PROXYRELOAD_NAME"'
REMOVE = './tell "set server app/$PROXYRELOAD_NAME state drain"'


@attrs.define
class Outside:
    """A proxy that was there before proxyreload was started, and is to be there afterwards."""

    place: Place
    pid_file: Path

    @classmethod
    def start(cls, place: Place, config: str, *words: str | Path) -> "Outside":
        """Start a daemon with a configuration file, in the folder where proxyreload will be started."""
        first = place.first_port
        text = config.format(folder=place.folder, front=place.front_port, first=first, second=first + 1)
        place.write("proxy.conf", text)
        subprocess.run(words, cwd=place.folder, check=True, timeout=TIMEOUT_S)
        # Whoever answers, if only that there is no backend yet, has written its pid file.
        answering = HTTPConnection(HOST, place.front_port, timeout=TIMEOUT_S)
        answering.request("GET", "/")
        assert answering.getresponse().status >= 500
        answering.close()
        return cls(place, place.folder / "proxy.pid")

    @property
    def process(self) -> psutil.Process:
        """Its first process."""
        return psutil.Process(int(self.pid_file.read_text(encoding="ascii")))

    def stop(self) -> None:
        """End it; it must have been there."""
        process = self.process
        exits = Exits.of([process, *process.children()])
        process.terminate()
        assert exits.left() == []


@pytest.fixture
def haproxy(place: Place) -> Iterator[Outside]:
    place.write("tell", TELL, mode=0o755)
    outside = Outside.start(place, HAPROXY, binary("haproxy"), "-D", "-f", "proxy.conf")
    yield outside
    outside.stop()


def run(place: Place, *words: str) -> Result:
    """Run to the end, and check what every run must be like where the proxy stays."""
    result = place.run("--plugin", "external", *words, *place.ports)
    assert result.stderr == ""
    assert result.status == EXIT_STATUS[result.verdict]
    result.assert_complete()
    assert not is_free(place.front_port)
    return result


def test_commands_change_it_and_it_goes_on_afterwards(place: Place, haproxy: Outside) -> None:
    before = haproxy.process
    result = run(place, "--add-command", ADD, "--remove-command", REMOVE, "--duration", "4")
    assert [change["error"] for change in result.changes] == [None, None]
    assert_shown(result)
    assert (result.run_json["plugin"], result.run_json["mechanism"]) == ("external", "command")
    assert result.run_json["options"]["commands"] == {"add": ADD, "remove": REMOVE}
    assert result.summary["failures"] == {}
    assert haproxy.process == before


def test_it_may_be_named_by_its_url(place: Place, haproxy: Outside) -> None:
    url = f"http://localhost:{place.front_port}/"
    words = ("--plugin", "external", url, "--reload-command", "true", "--repeat", "1", "--change", "reload")
    result = place.run(*words, "--first-port", str(place.first_port))
    result.assert_complete()
    assert result.run_json["url"] == url
    assert [(change["action"], change["error"]) for change in result.changes] == [("reload", None)]


def test_nginx_is_reloaded_by_a_signal(place: Place) -> None:
    outside = Outside.start(place, NGINX, binary("nginx"), "-p", ".", "-c", "proxy.conf", "-e", "stderr")
    workers = set(outside.process.children())
    command = 'kill -HUP "$(cat proxy.pid)"'
    result = run(place, "--reload-command", command, "--repeat", "3", "--change", "reload", "--pace", "0.4")
    assert [(change["action"], change["error"]) for change in result.changes] == [("reload", None)] * 3
    assert workers.isdisjoint(outside.process.children())
    outside.stop()
    assert place.left() == []


def test_what_an_upgrade_has_started_stays(place: Place, haproxy: Outside) -> None:
    before = haproxy.process
    exits = Exits.of([before])
    command = f'{binary("haproxy")} -D -f proxy.conf -x api.sock -sf "$(cat proxy.pid)"'
    result = run(place, "--upgrade-command", command, "--repeat", "1", "--change", "upgrade")
    assert [change["error"] for change in result.changes] == [None]
    assert exits.left() == []
    assert haproxy.process != before


def test_a_command_that_fails_is_a_refused_change(place: Place, haproxy: Outside) -> None:
    words = ("--add-command", "echo not this one >&2; exit 3", "--remove-command", "./nothing-there")
    result = run(place, *words, "--duration", "3")
    add, remove = result.changes
    assert add["error"] == "--add-command: sh exited with status 3: / not this one"
    assert remove["error"].startswith("--remove-command: sh exited with status 127: / ")
    assert "nothing-there" in remove["error"]
    assert (result.verdict, result.status, result.summary["failures"]) == ("ineffective", 3, {})


def test_a_command_that_is_missing_is_told_before_anything_is_written(place: Place) -> None:
    result = place.run("--plugin", "external", "--add-command", "true", *place.ports)
    assert result.stderr == "proxyreload: external:command cannot remove: no --remove-command\n"
    assert (result.status, result.stdout) == (2, "")
    assert not result.csv.exists()
    assert place.left() == []


def test_a_command_that_is_under_way_ends_with_the_run_and_the_proxy_stays(place: Place, haproxy: Outside) -> None:
    command = "tail -f /dev/null & tail -f /dev/null"
    words = ("--reload-command", command, "--repeat", "1", "--change", "reload")
    session = place.start("--plugin", "external", *words, *place.ports)
    session.until("change 1: reload .* requested")
    session.until(TRAFFIC)
    under_way = [process for process in session.descendants() if process.name() in {"sh", "dash", "tail"}]
    exits = Exits.of(under_way)
    session.signal(signal.SIGINT)
    result = session.ended()
    assert exits.left() == []
    assert (result.verdict, result.status) == ("ineffective", 3)
    result.assert_complete()
    assert psutil.pid_exists(haproxy.process.pid)

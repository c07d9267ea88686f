"""What changes of real proxies do to WebSockets, and that a browser's is understood."""

import re
import signal
from collections.abc import Mapping

import pytest

from .browser import BROWSER, browser
from .command import HOST, Place, Result, Row
from .mechanisms import SHORT_LIVED, altered_config, assert_whole, third_party
from .proxies import SOZU

pytestmark = pytest.mark.real

SESSIONS = 6
#: Sessions outlast the run, which ends them; what closes when is the proxy's doing, for removed backends stay.
SCENARIO = """\
duration = {duration}
backends = [0]
[[traffic]]
kind = "websocket"
clients = {sessions}
every = {every}
length = 600
[[step]]
at = 1
{change}
"""
RELOAD, UPGRADE = "reload = true", "upgrade = true"
#: All sessions that have begun are at the backend that is removed.
REPLACE = "add = 1\n[[step]]\nat = 1.5\nremove = 0"
QUIET = ("--clients", "2", "--rate", "40", "--stop-removed", "never")


def changed(
    place: Place,
    mechanism: str,
    change: str,
    *words: str,
    duration: float = 2.0,
    every: float = 0.05,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run sessions through changes."""
    text = SCENARIO.format(duration=duration, sessions=SESSIONS, every=every, change=change)
    result = place.run(
        *("--plugin", mechanism, "--scenario", place.write("sessions.toml", text)),
        *(*QUIET, *words, *place.ports),
        environment=environment,
    )
    assert_whole(place, result)
    assert {change["error"] for change in result.changes} == {None}
    return result


def sessions(result: Result) -> list[Row]:
    """Return the rows of sessions that began before the first change."""
    rows = [row for row in result.rows if row.kind == "websocket"]
    began = [row for row in rows if int(row.written) < result.changes[0]["requested_us"]]
    assert len({row.client for row in began}) == SESSIONS
    return began


@pytest.mark.parametrize(
    "mechanism",
    [
        *("haproxy:runtime", "haproxy:reload", "nginx:reload", "traefik:file", "envoy:file"),
        pytest.param("sozu:runtime", marks=SOZU.marks),
    ],
)
def test_they_live_through_changes_on_the_backend_that_is_removed(place: Place, mechanism: str) -> None:
    result = changed(place, mechanism, REPLACE, "--wait-old", "0")
    began = sessions(result)
    # One each, from before the changes to the end of the run.
    assert {(row.status, row.failure, row.instance) for row in began} == {("101", "", "0")}
    assert len(began) == SESSIONS == result.summary["kinds"]["websocket"]["exchanges"]
    assert min(row.time for row in began) > result.changes[1]["applied_us"]
    assert result.summary["kinds"]["websocket"]["verdict"] == "seamless"
    assert result.summary["kinds"]["websocket"]["ledger"]["answered_once"] == SESSIONS


#: Of Caddy, how long sessions go on, in seconds, and where its configuration says so of what is no call of gRPC.
DELAY_S = 1
SHORTLY = ('"stream_close_delay": "5m"}]}', f'"stream_close_delay": "{DELAY_S}s"}}]}}')


@pytest.mark.parametrize("delay_s", [0, DELAY_S])
def test_caddy_closes_them_with_a_close_frame_at_once_or_when_their_delay_is_over(place: Place, delay_s: int) -> None:
    mechanism = "caddy:load-close-delay" if delay_s else "caddy:load"
    words = ("--config", altered_config(place, mechanism, *SHORTLY)) if delay_s else ()
    result = changed(place, mechanism, RELOAD, *words, duration=2.0 + 2 * delay_s, every=0.5)
    began = sessions(result)
    assert min(row.time for row in began) > result.changes[0]["requested_us"] + delay_s * 1_000_000
    told = result.summary["kinds"]["websocket"]
    # What was unanswered at that moment is lost, and nothing else.
    assert set(told["failures"]) <= {"closed mid-session"}
    lost = [row for row in began if row.failure]
    assert all(row.status.startswith("closed mid-session: close frame 1001 (going away), message ") for row in lost)
    announced = [row for row in began if row.announced == "yes"]
    assert announced
    assert len(announced) + len(lost) == SESSIONS
    assert told["verdict"] == ("lossy" if lost else "graceful")
    assert {how for _client, _connection, _at_us, how in result.summary["closed_by"]} >= {"close frame"}
    assert told["ledger"]["lost_executed"] == len(lost)


@pytest.mark.parametrize(
    ("mechanism", "change"),
    [
        ("haproxy:hard", RELOAD),
        ("envoy:hot-restart", RELOAD),
        pytest.param("sozu:upgrade", UPGRADE, marks=SOZU.marks),
    ],
)
def test_who_ends_an_old_process_cuts_them_without_a_close_frame(place: Place, mechanism: str, change: str) -> None:
    assert_cut(changed(place, mechanism, change))


def assert_cut(result: Result) -> None:
    """Check that all sessions were ended without a word, and that this is told of each, with its cause."""
    began = sessions(result)
    assert len(began) == SESSIONS
    assert {row.failure for row in began} <= {"closed mid-session", "reset mid-session"}
    ended = re.compile(r"(closed|reset) mid-session: (FIN|RST) without a close frame, (no message|message) .*")
    assert [row.status for row in began if not ended.fullmatch(row.status)] == []
    told = result.summary["kinds"]["websocket"]
    assert told["verdict"] == result.changes[-1]["verdict"] == "lossy"
    assert told["ledger"]["lost_executed"] == SESSIONS
    losses = (result.run.parent / "losses.csv").read_text(encoding="utf-8").splitlines()[1:]
    lost = [line for line in losses if ",websocket," in line]
    assert [" without a close frame" in line for line in lost] == [True] * SESSIONS
    assert all(",old process killed," in line or ",proxy cut it," in line for line in lost)


@pytest.mark.parametrize(("mechanism", "text", "becomes"), SHORT_LIVED)
def test_when_an_old_process_has_no_more_time_they_are_cut_likewise(
    place: Place, mechanism: str, text: str, becomes: str
) -> None:
    words = ("--config", altered_config(place, mechanism, text, becomes), "--wait-old", "0")
    result = changed(place, mechanism, RELOAD, *words, duration=4)
    assert_cut(result)
    # They have lived as long as they were given.
    assert min(row.time for row in sessions(result)) > result.changes[0]["requested_us"] + 900_000


CUTTING = """\
import attrs
import proxyreload_haproxy
from proxyreload_haproxy_runtime import Runtime


class Cutting(Runtime):
    async def remove_backend(self, upstream):
        await super().remove_backend(upstream)
        for backend in self._backends:
            await self._command(f"shutdown sessions server {backend}/{upstream.name}")


whole = proxyreload_haproxy.plugin
plugin = attrs.evolve(whole, name="cutting", mechanisms=(attrs.evolve(whole.mechanisms[0], proxy=Cutting),))
"""


def test_haproxys_shutdown_sessions_cuts_them_at_the_backend_that_is_removed(place: Place) -> None:
    environment = third_party(place, "cutting", CUTTING)
    result = changed(place, "cutting", REPLACE, environment=environment)
    assert_cut(result)
    assert {row.status.partition(", ")[0] for row in sessions(result)} == {
        "closed mid-session: FIN without a close frame"
    }


PATIENT = """\
import attrs
import proxyreload_envoy
from proxyreload_envoy_hot_restart import HotRestart


class Patient(HotRestart):
    def _of_epoch(self, epoch):
        words = super()._of_epoch(epoch)
        for option, told in (("--drain-time-s", "8"), ("--parent-shutdown-time-s", "10")):
            words[words.index(option) + 1] = told
        return words


whole = proxyreload_envoy.plugin
mechanism = attrs.evolve(next(each for each in whole.mechanisms if each.proxy is HotRestart), proxy=Patient)
plugin = attrs.evolve(whole, name="patient", mechanisms=(mechanism,))
"""


def test_envoys_parent_that_is_given_more_time_lets_them_live(place: Place) -> None:
    environment = third_party(place, "patient", PATIENT)
    # Beyond the 3 s that it has otherwise.
    result = changed(place, "patient", RELOAD, "--wait-old", "0", duration=6, environment=environment)
    began = sessions(result)
    assert {(row.status, row.failure) for row in began} == {("101", "")}
    assert len(began) == SESSIONS == result.summary["kinds"]["websocket"]["exchanges"]
    assert min(row.time for row in began) > result.changes[0]["requested_us"] + 4_000_000


TALK = """
const [port, done] = arguments;
const heard = [];
const socket = new WebSocket(`ws://127.0.0.1:${port}/any`);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
    socket.send("héllo");
    socket.send(new Uint8Array(70000 % 65536).fill(7));
};
socket.onmessage = (event) => {
    heard.push(typeof event.data === "string" ? event.data : new Uint8Array(event.data).length);
    if (heard.length === 2) socket.close(1000, "done");
};
socket.onclose = (event) => done([...heard, event.code, event.wasClean]);
"""


@BROWSER
def test_a_browsers_is_echoed_by_a_backend_of_ours(place: Place) -> None:
    session = place.start("backend", "0", str(place.first_port))
    session.until("backend 0 on ")
    with browser() as page:
        page.driver.get(f"http://{HOST}:{place.first_port}/")
        heard = page.driver.execute_async_script(TALK, place.first_port)
    assert heard == ["héllo", 70000 % 65536, 1000, True]
    session.signal(signal.SIGTERM)
    assert session.ended().stderr == ""

"""HAProxy's runtime API: a removal is applied when nothing new is sent there, and the rest of it follows in the background."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred

from proxyreload.errors import ChangeError, UsageError
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.foreign import words_of
from proxyreload.proxy.meanwhile import Meanwhile
from proxyreload.proxy.route import Edits, Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.waiting import until
from proxyreload_haproxy_runtime import (
    FREE,
    LOOK_AGAIN_AT_MOST_S,
    SPARE_SLOTS,
    Runtime,
    Slots,
    at_runtime,
    backends,
    require_servers,
)

from .clocks import Time, error_of, result_of, waits

UPSTREAMS = {number: Upstream(number, "127.0.0.1", 1030 + number) for number in range(12)}


@attrs.define
class Server:
    """One of HAProxy's."""

    address: str
    port: str
    state: str = "ready"
    used: int = 0  #: connections in use
    attached: int = 0  #: and such as it finds besides when it is to be deleted


@attrs.define(eq=False)
class FakeHAProxy:
    """Answers as HAProxy does, and the workspace before it."""

    reactor: Time = attrs.field(factory=Time)
    servers: dict[str, Server] = attrs.field(factory=dict)
    calls: dict[str, Server] = attrs.field(factory=dict)  #: the same, for gRPC
    asked: list[str] = attrs.field(factory=list)
    undone: list[tuple[str, str]] = attrs.field(factory=list)
    files: dict[str, str] = attrs.field(factory=dict)
    map: dict[str, str] = attrs.field(factory=dict)  #: of edited routes
    edits: Edits = attrs.field(factory=Edits)
    front: str = "127.0.0.1:1"
    idle_timeout_s: int = 60
    binary: Path = Path("haproxy")
    tls: None = None
    speaks: frozenset[str] = frozenset()
    held: Deferred[None] | None = None  #: until when the next answer waits
    _meanwhile: Meanwhile = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._meanwhile = Meanwhile(lambda what, error: self.undone.append((what, words_of(error))))

    def path(self, name: str) -> Path:
        return Path(name)

    def write(self, name: str, text: str) -> None:
        self.files[name] = text

    @property
    def configuration(self) -> Configuration:
        return at_runtime()

    def configure(self, _upstreams: object, **more: object) -> None:
        self.files |= self.configuration.filled({"front": self.front, "timeout": 60, "tls": False, **more})

    @property
    def config(self) -> str:
        return self.files["haproxy.cfg"]

    @property
    def route(self) -> Route | None:
        return self.edits.current

    def spawn(self, *_arguments: object) -> object:
        """Start with what is configured."""
        for line in self.config.splitlines():
            if line.startswith("    server "):
                _word, name, address, *more = line.split()
                host, _colon, port = address.partition(":")
                for servers in (self.servers, self.calls):
                    servers[name] = Server(host, port, "maint" if more else "ready")
        return object()

    async def until_answering(self, _child: object) -> None: ...

    async def until(self, condition: Any, what: str) -> None:
        if not await until(self.reactor, condition, 30):
            msg = f"not within 30 s: {what}"
            raise ChangeError(msg)

    def meanwhile(self, work: Coroutine[Deferred[Any], Any, None], what: str) -> Deferred[None]:
        return self._meanwhile.do(work, what)

    def leave_off(self) -> None:
        self._meanwhile.leave_off()

    async def ask(self, _socket: Path, line: str) -> str:
        self.asked.append(line)
        held, self.held = self.held, None
        if held is not None:
            await held
        words = line.split()
        return self._mapped(words[0], *words[3:]) if words[1] == "map" else self._answer(words)

    def _answer(self, words: list[str]) -> str:
        if words[:3] == ["show", "servers", "conn"]:
            rows = [
                f"{backend}/{name} 3/1 {s.address} {s.port} - 600000 {s.used} 1 0 0 0 -1 0"
                for backend, servers in (("app", self.servers), ("calls", self.calls))
                for name, s in servers.items()
            ]
            return "\n".join(["# bkname/svname bkid/svid addr port - …", *rows, ""])
        backend, _slash, name = words[2].partition("/")
        servers = self.servers if backend == "app" else self.calls
        if words[:2] == ["add", "server"]:
            if name in servers:
                return "Already exists a server with the same name in backend."
            host, _colon, port = words[3].partition(":")
            servers[name] = Server(host, port, "maint")
            return "New server registered."
        server = servers.get(name)
        if server is None:
            return "No such server."
        if words[:2] == ["del", "server"]:
            if server.state != "maint":
                return "Only servers in maintenance mode can be deleted."
            if server.used or server.attached:
                return "Server still has connections attached to it, cannot remove it."
            del servers[name]
            return "Server deleted."
        if words[:2] == ["enable", "server"]:
            server.state = "ready"
        elif words[3] == "addr":
            server.address, server.port = words[4], words[6]
            return "IP changed."
        else:
            server.state = words[4]
        return ""

    def _mapped(self, verb: str, path: str, to: str = "") -> str:
        if verb == "add":
            self.map[path] = to
            return ""
        return "" if self.map.pop(path, None) else "Key not found."


@attrs.define(eq=False)
class Scene:
    """A mechanism with two servers, and changes that it is asked for."""

    mechanism: type[Runtime] | type[Slots] = Runtime
    haproxy: FakeHAProxy = attrs.field(factory=FakeHAProxy)
    proxy: Runtime | Slots = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.proxy = self.mechanism(cast(Any, self.haproxy))
        self.did(self.proxy.start([UPSTREAMS[0], UPSTREAMS[1]]))

    def did(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Check that a change is applied at once."""
        result_of(Deferred.fromCoroutine(work))

    def server(self, number: int) -> Server:
        """Return the server at a backend's address."""
        [server] = [each for each in self.haproxy.servers.values() if each.port == str(1030 + number)]
        return server

    def wait(self, seconds: float = 4 * LOOK_AGAIN_AT_MOST_S) -> None:
        """Let the background go on."""
        self.haproxy.reactor.pump([LOOK_AGAIN_AT_MOST_S / 8] * round(8 * seconds / LOOK_AGAIN_AT_MOST_S))

    def configured(self) -> list[str]:
        """Return the addresses in the configuration."""
        app = self.haproxy.config.partition("\nbackend calls")[0]
        lines = [line.split() for line in app.splitlines() if line.startswith("    server ")]
        return [line[2] for line in lines if " ".join(line[2:]) != FREE]


@pytest.fixture(params=[Runtime, Slots])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_an_edit_is_one_entry_of_a_map_in_place_of_the_one_before_and_a_reload_knows_it(scene: Scene) -> None:
    assert scene.haproxy.files["edited.map"] == ""
    for number in (1, 2):
        route = scene.haproxy.edits.renew()
        assert route.number == number
        scene.did(scene.proxy.edit())
        assert scene.haproxy.map == {route.path: route.to}
        assert scene.haproxy.files["edited.map"] == f"{route.path} {route.to}\n"
    scene.haproxy.edits.renew()
    scene.haproxy.map.clear()
    error_of(Deferred.fromCoroutine(scene.proxy.edit()), ChangeError)


def test_a_removal_is_applied_while_a_session_goes_on_there_and_the_rest_follows(scene: Scene) -> None:
    server = scene.server(0)
    server.used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    assert server.state == "drain"
    assert scene.configured() == ["127.0.0.1:1031"]
    scene.wait(60)
    assert server.state == "drain"
    server.used = 0
    scene.wait()
    assert server.state == "maint"
    assert ("backend0" in scene.haproxy.servers) is False
    assert scene.haproxy.undone == []
    assert scene.haproxy.reactor.getDelayedCalls() == []


def test_it_is_looked_at_again_more_and_more_rarely(scene: Scene) -> None:
    scene.server(0).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    before = len(scene.haproxy.asked)
    scene.wait(60)
    assert len(scene.haproxy.asked) - before <= 60 / LOOK_AGAIN_AT_MOST_S + 5


def test_another_backend_is_changed_while_one_drains(scene: Scene) -> None:
    scene.server(0).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.did(scene.proxy.add_backend(UPSTREAMS[2]))
    scene.did(scene.proxy.remove_backend(UPSTREAMS[1]))
    assert (scene.server(0).state, scene.server(2).state) == ("drain", "ready")
    assert scene.configured() == ["127.0.0.1:1032"]


def test_one_that_comes_back_while_it_drains_is_ready_again_and_stays(scene: Scene) -> None:
    server = scene.server(0)
    server.used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    adding = Deferred.fromCoroutine(scene.proxy.add_backend(UPSTREAMS[0]))
    scene.wait()
    result_of(adding)
    assert (scene.server(0) is server, server.state) == (True, "ready")
    server.used = 0
    scene.wait(60)
    assert server.state == "ready"
    assert set(scene.configured()) == {"127.0.0.1:1030", "127.0.0.1:1031"}
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.wait()
    assert server.state == "maint"


def test_one_that_comes_back_as_it_is_being_deleted_is_added_anew() -> None:
    scene = Scene()
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.server(1).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[1]))
    held: Deferred[None] = Deferred()
    scene.haproxy.held = held
    server = scene.server(1)
    server.used = 0
    scene.wait(2 * LOOK_AGAIN_AT_MOST_S)  # the look that finds it unused waits for its answer
    adding = Deferred.fromCoroutine(scene.proxy.add_backend(UPSTREAMS[1]))
    assert waits(adding)
    held.callback(None)
    scene.wait()
    result_of(adding)
    assert scene.server(1).state == "ready"
    scene.wait(60)
    assert scene.server(1).state == "ready"


def test_one_that_is_gone_when_it_comes_back_is_added_anew(scene: Scene) -> None:
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.wait()
    scene.did(scene.proxy.add_backend(UPSTREAMS[0]))
    assert scene.server(0).state == "ready"


def test_a_server_with_connections_left_is_deleted_when_they_are_gone() -> None:
    scene = Scene()
    server = scene.server(0)
    server.attached = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.wait(3)
    assert "backend0" in scene.haproxy.servers
    server.attached = 0
    scene.wait()
    assert "backend0" not in scene.haproxy.servers


def test_a_server_that_cannot_be_deleted_is_told_and_can_come_back() -> None:
    scene = Scene()
    server = scene.server(0)
    server.attached = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.wait(40)
    assert scene.haproxy.undone == [("HAProxy lets go of backend0", "not within 30 s: app/backend0 deleted")]
    scene.did(scene.proxy.add_backend(UPSTREAMS[0]))
    assert server.state == "ready"


def test_what_haproxy_says_about_a_drain_that_it_does_not_know_is_told(scene: Scene) -> None:
    scene.server(0).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.haproxy.servers.clear()
    scene.wait()
    [(_what, why)] = scene.haproxy.undone
    assert why.startswith("HAProxy knows no server app/")


def test_a_removal_that_it_refuses_has_failed() -> None:
    scene = Scene()
    scene.haproxy.servers.clear()
    removing = Deferred.fromCoroutine(scene.proxy.remove_backend(UPSTREAMS[0]))
    assert str(error_of(removing, ChangeError)) == "No such server."
    assert len(scene.configured()) == 2


def test_the_end_of_the_run_ends_a_drain_and_is_no_failure(scene: Scene) -> None:
    scene.server(0).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    scene.haproxy.leave_off()
    scene.wait()
    assert scene.haproxy.undone == []
    assert scene.haproxy.reactor.getDelayedCalls() == []


def test_a_slot_that_drains_is_not_free() -> None:
    scene = Scene(Slots)
    scene.server(0).used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    for number in range(2, 2 + SPARE_SLOTS):
        scene.did(scene.proxy.add_backend(UPSTREAMS[number]))
    adding = Deferred.fromCoroutine(scene.proxy.add_backend(UPSTREAMS[11]))
    assert "none of the 10 slots has" in str(error_of(adding, ChangeError))
    scene.server(0).used = 0
    scene.wait()
    scene.did(scene.proxy.add_backend(UPSTREAMS[11]))
    assert scene.server(11).state == "ready"


def test_a_reload_leaves_drains_to_the_process_before_and_one_that_fails_goes_on_with_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proxyreload_haproxy_program import HAProxy

    refused: list[bool] = [True]

    async def reload(_self: object) -> None:
        if refused:
            raise ChangeError("no")  # noqa: EM101

    monkeypatch.setattr(HAProxy, "reload", reload)
    server = scene.server(0)
    server.used = 1
    scene.did(scene.proxy.remove_backend(UPSTREAMS[0]))
    for fails in (True, False):
        if not fails:
            refused.clear()
        reloading = Deferred.fromCoroutine(scene.proxy.reload())
        scene.wait()
        if fails:
            error_of(reloading, ChangeError)
            assert scene.haproxy.reactor.getDelayedCalls() != []
        else:
            result_of(reloading)
            assert scene.haproxy.reactor.getDelayedCalls() == []
    server.used = 0
    scene.wait()
    assert server.state == "drain"


OPERATORS = """\
defaults
    mode http
    default-server maxconn 50
frontend web
    bind @@front@@
    default_backend app
backend app
    default-server inter 3s
    @@each backend@@
    server @@name@@ @@address@@ weight 10 # as the others
    @@end@@
backend static
    server files 127.0.0.1:8000
listen both
    @@each backend@@
    server @@name@@ @@address@@
    @@end@@
"""


def test_what_is_said_of_the_servers_in_a_file_is_said_of_one_that_is_added() -> None:
    assert backends(OPERATORS) == {"app": " maxconn 50 inter 3s weight 10", "both": " maxconn 50"}
    assert backends(at_runtime().texts["haproxy.cfg"]) == {
        "app": " pool-max-conn 100 pool-purge-delay 10m",
        "calls": " pool-max-conn 100 pool-purge-delay 10m proto h2",
    }
    with pytest.raises(UsageError, match="no backend has a line: server @@name@@ @@address@@"):
        require_servers({"haproxy.cfg": OPERATORS.replace("@@name@@", "web@@number@@")})

"""What an operator does: changes with their roles, and removed backends that are killed."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import attrs
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from proxyreload.backend.interfaces import IBackend
from proxyreload.errors import ChangeError, StartError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import BackendKilled, BackendLeaving, Broken, Change, Event, Held, Phase
from proxyreload.plan.operations import CHANGE_TIMEOUT_S, Operations
from proxyreload.proxy.authority import FrontCertificate
from proxyreload.proxy.holders import Holders
from proxyreload.proxy.interfaces import IProxy, ITakesTurns, IUpgrades, Mechanism
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.reactor import IReactor

from .authority import authority
from .clocks import Time, error_of, result_of
from .happened import record
from .plugins import FakeProxy, RotatingProxy

SUCCESSOR = Path("successor")


@implementer(IBackend)
@attrs.define(eq=False)
class FakeBackend:
    """A backend of which each call is written down."""

    instance: int
    host: str = "127.0.0.1"
    port: int = 1030
    calls: list[str] = attrs.field(factory=list)
    obstacle: StartError | None = None
    left: Deferred[None] = attrs.field(factory=Deferred)

    async def start(self, reactor: IReactor) -> None:
        self.calls.append("start")
        if self.obstacle is not None:
            raise self.obstacle

    def hurry(self) -> None: ...

    async def leave(self) -> None:
        self.calls.append("leave")
        await self.left

    async def kill(self) -> None:
        self.calls.append("kill")
        if not self.left.called:
            self.left.callback(None)

    async def stop(self) -> None:
        self.calls.append("stop")


@implementer(IUpgrades)
class UpgradableProxy(FakeProxy):
    """One that can be upgraded, but not reloaded."""

    async def upgrade(self, binary: Path) -> None:
        self.calls.append(("upgrade", binary))


@attrs.define(eq=False)
class Scene:
    """Operations on a fake proxy."""

    proxy: FakeProxy = attrs.field(factory=FakeProxy)
    kill_after_s: float | None = None
    stop_after_s: float | None = None
    time: Time = attrs.field(factory=Time)
    backends: dict[int, FakeBackend] = attrs.field(factory=lambda: {number: FakeBackend(number) for number in range(4)})
    events: list[Event] = attrs.field(init=False)
    operations: Operations = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        bus = EventBus()
        self.events = record(bus)
        upstreams = {number: Upstream(number, "127.0.0.1", 1030 + number) for number in range(4)}
        self.operations = Operations(
            cast(Any, self.time),
            self.time.ns,
            bus,
            self.proxy,
            upstreams,
            "test:runtime",
            successor=SUCCESSOR,
            backends=self.backends,
            kill_after_s=self.kill_after_s,
            stop_after_s=self.stop_after_s,
        )

    def change(self, action: str, instance: int = -1) -> None:
        """Make a change that the proxy applies at once."""
        deferred = Deferred.fromCoroutine(cast(Coroutine[Any, Any, None], self.operations.carry_out(action, instance)))
        if self.proxy.under_way:
            self.proxy.done()
        result_of(deferred)

    @property
    def killed(self) -> list[str]:
        return [event.instance for event in self.events if isinstance(event, BackendKilled)]

    @property
    def last(self) -> Change:
        return [event for event in self.events if isinstance(event, Change)][-1]


def test_an_upgrade_gets_the_successor() -> None:
    scene = Scene(UpgradableProxy())
    scene.change("upgrade")
    assert scene.proxy.calls == [("upgrade", SUCCESSOR)]
    assert (scene.last.name, scene.last.instance, scene.last.phase) == ("upgrade", "", Phase.APPLIED)


def test_what_a_proxy_cannot_do_is_a_failed_change() -> None:
    scene = Scene(UpgradableProxy())
    scene.change("reload")
    assert (scene.last.phase, scene.last.message) == (Phase.FAILED, "test:runtime cannot reload")


def rotated(scene: Scene, tmp_path: Path, done: Callable[[], None]) -> tuple[FrontCertificate, str]:
    """Rotate, and end that in some way; returns the certificate, and the serial of before."""
    certificate = scene.operations.certificate = FrontCertificate(tmp_path / "tls", authority())
    before = certificate.current.serial
    rotating = scene.operations.request("rotate")
    assert certificate.current.serial != before
    assert [event.certificate for event in scene.events if isinstance(event, Change)] == [certificate.current.serial]
    done()
    result_of(rotating)
    return certificate, before


def test_a_rotation_puts_another_certificate_in_place_first(tmp_path: Path) -> None:
    scene = Scene(RotatingProxy())
    certificate, before = rotated(scene, tmp_path, scene.proxy.done)
    assert (scene.last.phase, scene.last.certificate) == (Phase.APPLIED, certificate.current.serial)
    assert certificate.before is not None
    assert certificate.before.serial == before


def test_one_that_is_refused_puts_the_one_before_back(tmp_path: Path) -> None:
    scene = Scene(RotatingProxy())
    certificate, before = rotated(scene, tmp_path, lambda: scene.proxy.fails(ChangeError("no such file")))
    assert (scene.last.phase, scene.last.message) == (Phase.FAILED, "no such file")
    assert certificate.current.serial == before
    assert certificate.certificate.read_bytes() == certificate.current.chain


def test_a_certificate_that_cannot_be_written_is_a_failed_change(tmp_path: Path) -> None:
    scene = Scene(RotatingProxy())
    certificate = scene.operations.certificate = FrontCertificate(tmp_path / "tls", authority())
    (tmp_path / "tls" / "key.pem.new").mkdir()
    scene.change("rotate")
    assert scene.proxy.calls == []
    assert scene.last.message == "no certificate can be written: Is a directory"
    assert certificate.certificate.read_bytes() in certificate.both.read_bytes()


def test_of_somebody_elses_certificate_nothing_is_known() -> None:
    scene = Scene(RotatingProxy())
    scene.change("rotate")
    assert (scene.last.phase, scene.last.certificate) == (Phase.APPLIED, "")
    plain = Scene()
    plain.change("rotate")
    assert plain.last.message == "test:runtime cannot rotate"


def test_the_files_of_a_certificate_are_for_this_user_alone_and_belong_together(tmp_path: Path) -> None:
    certificate = FrontCertificate(tmp_path / "tls", authority())
    for _time in range(2):
        for path in certificate.folder.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600, path
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(str(certificate.both))
        context.use_privatekey_file(str(certificate.key))
        context.check_privatekey()
        numbers = (certificate.current.number, certificate.current.serial)
        certificate.renew()
        assert (certificate.current.number, certificate.current.serial) != numbers
    assert certificate.folder.stat().st_mode & 0o777 == 0o700
    assert certificate.authorities.read_bytes() == authority().pem
    assert "PRIVATE" not in repr(certificate)


def test_one_change_waits_for_the_other() -> None:
    scene = Scene()
    assert not scene.operations.busy
    added, removed = scene.operations.request("add", 2), scene.operations.request("remove", 0)
    assert (scene.proxy.calls, scene.operations.busy) == ([("add", 2)], True)
    scene.proxy.done()
    assert (result_of(added).phase, scene.proxy.calls) == (Phase.APPLIED, [("add", 2), ("remove", 0)])
    scene.proxy.fails(ChangeError("no such server"))
    failed = result_of(removed)
    assert (failed.number, failed.phase, failed.message) == (2, Phase.FAILED, "no such server")
    assert not scene.operations.busy


@implementer(ITakesTurns)
class Turns(FakeProxy):
    """One that begins no change before something has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: Deferred[None] = Deferred()

    def ready(self) -> Deferred[None]:
        return self.ended


def test_what_is_lost_before_a_change_can_begin_is_lost_by_the_one_before() -> None:
    proxy = Turns()
    scene = Scene(proxy)
    change = scene.operations.request("add", 2)
    scene.time.advance(3)
    assert (scene.events, proxy.calls) == ([], [])
    proxy.ended.callback(None)
    assert (scene.last.phase, scene.last.at_ns) == (Phase.REQUESTED, scene.time.ns())
    proxy.done()
    assert result_of(change).phase is Phase.APPLIED


def test_a_change_that_cannot_begin_has_failed() -> None:
    proxy = Turns()
    scene = Scene(proxy)
    change = scene.operations.request("add", 2)
    proxy.ended.errback(ChangeError("the old master has not ended"))
    assert (result_of(change).phase, scene.last.message) == (Phase.FAILED, "the old master has not ended")
    late = Scene(Turns())
    change = late.operations.request("add", 2)
    late.time.advance(CHANGE_TIMEOUT_S)
    assert (result_of(change).phase, late.last.message) == (Phase.FAILED, "no change can begin within 60 s")
    assert [event.phase for event in late.events if isinstance(event, Change)] == [Phase.REQUESTED, Phase.FAILED]


def test_stopping_cancels_what_was_asked_for() -> None:
    scene = Scene()
    requests = [scene.operations.request("add", 2), scene.operations.request("remove", 0)]
    scene.operations.stop()
    for request in requests:
        error_of(request, CancelledError)
    assert (scene.proxy.calls, scene.proxy.cancelled, scene.operations.busy) == ([("add", 2)], 1, False)


def test_a_mechanism_tells_what_it_cannot_do_and_why() -> None:
    plain = Mechanism("plain", "", cast(Any, FakeProxy))
    told = Mechanism("told", "", cast(Any, UpgradableProxy), cannot={"reload": "it has no configuration"})
    unknown = Mechanism("unknown", "", lambda _workspace: cast(IProxy, FakeProxy()))
    assert [plain.why_not(action) for action in ("add", "remove")] == ["", ""]
    assert plain.why_not("upgrade") == "its plugin knows no way"
    assert (told.why_not("upgrade"), told.why_not("reload")) == ("", "it has no configuration")
    assert unknown.why_not("upgrade") == "its plugin knows no way"
    assert [Mechanism("restart", "", Restarting).why_not(action) for action in ("reload", "upgrade")] == ["", ""]


def test_a_removed_backend_lives_on_unless_it_is_to_be_killed() -> None:
    scene = Scene()
    scene.change("remove", 0)
    scene.time.advance(3600)
    assert scene.backends[0].calls == []


def test_a_removed_backend_is_killed_after_its_time() -> None:
    scene = Scene(kill_after_s=2)
    scene.change("remove", 0)
    scene.time.advance(1.75)
    assert (scene.backends[0].calls, scene.killed) == ([], [])
    scene.time.advance(0.25)
    assert (scene.backends[0].calls, scene.killed) == (["kill"], ["0"])
    assert [backend.calls for number, backend in scene.backends.items() if number] == [[], [], []]


def test_a_killed_backend_is_started_before_it_is_added_again() -> None:
    scene = Scene(kill_after_s=2)
    scene.change("remove", 0)
    scene.time.advance(2)
    scene.change("add", 0)
    assert scene.backends[0].calls == ["kill", "start"]
    assert scene.last.phase is Phase.APPLIED
    scene.time.advance(3600)
    assert scene.backends[0].calls == ["kill", "start"]


def test_a_backend_that_is_added_again_in_time_is_not_killed() -> None:
    scene = Scene(kill_after_s=2)
    scene.change("remove", 0)
    scene.time.advance(1)
    scene.change("add", 0)
    scene.time.advance(3600)
    assert (scene.backends[0].calls, scene.killed) == ([], [])


def test_a_backend_that_does_not_start_again_makes_the_run_invalid() -> None:
    scene = Scene(kill_after_s=2)
    scene.change("remove", 0)
    scene.time.advance(2)
    scene.backends[0].obstacle = StartError("port 1030 is in use")
    scene.change("add", 0)
    assert [event.reason for event in scene.events if isinstance(event, Broken)] == ["port 1030 is in use"]


def test_a_removed_backend_leaves_after_its_time() -> None:
    scene = Scene(stop_after_s=1)
    scene.change("remove", 0)
    scene.time.advance(0.75)
    assert scene.backends[0].calls == []
    scene.time.advance(0.25)
    assert scene.backends[0].calls == ["leave"]
    assert [event for event in scene.events if isinstance(event, BackendLeaving)] == [
        BackendLeaving("0", scene.time.ns())
    ]


def test_one_that_is_gone_is_started_before_it_is_added_again() -> None:
    scene = Scene(stop_after_s=1)
    scene.change("remove", 0)
    scene.time.advance(1)
    scene.backends[0].left.callback(None)
    scene.change("add", 0)
    assert scene.backends[0].calls == ["leave", "start"]


def test_one_that_still_answers_goes_on_beside_the_one_that_is_added_again() -> None:
    scene = Scene(stop_after_s=1)
    scene.change("remove", 0)
    scene.time.advance(1)
    scene.change("add", 0)
    assert scene.backends[0].calls == ["leave", "start"]
    assert scene.last.phase is Phase.APPLIED


def test_one_that_is_to_be_killed_does_not_leave_in_order() -> None:
    scene = Scene(kill_after_s=2, stop_after_s=1)
    scene.change("remove", 0)
    scene.time.advance(3600)
    assert scene.backends[0].calls == ["kill"]


def test_once_stopped_nobody_is_killed_any_more() -> None:
    scene = Scene(kill_after_s=2)
    scene.change("remove", 0)
    scene.operations.stop()
    scene.time.advance(3600)
    assert scene.backends[0].calls == []
    assert scene.time.getDelayedCalls() == []


class Threaded(Time):
    """A reactor whose threads have done their work at once."""

    def getThreadPool(self) -> "Threaded":
        return self

    def callInThreadWithCallback(self, done: Callable[..., None], work: Callable[[], object]) -> None:
        made = work()
        self.advance(0.02)  # meanwhile
        done(True, made)  # noqa: FBT003  (as the thread pool calls it)

    def callFromThread(self, work: Callable[..., None], *words: object) -> None:
        work(*words)


def test_who_holds_the_connections_is_looked_at_before_a_change_and_what_is_new_when_it_is_applied() -> None:
    scene, pids = Scene(time=Threaded()), [2**22 + 1]
    scene.operations.holders = Holders(1, scene.time.ns, lambda: pids)
    change = Deferred.fromCoroutine(scene.operations.carry_out("add", 2))
    pids.append(2**22 + 2)
    scene.proxy.done()
    result_of(change)
    told = [event.phase if isinstance(event, Change) else event for event in scene.events]
    first, second = (
        Held(number, {}, scene.time.ns(), frozenset()) for number in (0, 1)
    )  # as it is told, which is never late
    assert told == [first, Phase.REQUESTED, Phase.APPLIED, second]

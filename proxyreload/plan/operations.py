"""What an operator does to a proxy while clients use it, one change after another."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from proxyreload.backend.interfaces import IBackend
from proxyreload.errors import ChangeError, ProxyreloadError
from proxyreload.history.actions import EDIT, ROTATE
from proxyreload.history.events import BackendKilled, BackendLeaving, Broken, Change, Edited, Held, Phase
from proxyreload.history.interfaces import Sink
from proxyreload.proxy.foreign import asked, words_of
from proxyreload.proxy.holders import Holders
from proxyreload.proxy.interfaces import IEdits, IProxy, IReloads, IRotates, ITakesTurns, IUpgrades
from proxyreload.proxy.route import Edits, Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.system.waiting import LateError, until

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

#: A change that takes longer has failed.
CHANGE_TIMEOUT_S = 60.0
#: An edit that the proxy says is applied must be seen within this.
SHOWN_LIMIT_S = 10.0
#: Asks the proxy for a route, and says how it was answered in place of as edited; empty: as edited.
Asks = Callable[[Route], Awaitable[str]]


@attrs.define(eq=False)
class Operations:
    """Makes changes through a proxy plugin, one at a time, and tells how far each has come.

    A removed backend leaves `stop_after_s` after its removal was applied, as a deployment's does; with `kill_after_s`
    it is killed in place of that, as in a crash. Before it is added again it is started anew, beside what still drains.
    """

    reactor: IReactor
    clock_ns: ClockNs
    sink: Sink
    proxy: IProxy
    upstreams: Mapping[int, Upstream]
    mechanism: str
    successor: Path = attrs.field(factory=Path)  #: the program to upgrade to
    backends: Mapping[int, IBackend] = attrs.field(factory=dict)
    holders: Holders | None = None  #: who holds the clients' connections, where that can be known
    certificate: "FrontCertificate | None" = None  #: of a proxy of ours, whose front speaks TLS
    edits: Edits | None = None  #: of a proxy of ours: what it is to make of its route
    asks: Asks | None = None  #: likewise: whether it has done so
    kill_after_s: float | None = None
    stop_after_s: float | None = None
    _requested: int = attrs.field(default=0, init=False)
    _doomed: dict[int, IDelayedCall] = attrs.field(factory=dict, init=False)
    _gone: dict[int, Deferred[None] | None] = attrs.field(factory=dict, init=False)  # None: it leaves in its own time
    _turn: DeferredLock = attrs.field(factory=DeferredLock, init=False)
    _requests: list[Deferred[Change]] = attrs.field(factory=list, init=False)

    @property
    def busy(self) -> bool:
        """Whether a change is under way."""
        return bool(self._turn.locked)

    async def carry_out(self, action: str, instance: int = -1) -> Change:
        """Make one change when those before it are over, and return its last phase.

        A refusal is returned; raised is only a cancellation: the run is ended.
        """
        await self._turn.acquire()
        try:
            return await self._carry_out(action, instance)
        finally:
            self._turn.release()

    def request(self, action: str, instance: int = -1) -> Deferred[Change]:
        """Make a change that is no step of a scenario; `stop` cancels it."""
        request = Deferred.fromCoroutine(self.carry_out(action, instance))
        self._requests.append(request)

        def over(outcome: Change | Failure) -> Change | Failure:
            self._requests.remove(request)
            return outcome

        return request.addBoth(over)

    async def _carry_out(self, action: str, instance: int) -> Change:
        number = self._requested = self._requested + 1
        backend = "" if instance < 0 else str(instance)

        def publish(phase: Phase, message: str = "") -> Change:
            published = Change(number, action, backend, self.mechanism, phase, self.clock_ns(), message, serial, path)
            self.sink.publish(published)
            return published

        if action == "add":
            await self._revive(instance)

        serial, path, obstacle = "", "", await self._obstacle()
        if self.holders is not None:
            self.sink.publish(await self._held(self.holders))
        if not obstacle:
            serial, path, obstacle = self._renewed(action)
        publish(Phase.REQUESTED)
        refused = obstacle or await self._refused(action, instance)
        if refused is not None:
            self._put_back(serial, path)  # or the next change would bring the new one along
            return publish(Phase.FAILED, refused)
        applied = publish(Phase.APPLIED)
        if self.holders is not None:
            self.sink.publish(self.holders.count())
        if action == "remove" and instance in self.backends:
            self._doom(instance)
        if path:
            self.sink.publish(Edited(number, await self._why_not_shown(), self.clock_ns()))
        return applied

    async def _why_not_shown(self) -> str:
        """Ask for the edited route until it is answered as edited; returns how it was answered if it never is."""
        words = ""

        async def shown() -> bool:
            nonlocal words
            assert self.edits is not None and self.edits.current is not None and self.asks is not None  # noqa: S101, PT018
            words = await self.asks(self.edits.current)
            return not words

        await until(self.reactor, shown, SHOWN_LIMIT_S)
        return words

    async def _refused(self, action: str, instance: int) -> str | None:
        """Make the change; returns why it is not made, None if it is."""

        async def change() -> None:
            await self._ask(action, instance)  # a plugin that returns nothing to wait for has failed

        try:
            await asked(self.reactor, change, CHANGE_TIMEOUT_S, ChangeError)
        except LateError:
            return f"not done within {CHANGE_TIMEOUT_S:g} s"
        except ProxyreloadError as error:
            return words_of(error)
        return None

    def _renewed(self, action: str) -> tuple[str, str, str]:
        """Put another certificate, or another route, in place for the plugin to find, where the proxy is ours.

        Returns the certificate's serial, the route's path, and why it cannot be done.
        """
        if action == EDIT and self.edits is not None:
            return "", self.edits.renew().path, ""
        if action != ROTATE or self.certificate is None:
            return "", "", ""
        try:
            return self.certificate.renew().serial, "", ""
        except OSError as error:
            self.certificate.put_back()
            return "", "", f"no certificate can be written: {error.strerror}"

    def _put_back(self, serial: str, path: str) -> None:
        """Put back what was there before, of what has been renewed."""
        if serial and self.certificate is not None:
            self.certificate.put_back()
        if path and self.edits is not None:
            self.edits.put_back()

    async def _held(self, holders: Holders) -> Held:
        """Return who holds the clients' connections; in a thread, for the clients must not be kept waiting."""
        whose = holders.whose()
        held: Held = await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), holders.look)
        # What is told of the time before this moment may have been handed on meanwhile.
        return attrs.evolve(held, at_ns=self.clock_ns(), whose=whose)

    async def _obstacle(self) -> str:
        """Wait until another change can begin; returns why none can, empty if one can.

        What is lost meanwhile is lost by the change before, so this one is not requested yet.
        """
        proxy = self.proxy
        if not ITakesTurns.providedBy(proxy):
            return ""
        try:
            await asked(self.reactor, proxy.ready, CHANGE_TIMEOUT_S, ChangeError)
        except LateError:
            return f"no change can begin within {CHANGE_TIMEOUT_S:g} s"
        except ProxyreloadError as error:
            return words_of(error)
        return ""

    def _doom(self, instance: int) -> None:
        """Let a removed backend go some time from now."""
        if self.kill_after_s is not None:
            self._doomed[instance] = self.reactor.callLater(self.kill_after_s, self._kill, instance)
        elif self.stop_after_s is not None:
            self._doomed[instance] = self.reactor.callLater(self.stop_after_s, self._leave, instance)

    def stop(self) -> None:
        """Make no more changes, and let no more backends go."""
        for request in reversed(tuple(self._requests)):  # none has its turn because another is cancelled
            request.cancel()
        for call in self._doomed.values():
            call.cancel()
        self._doomed.clear()

    def _ask(self, action: str, instance: int) -> Awaitable[None]:
        proxy = self.proxy
        if action == "add":
            return proxy.add_backend(self.upstreams[instance])
        if action == "remove":
            return proxy.remove_backend(self.upstreams[instance])
        if action == "reload" and IReloads.providedBy(proxy):
            return proxy.reload()
        if action == "upgrade" and IUpgrades.providedBy(proxy):
            return proxy.upgrade(self.successor)
        if action == ROTATE and IRotates.providedBy(proxy):
            return proxy.rotate()
        if action == EDIT and IEdits.providedBy(proxy):
            return proxy.edit()
        msg = f"{self.mechanism} cannot {action}"
        raise ChangeError(msg)

    def _kill(self, instance: int) -> None:
        self._gone[instance] = self._go(instance, self.backends[instance].kill)
        self.sink.publish(BackendKilled(str(instance), self.clock_ns()))

    def _leave(self, instance: int) -> None:
        self._go(instance, self.backends[instance].leave)
        self._gone[instance] = None
        self.sink.publish(BackendLeaving(str(instance), self.clock_ns()))

    def _go(self, instance: int, going: Callable[[], Awaitable[None]]) -> Deferred[None]:
        """Let a backend go by now."""
        del self._doomed[instance]

        async def gone() -> None:
            await going()

        return Deferred.fromCoroutine(gone())

    async def _revive(self, instance: int) -> None:
        """See to it that the backend lives."""
        if instance in self._doomed:
            self._doomed.pop(instance).cancel()
        if instance not in self._gone:
            return
        killed = self._gone.pop(instance)
        if killed is not None:
            await killed
        try:
            await self.backends[instance].start(self.reactor)
        except ProxyreloadError as error:
            self.sink.publish(Broken(str(error), self.clock_ns()))

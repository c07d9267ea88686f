"""A backend in a process of its own, so that it and the clients do not share a core, and a kill is a real crash."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as LateError
from zope.interface import implementer

from proxyreload.backend.interfaces import IBackend
from proxyreload.backend.pulse import Pulse
from proxyreload.backend.uplink import OneProtocolFactory, UplinkReceiver
from proxyreload.errors import StartError
from proxyreload.history.events import Broken, RecordLost
from proxyreload.history.order import History
from proxyreload.system.child import ChildProcess
from proxyreload.system.clock import ClockNs
from proxyreload.system.frozen import its_environment, this_program
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: What lets a backend's process leave in order.
LEAVE = signal.SIGUSR1
_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 5.0
#: In a hurry.
_HURRIED_S = 0.5


@implementer(IBackend)
@attrs.define(eq=False)
class BackendProcess:
    """Starts ``proxyreload backend``, publishes what it reports, and notices if it ends by itself."""

    instance: int
    port: int
    history: History
    clock_ns: ClockNs
    host: str = "127.0.0.1"
    _reactor: IReactor | None = attrs.field(default=None, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)
    _listening: Deferred[None] = attrs.field(factory=Deferred, init=False)
    _receiver: UplinkReceiver | None = attrs.field(default=None, init=False)
    _told: Deferred[None] = attrs.field(factory=Deferred, init=False)
    _asked_to_end: bool = attrs.field(default=False, init=False)
    _pulse: Pulse | None = attrs.field(default=None, init=False)
    _limit_s: float = attrs.field(default=_STOP_TIMEOUT_S, init=False)
    _waiting: Deferred[Any] | None = attrs.field(default=None, init=False)  # for its end
    _log: int = attrs.field(default=-1, init=False)  # a descriptor

    async def start(self, reactor: IReactor) -> None:
        """Start it, and wait until it listens; raises `StartError`."""
        self._reactor, self._receiver = reactor, None
        self._listening, self._told, self._asked_to_end = Deferred(), Deferred(), False
        try:
            self._launch(reactor)
        except OSError as error:
            msg = f"backend {self.instance} cannot be started: {error.strerror}"
            raise StartError(msg) from error
        try:
            await self._listening.addTimeout(_START_TIMEOUT_S, reactor)
        except LateError as error:
            msg = f"backend {self.instance} does not listen after {_START_TIMEOUT_S:g} s"
            raise StartError(msg) from error
        receiver: Any = self._receiver
        self._pulse = Pulse(lambda: receiver.until_ns, self._stands_still)
        self._pulse.start(reactor)

    def _launch(self, reactor: IReactor) -> None:
        if self._log < 0:
            self._log = os.memfd_create(f"backend {self.instance}")  # no file, which would outlive us if we are killed
        ours, its = socket.socketpair()
        with ours, its:
            words = [*this_program(), "backend", "--host", self.host, "--report", str(its.fileno())]
            self._child = ChildProcess.spawn(
                reactor,
                [*words, str(self.instance), str(self.port)],
                folder=Path.cwd(),
                log=Path(f"/proc/self/fd/{self._log}"),
                environment=its_environment(),
                pass_fds=[its.fileno()],
                own_session=False,
                at_our_end=signal.SIGKILL,
            )
            self._child.exited().addCallback(self._exited)
            ours.setblocking(False)  # noqa: FBT003
            receiver = UplinkReceiver(str(self.instance), self.history, self._listening, self._told)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, cast(Any, OneProtocolFactory(receiver)))
        self._receiver = receiver
        self._told.addCallback(lambda _none: self._ended(receiver))

    async def leave(self) -> None:
        """Let it end as a deployment ends one."""
        self._asked_to_end = True
        if self._child is not None:
            self._child.signal(LEAVE)
            await self._child.exited()
            await self._told_all()

    async def kill(self) -> None:
        """Crash it; what it had not told yet is not known."""
        self._end_is_ours()
        if self._child is not None:
            self._child.signal(signal.SIGKILL)
            await self._child.exited()
            await self._told_all()

    def hurry(self) -> None:
        """Give it little time from now on, and end it by force then."""
        self._limit_s = _HURRIED_S
        if self._waiting is not None and self._reactor is not None:
            self._waiting.addTimeout(_HURRIED_S, self._reactor)

    async def stop(self) -> None:
        """End it, and take the rest of its report."""
        self._end_is_ours()
        try:
            await self._stopped()
        finally:
            if self._log >= 0:
                os.close(self._log)
                self._log = -1

    async def _stopped(self) -> None:
        if self._child is None or self._reactor is None:
            return
        self._child.signal(signal.SIGTERM)
        try:
            self._waiting = self._child.exited().addTimeout(self._limit_s, self._reactor)
            await self._waiting
        except (LateError, CancelledError):
            self._child.signal(signal.SIGKILL)
            await self._child.exited()
        finally:
            self._waiting = None
        await self._told_all()

    async def _told_all(self) -> None:
        """Wait until everything that it told before its end has been taken."""
        if self._reactor is None or self._receiver is None or self._told.called:
            return
        waiting: Deferred[None] = Deferred()  # of its own: being late must not keep `_ended` from being called later
        self._told.addCallback(lambda _none: None if waiting.called else waiting.callback(None))
        with suppress(LateError):
            await waiting.addTimeout(self._limit_s, self._reactor)

    def _ended(self, receiver: UplinkReceiver) -> None:
        """Say so where it has not told everything."""
        if receiver.source is not None and not receiver.complete:
            lost = RecordLost(str(self.instance), receiver.until_ns, self.clock_ns())
            self.history.here.publish(lost)

    def _end_is_ours(self) -> None:
        self._asked_to_end = True
        if self._pulse is not None:
            self._pulse.stop()

    def _stands_still(self, still_s: float) -> None:
        reason = f"backend {self.instance} stands still: its process has told nothing for {still_s:g} s"
        self.history.here.publish(Broken(reason, self.clock_ns()))

    def _exited(self, _code: int) -> None:
        if self._pulse is not None:
            self._pulse.stop()
        if self._asked_to_end or self._child is None:
            return
        reason = f"backend {self.instance}: {self._child.ending()}; it said:\n{self._child.tail(2) or '  nothing'}"
        if not self._listening.called:
            self._listening.errback(StartError(reason))
        else:
            self.history.here.publish(Broken(one_line(reason, WORDS_LIMIT), self.clock_ns()))

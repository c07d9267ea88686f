"""Alarms to the microsecond.

The reactor's own timers end with ``epoll_wait``, which counts whole milliseconds: an open loop of 2,000 requests/s
would be late by more than its answers take. A timer that is a file descriptor (timerfd_create(2), Linux) is not.
"""

import os
import struct
from collections.abc import Callable
from contextlib import suppress

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from proxyreload.system.clock import NS_PER_S
from proxyreload.system.libc import LIBC

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_ITIMERSPEC = struct.Struct("@4l")  # interval and value, each seconds and nanoseconds


class IAlarm(Interface):
    """Calls back once, when it was set to."""

    def set(delay_ns: int) -> None:
        """Ring in `delay_ns`, in place of whatever it was set to before."""

    def close() -> None:
        """Ring no more."""


def alarm(reactor: IReactorTime, ring: Callable[[], None]) -> IAlarm:
    """Return the most exact alarm that this reactor and this system have."""
    if LIBC is not None and IReactorFDSet.providedBy(reactor):
        descriptor = LIBC.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if descriptor >= 0:
            return TimerAlarm(reactor, ring, descriptor)
    return ReactorAlarm(reactor, ring)


@implementer(IAlarm)
@attrs.define(eq=False)
class ReactorAlarm:
    """An alarm by the reactor's own timers."""

    _reactor: IReactorTime
    _ring: Callable[[], None]
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    def set(self, delay_ns: int) -> None:
        """Ring in `delay_ns`."""
        self.close()
        self._call = self._reactor.callLater(max(0, delay_ns) / NS_PER_S, self._rang)

    def close(self) -> None:
        """Ring no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _rang(self) -> None:
        self._call = None
        self._ring()


@implementer(IAlarm, IReadDescriptor)
@attrs.define(eq=False)
class TimerAlarm:
    """An alarm by a timer that the reactor reads."""

    _reactor: IReactorFDSet
    _ring: Callable[[], None]
    _descriptor: int

    def __attrs_post_init__(self) -> None:
        """Let the reactor watch it."""
        self._reactor.addReader(self)

    def set(self, delay_ns: int) -> None:
        """Ring in `delay_ns`; 0 would disarm the timer, so it is one."""
        seconds, nanoseconds = divmod(max(1, delay_ns), NS_PER_S)
        assert LIBC is not None  # noqa: S101
        LIBC.timerfd_settime(self._descriptor, 0, _ITIMERSPEC.pack(0, 0, seconds, nanoseconds), None)

    def close(self) -> None:
        """Give the timer back."""
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """Return the timer."""
        return self._descriptor

    def doRead(self) -> None:
        """Ring."""
        with suppress(BlockingIOError):  # set anew since it was found readable
            os.read(self._descriptor, 8)
            self._ring()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Give the timer back: the reactor ends."""
        self.close()

    def logPrefix(self) -> str:
        """Name this reader in the log."""
        return "alarm"

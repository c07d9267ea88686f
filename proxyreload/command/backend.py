"""``proxyreload backend ID PORT``: one backend by itself."""

import os
import signal
import socket
from contextlib import suppress
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from proxyreload.backend.accepting import AcceptWatch
from proxyreload.backend.backend import Backend
from proxyreload.backend.process import LEAVE
from proxyreload.backend.uplink import OneProtocolFactory, Uplink
from proxyreload.cli.base import Options
from proxyreload.cli.signals import on_signals
from proxyreload.errors import ExitStatus
from proxyreload.history.bus import EventBus
from proxyreload.history.order import Source
from proxyreload.proxy.ports import require_free
from proxyreload.proxy.watchdog import leave_at_once
from proxyreload.system import bounds
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.defect import in_a_line
from proxyreload.system.reactor import IReactor
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.standard import say
from proxyreload.system.unhandled import begin_log


class BackendOptions(Options):
    """proxyreload backend ID PORT."""

    synopsis = "proxyreload backend [--host ADDRESS] ID PORT"
    longdesc = (
        "Serves one numbered backend until it is ended by Ctrl-C or SIGTERM: over HTTP/1.1, and over HTTP/2 and gRPC to"
        " whoever begins with that."
    )
    examples = ("proxyreload backend 0 1030",)
    optParameters = [  # noqa: RUF012
        ["host", None, "127.0.0.1", "The address to listen on"],
        ["report", None, None, "A socket's descriptor to report to (what --backend-processes uses)"],
    ]

    def parseArgs(self, *words: str) -> None:
        """Take number and port; raises `UsageError`."""
        if len(words) != 2:  # noqa: PLR2004
            msg = "backend takes ID and PORT: proxyreload backend 0 1030"
            raise UsageError(msg)
        self["instance"] = bounds.INSTANCE.parse("ID", words[0])
        self["port"] = bounds.PORT.parse("PORT", words[1])


def serve_backend(words: list[str]) -> int:
    """Serve until a signal ends it."""
    options = BackendOptions()
    options.parseOptions(words)
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    instance, port, host = options["instance"], options["port"], options["host"]
    require_free(host, port, f"backend {instance}")
    # What nobody is told of is kept by nobody.
    seen = EventBus() if options["report"] is None else Source(f"backend {instance}")
    accepting = AcceptWatch(seen, monotonic_ns)
    accepting.start()
    group = SocketGroup.on(reactor, monotonic_ns, looks=False)
    backend = Backend(instance, port, seen, monotonic_ns, host, group)
    failures: list[BaseException] = []
    told: list[_Speaker] = []

    async def serve() -> None:
        await backend.start(reactor)
        if isinstance(seen, EventBus):
            print(f"backend {instance} on http://{backend.address}/", flush=True)  # noqa: T201
        else:
            told.append(_speak(reactor, seen, bounds.DESCRIPTOR.parse("--report", options["report"])))

    async def leave() -> None:
        await backend.leave()
        reactor.stop()

    def left(_number: int, _frame: object) -> None:
        reactor.callFromThread(lambda: Deferred.fromCoroutine(leave()))

    signal.signal(LEAVE, left)

    async def end() -> None:
        await backend.stop()
        for speaker in told:
            await speaker.finish()

    def failed(failure: Failure) -> None:
        failures.append(cast(BaseException, failure.value))
        stop()

    def stop() -> None:
        with suppress(ReactorNotRunning):  # it ends already
            reactor.stop()

    # A run ends its backends by SIGTERM, whatever it was itself started to ignore.
    begin_log(lambda error: say(in_a_line(error)))
    on_signals(reactor, stop, leave_at_once, never_ignored=[] if options["report"] is None else [signal.SIGTERM])
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(serve()).addErrback(failed))
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(end()))
    reactor.run()
    if failures:
        raise failures[0]
    return ExitStatus.LOSSLESS


class _Speaker(Protocol):
    """Tells the run that started this process what happens, and ends this process when that run is gone."""

    def __init__(self, reactor: IReactor) -> None:
        self._reactor = reactor
        self._lost: Deferred[None] = Deferred()
        self.uplink: Uplink | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._lost.callback(None)
        if self._reactor.running:
            self._reactor.stop()

    async def finish(self) -> None:
        """Tell the rest; done when the kernel has it."""
        if self.uplink is not None:
            self.uplink.stop()
        if self.transport is not None and not self._lost.called:
            self.transport.loseConnection()
            await self._lost


def _speak(reactor: IReactor, seen: Source, descriptor: int) -> _Speaker:
    speaker = _Speaker(reactor)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, cast(Any, OneProtocolFactory(speaker)))
    os.close(descriptor)
    assert speaker.transport is not None  # noqa: S101
    speaker.uplink = Uplink(speaker.transport.write, seen, monotonic_ns)
    speaker.uplink.start(reactor)
    return speaker

"""A child process: in a session of its own, its output kept, its end an event."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.system.prctl import die_with_parent
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import printable

_TAIL_BYTES = 8192
_LINE_LIMIT = 400


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class Exit:
    """Fires when a process of ours has exited: its pidfd becomes readable (pidfd_open(2))."""

    reactor: IReactor
    fired: Deferred[None] = attrs.field(factory=Deferred)
    _descriptor: int = -1

    @classmethod
    def of(cls, reactor: IReactor, pid: int) -> "Exit":
        """Watch `pid`."""
        watch = cls(reactor, descriptor=os.pidfd_open(pid))
        try:
            reactor.addReader(watch)
        except BaseException:
            os.close(watch._descriptor)
            raise
        return watch

    def fileno(self) -> int:
        """Return the pidfd."""
        return self._descriptor

    def doRead(self) -> None:
        """Fire."""
        self.close()
        self.fired.callback(None)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Forget it: the reactor ends."""
        self.close()

    def logPrefix(self) -> str:
        """Name this reader in the log."""
        return "exit"

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor >= 0:
            self.reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1


@attrs.define
class Adopted:
    """What `subprocess.Popen` is for our own children, for a process that became ours, or has another parent still."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Reap it, now that it has exited, and return its exit status: 0 if its own parent was the one to be told."""
        status = 0
        with suppress(ChildProcessError):
            _pid, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


@attrs.define(eq=False)
class ChildProcess:
    """One child process.

    It gets a session of its own, so that Ctrl-C on the terminal reaches us and not the proxy. Its output goes to a
    file, so that a proxy never waits for us to read it.
    """

    name: str
    log: Path
    _process: "subprocess.Popen[bytes] | Adopted"
    _exit: Exit
    _waiting: list[Deferred[int]] = attrs.field(factory=list, init=False)

    @classmethod
    def spawn(
        cls,
        reactor: IReactor,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        own_session: bool = True,
        at_our_end: int = signal.SIGTERM,
    ) -> "ChildProcess":
        """Start it in `folder`; raises `OSError` if it cannot be started, or not be watched.

        Without a session of its own it still has a process group of its own. If this process is killed, it gets the
        signal `at_our_end`.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                [os.fspath(argument) for argument in arguments],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=own_session,
                process_group=None if own_session else 0,
                pass_fds=pass_fds,
                preexec_fn=partial(die_with_parent, at_our_end, os.getpid()),  # noqa: PLW1509  (system calls, no lock)
            )
        try:
            watch = Exit.of(reactor, process.pid)
        except BaseException:
            process.kill()
            process.wait()
            raise
        child = cls(Path(arguments[0]).name, log, process, watch)
        child._exit.fired.addCallback(child._exited)
        return child

    @classmethod
    def adopt(cls, reactor: IReactor, pid: int, name: str, log: Path) -> "ChildProcess":
        """Watch a process that another one has started; raises `OSError` if there is none."""
        child = cls(name, log, Adopted(pid), Exit.of(reactor, pid))
        child._exit.fired.addCallback(child._exited)
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def adopted(self) -> bool:
        """Whether another process has started it."""
        return isinstance(self._process, Adopted)

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def exited(self) -> Deferred[int]:
        """Return a Deferred that fires with the exit status once it has exited."""
        waiting: Deferred[int] = Deferred()
        if self._process.returncode is not None:
            waiting.callback(self._process.returncode)
        else:
            self._waiting.append(waiting)
        return waiting

    def signal(self, number: int) -> None:
        """Send it a signal; one that has exited gets none."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def signal_group(self, number: int) -> bool:
        """Send a signal to all in its process group, 0 for none; False if nobody is left there."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
            return True
        return False

    def tail(self, lines: int = 5) -> str:
        """Return the last lines that it said, escaped and bounded."""
        return tail(self.log, lines)

    def ending(self) -> str:
        """Say how it ended."""
        code = self._process.returncode
        if code is None:
            return f"{self.name} runs"
        if code < 0:
            return f"{self.name} was ended by {_signal_name(-code)}"
        return f"{self.name} exited with status {code}"

    def _exited(self, _none: None) -> None:
        code = self._process.wait()
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(code)


def tail(log: Path, lines: int) -> str:
    """Return the last lines of a log, escaped and bounded."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"  {printable(line.rstrip(), _LINE_LIMIT)}" for line in last)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


#: What a workspace calls when one of its processes ends that nobody asked to.
OnDeath = Callable[[ChildProcess], None]

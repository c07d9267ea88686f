"""What a proxy plugin works with: everything that is common to all proxies."""

import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import psutil
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from proxyreload.errors import ChangeError, CommandError, ExitedError, StartError
from proxyreload.proxy import tree
from proxyreload.proxy.configuration import TIMEOUT_S, Configuration, values
from proxyreload.proxy.folder import new_folder
from proxyreload.proxy.meanwhile import Meanwhile, OnUndone, unheard
from proxyreload.proxy.route import Edits, Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.watchdog import ELSEWHERE, Watchdog
from proxyreload.system.child import ChildProcess, OnDeath, tail
from proxyreload.system.prctl import become_subreaper
from proxyreload.system.reactor import IReactor
from proxyreload.system.tcptable import inodes, listening_at
from proxyreload.system.untrusted import printable
from proxyreload.system.waiting import LateError, until, within

if TYPE_CHECKING:
    from proxyreload.proxy.authority import Authority, FrontCertificate

START_TIMEOUT_S = 15.0
COMMAND_TIMEOUT_S = 30.0
#: After that long a graceful stop becomes a hard one.
GRACE_S = 5.0
#: In a hurry each thing that is given back has so long.
_HURRIED_S = 0.5
_REPLY_LIMIT = 1024 * 1024


@attrs.define(eq=False)
class Workspace:
    """One run's place for one proxy: a private folder, its processes, the front port it must listen on.

    `close` gives everything back, whatever the plugin left behind.
    """

    reactor: IReactor
    binary: Path
    front_host: str
    front_port: int
    hostname: str  #: what the clients' ``Host`` says
    answers: Callable[[], Awaitable[bool]]  #: whether a request through the front port reaches a backend
    on_death: OnDeath  #: called when a process ends that was not asked to
    seed: int = 0  #: for whatever is drawn by chance
    client_timeout_s: float = 5.0  #: how long the clients wait for an answer
    quiet_s: float = 0.0  #: how long at most nothing comes or goes by the clients' or the backends' own doing
    lasts_s: float = 0.0  #: how long the longest request or answer takes by itself
    commands: Mapping[str, str] = attrs.field(factory=dict)  #: the user's own, by action
    on_undone: OnUndone = unheard  #: called when what goes on after a change could not be done
    speaks: frozenset[str] = frozenset()  #: what clients speak beyond HTTP/1.1, as `Mechanism.carries` has it
    ours: bool = True  #: whether the proxy is ours to end; else what a command leaves running stays
    authority: "Authority | None" = None  #: signs what the front shows; None: it speaks in the clear
    edits: Edits = attrs.field(factory=Edits)  #: what the configuration is to have besides
    configuration: Configuration = attrs.field(factory=lambda: Configuration({}))  #: the mechanism's, or the user's
    folder: Path = attrs.field(init=False)
    tls: "FrontCertificate | None" = attrs.field(default=None, init=False)  #: what the front shows, if it speaks TLS
    _watchdog: Watchdog = attrs.field(init=False)
    _children: list[ChildProcess] = attrs.field(factory=list, init=False)
    _asked_to_end: set[ChildProcess] = attrs.field(factory=set, init=False)
    _starting: set[ChildProcess] = attrs.field(factory=set, init=False)  #: whose end is a `StartError`
    _meanwhile: Meanwhile = attrs.field(init=False)
    _closers: list[Callable[[], Awaitable[object]]] = attrs.field(factory=list, init=False)
    _commands: int = attrs.field(default=0, init=False)
    _grace_s: float = attrs.field(default=GRACE_S, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the folder, for this user only; raises `StartError` if that, or its guard, cannot be."""
        self._meanwhile = Meanwhile(self.on_undone)
        self.folder = new_folder()
        try:
            self._watchdog = Watchdog.of(self.folder)
        except OSError as error:
            self.folder.rmdir()
            msg = f"no guard can be started for {self.folder}: {error.strerror}"
            raise StartError(msg) from error
        if self.ours:
            become_subreaper()
        if self.authority is not None:
            self._certify(self.authority)

    @property
    def front(self) -> str:
        """``host:port`` of the front."""
        return f"{self.front_host}:{self.front_port}"

    @property
    def route(self) -> Route | None:
        """The route that the configuration is to have besides what the traffic needs; None: none has been asked for."""
        return self.edits.current

    @property
    def idle_timeout_s(self) -> int:
        """What a proxy's time-outs between two bytes, or two requests, are: an operator's, but none within a rest."""
        return idle_timeout_s(self.quiet_s)

    @property
    def whole_timeout_s(self) -> int:
        """What its time-outs for a whole request, or a whole answer, are."""
        return max(TIMEOUT_S, ceil(2 * self.lasts_s))

    @property
    def log(self) -> Path:
        """Where all goes that its processes write to standard output and error; a plugin lets them log there, too."""
        return self.path("output.log")

    @property
    def homes(self) -> Mapping[str, str]:
        """An environment in which whatever a process keeps for its user is below the folder."""
        kept = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
        return {name: str(self.path(name.lower())) for name in kept}

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name

    def write(self, name: str, text: str, *, secret: bool = False) -> Path:
        """Write a file beside its place and rename it there, so that no proxy ever reads half of it.

        One that is `secret` may be read by this user alone, wherever it should be copied to.
        """
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600 if secret else 0o666)
        beside.write_text(text, encoding="utf-8")
        beside.rename(path)
        return path

    def configure(self, upstreams: Sequence[Upstream], **more: object) -> Path:
        """Fill the configuration in, with these backends, and return the path of its main file.

        What else its marks stand for is in `more`, a ``_`` for each ``-`` in a name. A file that is as it was is left
        alone. Each is written in the folder and renamed to its place, so that whoever watches that sees one event.
        """
        for name, text in self.filled(upstreams, **more).items():
            path = self.path(name)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.write(f"{path.name}.filled", text, secret=self.configuration.secret).rename(path)
        return self.path(self.configuration.main)

    def filled(self, upstreams: Sequence[Upstream], **more: object) -> dict[str, str]:
        """Return the texts that `configure` writes, by the names of the files."""
        if not self.configuration.templates:
            msg = "its plugin names no configuration for the mechanism"
            raise StartError(msg)
        common = values(
            self.front,
            self.idle_timeout_s,
            upstreams,
            folder=str(self.folder),
            hostname=self.hostname,
            whole_timeout_s=self.whole_timeout_s,
            root=os.geteuid() == 0,
            speaks=self.speaks,
            tls=self.tls,
            route=self.route,
        )
        told = {name.replace("_", "-"): value for name, value in more.items()}
        return self.configuration.filled({**common, **told})

    def link(self, name: str, target: Path) -> Path:
        """Let a symbolic link in the folder lead to `target`, atomically, and return its path: a program to replace."""
        link = self.path(name)
        beside = link.with_name(link.name + ".new")
        beside.symlink_to(target)
        beside.rename(link)
        return link

    def remove_too(self, path: Path) -> None:
        """Remove a file outside of the folder with it, also if this program is killed: a proxy's shared memory."""
        self.path(ELSEWHERE).mkdir(exist_ok=True)
        self.link(f"{ELSEWHERE}/{path.name}", path)

    def spawn(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> ChildProcess:
        """Start a process that is to run until it is stopped, in the folder or another.

        Raises `StartError` if it cannot be started.
        """
        try:
            child = self._spawn(arguments, self.log, environment, folder)
        except OSError as error:
            msg = f"{arguments[0]} cannot be started: {error.strerror}"
            raise StartError(msg) from error
        self._children.append(child)
        child.exited().addCallback(lambda _code: self._exited(child))
        return child

    def adopt(self, pid: int, name: str) -> ChildProcess:
        """Treat a process as one that was spawned here: a daemon, or what a process of ours has started in its place.

        Raises `ChangeError` if there is none.
        """
        try:
            child = ChildProcess.adopt(self.reactor, pid, name, self.log)
        except OSError as error:
            msg = f"{name} (pid {pid}) is gone: {error.strerror}; it said:\n{self.last_words()}"
            raise ChangeError(msg) from error
        self._children.append(child)
        child.exited().addCallback(lambda _code: self._exited(child))
        return child

    def at_close(self, closer: Callable[[], Awaitable[object]]) -> None:
        """Call it when everything is given back: a server of ours that the proxy asks, which may outlive it."""
        self._closers.append(closer)

    def meanwhile(self, work: Coroutine[Deferred[Any], Any, None], what: str) -> Deferred[None]:
        """Do what a change leaves to be done once it is applied, while the run goes on; fires when that is over.

        It has as long as it takes, and ends with the run (`leave_off`). Being cancelled is no failure; any other is
        told in a line that says `what` could not be done, and the run goes on.
        """
        return self._meanwhile.do(work, what)

    def leave_off(self) -> None:
        """Cancel what goes on `meanwhile`: the proxy is to be stopped."""
        self._meanwhile.leave_off()

    def retire(self, child: ChildProcess) -> None:
        """Take a process's end for what was asked for: it hands over to another."""
        self._asked_to_end.add(child)

    def reinstate(self, child: ChildProcess) -> None:
        """Take a process's end for a death again, also one that has come already: it has not handed over."""
        self._asked_to_end.discard(child)
        if child.exit_code is not None:
            self.on_death(child)

    def retired(self) -> set[int]:
        """Return the pids of those that have handed over and live still, with the processes below them."""
        living = [child for child in self._children if child.exit_code is None]
        successors = {child.pid for child in living if child not in self._asked_to_end}
        left = [child.pid for child in living if child in self._asked_to_end]
        found: set[int] = set()
        while left:
            pid = left.pop()
            found.add(pid)
            left += set(tree.children(pid)) - successors - found  # a successor may be a child of who went before
        return found

    async def until_answering(self, child: ChildProcess) -> None:
        """Wait until the front port answers from a backend; raises `StartError` with the child's last words."""
        died = child.exited()

        async def ready() -> bool:
            return died.called or await self.answers()

        self._starting.add(child)
        try:
            in_time = await until(self.reactor, ready, START_TIMEOUT_S, interval_s=0.02)
        finally:
            self._starting.discard(child)
        if died.called or child in self._asked_to_end:
            words = child.tail()
            msg = f"{child.ending()} at the start; it said:\n{words or '  nothing'}"
            raise StartError(msg) if child.exit_code is None else ExitedError(msg, child.exit_code, words)
        if not in_time:
            msg = f"{child.name} does not answer on {self.front} after {START_TIMEOUT_S:g} s; it said:\n{child.tail()}"
            raise StartError(msg)

    async def replace(
        self,
        old: ChildProcess,
        arguments: Sequence[str | Path],
        in_charge: Callable[[ChildProcess], Awaitable[bool]],
        environment: Mapping[str, str] | None = None,
    ) -> ChildProcess:
        """Start a process that takes over from `old`; return it once it is `in_charge`. `old` may end.

        Raises `ChangeError` with its last words if it ends before that, or is too slow: then `old` must go on.
        """
        successor = self.spawn(*arguments, environment=environment)
        self._asked_to_end |= {old, successor}

        async def settled() -> bool:
            with suppress(ChangeError):  # whoever is asked may be leaving
                return successor.exit_code is not None or await in_charge(successor)
            return False

        in_time = await until(self.reactor, settled, COMMAND_TIMEOUT_S)
        if in_time and successor.exit_code is None:
            self._asked_to_end.discard(successor)
            return successor
        what = successor.ending() if in_time else f"{successor.name} is not in charge after {COMMAND_TIMEOUT_S:g} s"
        msg = f"{what}; it said:\n{successor.tail(3) or '  nothing'}"
        await self.stop(successor, signal.SIGKILL)
        self.reinstate(old)
        raise ChangeError(msg)

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until `condition` holds; raises `ChangeError` naming `what` did not happen."""
        if not await until(self.reactor, condition, COMMAND_TIMEOUT_S):
            msg = f"not within {COMMAND_TIMEOUT_S:g} s: {what}"
            raise ChangeError(msg)

    def listens(self, child: ChildProcess) -> bool:
        """Whether a process listens at the front port: new connections may go to it."""
        return bool(self.listening([child.pid]))

    def listening(self, pids: Iterable[int]) -> set[int]:
        """Return those of some processes that listen at the front port."""
        sockets = listening_at(self.front_port)
        return {pid for pid in pids if not sockets.isdisjoint(inodes(pid))}

    async def until_deaf(self, child: ChildProcess) -> None:
        """Wait until a process listens no more; it may live on for what is under way. Raises `ChangeError`."""

        async def deaf() -> bool:
            return child.exit_code is not None or not self.listens(child)

        await self.until(deaf, f"{child.name} (pid {child.pid}) listens no more")

    async def run(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        told: int = 3,
    ) -> str:
        """Run a command to its end, in the folder or another, and return what it said.

        Raises `CommandError` with its words if it failed, the last `told` lines of them, `ChangeError` if it was not
        run. One that takes too long, or is cancelled, is ended.
        """
        self._commands += 1
        log = self.path(f"command-{self._commands}.log")
        try:
            child = self._spawn(arguments, log, environment, folder)
        except OSError as error:
            msg = f"{arguments[0]} cannot be started: {error.strerror}"
            raise ChangeError(msg) from error
        try:
            code = await child.exited().addTimeout(COMMAND_TIMEOUT_S, self.reactor)
        except CancelledError:
            await self._end_group(child)
            raise
        except LateError:
            await self._end_group(child)
            msg = f"{child.name} has not ended within {COMMAND_TIMEOUT_S:g} s"
            raise ChangeError(msg) from None
        if code:
            words = child.tail(told)
            msg = f"{child.ending()}:\n{words or '  it said nothing'}"
            raise CommandError(msg, code, words)
        said = log.read_text(encoding="utf-8", errors="replace")[:_REPLY_LIMIT]
        log.unlink()
        return said

    async def ask(self, socket: Path, line: str) -> str:
        """Send a line, or one with more below it, to a Unix socket; return all that is answered, until it is closed.

        Raises `ChangeError` if that cannot be.
        """
        reply: Deferred[bytes] = Deferred()
        try:
            connection = await UNIXClientEndpoint(self.reactor, str(socket), timeout=5).connect(
                Factory.forProtocol(lambda: _Reply(reply))
            )
        except (CancelledError, ConnectingCancelledError) as error:
            raise CancelledError from error  # the run is ended
        except Exception as error:
            msg = f"{socket.name}: {printable(str(error))}"
            raise ChangeError(msg) from error
        transport = connection.transport
        transport.write(line.encode("utf-8") + b"\n")
        # Some proxies answer only when nothing more can come, some keep the connection open until then.
        transport.loseWriteConnection()
        try:
            said = await reply.addTimeout(COMMAND_TIMEOUT_S, self.reactor)
        except LateError:
            transport.abortConnection()
            asked = line.partition("\n")[0]  # behind that there may be a key
            msg = f"{socket.name}: no answer to {asked!r} within {COMMAND_TIMEOUT_S:g} s"
            raise ChangeError(msg) from None
        return said.decode("utf-8", "replace")

    async def stop(self, child: ChildProcess, graceful: int = signal.SIGTERM) -> None:
        """Ask a process to end with the signal `graceful`, and kill it if it has not within `GRACE_S`."""
        self._asked_to_end.add(child)
        child.signal(graceful)
        with suppress(LateError):
            await child.exited().addTimeout(GRACE_S, self.reactor)
            return
        child.signal(signal.SIGKILL)
        await child.exited()

    def hurry(self) -> None:
        """Let `close` end by force what still runs, at once, also when it is waiting already."""
        self._grace_s = 0.0

    async def close(self) -> None:
        """End and reap whatever still runs, by force if it takes long, and remove the folder."""
        self.leave_off()
        self._asked_to_end.update(self._children)
        ours = {child.pid for child in self._children if not child.adopted}
        async with AsyncExitStack() as stack:  # one thing that fails does not keep the others
            stack.callback(self._remove)
            for closer in reversed(self._closers):
                stack.push_async_callback(self._limited, closer)
            await self._end_strangers(ours)
            await DeferredList([child.exited() for child in self._children])

    async def _limited(self, closer: Callable[[], Awaitable[object]]) -> None:
        async def closing() -> None:
            await closer()

        await within(self.reactor, closing(), max(self._grace_s, _HURRIED_S))

    def _remove(self) -> None:
        for link in self.path(ELSEWHERE).glob("*"):
            with suppress(OSError):
                link.readlink().unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._watchdog.dismiss()

    def last_words(self, lines: int = 5) -> str:
        """Return the last lines of what the proxy said."""
        return tail(self.log, lines)

    def said_from_now(self) -> Callable[[], list[str]]:
        """Return what returns the whole lines that the proxy has said since: bounded, but as they are."""
        log = self.log
        so_far = log.stat().st_size

        def said() -> list[str]:
            with log.open("rb") as file:
                file.seek(so_far)
                text = file.read(_REPLY_LIMIT)
            whole, _end, _rest = text.rpartition(b"\n")
            return whole.decode("utf-8", "replace").splitlines()

        return said

    def _certify(self, authority: "Authority") -> None:
        """Have the front's first certificate; raises `StartError` if it cannot be written."""
        from proxyreload.proxy.authority import FOLDER, FrontCertificate

        try:
            self.tls = FrontCertificate(self.path(FOLDER), authority)
        except OSError as error:
            self._remove()
            msg = f"no certificate can be written in {self.folder}: {error.strerror}"
            raise StartError(msg) from error

    async def _end_strangers(self, ours: set[int]) -> None:
        """End what is left: first what a stopped proxy is about to end itself, then by force."""
        for attempt in range(int(GRACE_S / 0.05) + 20):
            left = [process for process in tree.strangers() if process.pid != self._watchdog.pid]
            if not left:
                return
            for process in left:
                with suppress(psutil.Error):
                    if process.status() == psutil.STATUS_ZOMBIE:
                        if process.pid not in ours:
                            tree.reap(process.pid)
                    elif attempt * 0.05 >= self._grace_s:
                        process.kill()
                    elif attempt == 0:
                        process.terminate()
            await deferLater(self.reactor, 0.05)

    async def _end_group(self, child: ChildProcess) -> None:
        """End a command with all that it has started, by force after `GRACE_S`."""
        child.signal_group(signal.SIGTERM)

        async def gone() -> bool:
            return not child.signal_group(0)

        if not await until(self.reactor, gone, GRACE_S):
            child.signal_group(signal.SIGKILL)
        await child.exited()

    def _spawn(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None,
        folder: Path | None = None,
    ) -> ChildProcess:
        return ChildProcess.spawn(
            self.reactor,
            arguments,
            folder=self.folder if folder is None else folder,
            log=log,
            environment={**os.environ, **(environment or {})},
        )

    def _exited(self, child: ChildProcess) -> None:
        if child not in self._asked_to_end | self._starting:
            self.on_death(child)


def idle_timeout_s(quiet_s: float) -> int:
    """Return a proxy's time-outs between two bytes, or two requests, where that long nothing comes or goes."""
    return max(TIMEOUT_S, ceil(2 * quiet_s))


class _Reply(Protocol):
    """Collects what is said until the connection ends."""

    def __init__(self, whole: Deferred[bytes]) -> None:
        self._whole = whole
        self._said = b""

    def dataReceived(self, data: bytes) -> None:
        self._said += data
        if len(self._said) > _REPLY_LIMIT and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        if not self._whole.called:
            self._whole.callback(self._said[:_REPLY_LIMIT])

"""A plugin's code, which is somebody else's: whatever it raises, even to end the program, is an error like others."""

import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType, TracebackType
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from proxyreload.errors import ProxyreloadError
from proxyreload.system.untrusted import WORDS_LIMIT, one_line


def words_of(error: BaseException) -> str:
    """Say what was raised, on one bounded line: of an error that is meant to be read its text alone."""
    try:
        text = str(error)
    except BaseException as another:  # noqa: BLE001  (it is somebody else's too)
        text = f"its text raised {type(another).__name__}"
    name = "" if isinstance(error, ProxyreloadError) else f"{type(error).__name__}: "
    return one_line(name + text, WORDS_LIMIT).removesuffix(": ").removesuffix(":")


async def asked(
    reactor: IReactorTime,
    call: Callable[[], Awaitable[object] | None],
    limit_s: float,
    kind: type[ProxyreloadError],
    what: str = "",
) -> None:
    """Await what a plugin's `call` returns, or nothing.

    Raises `LateError` after `limit_s`, and `CancelledError` if this is cancelled, whatever the plugin makes of being
    cancelled then. A `ProxyreloadError` of the plugin's is raised as it is; for all else `kind`, with `what` before the
    words.
    """
    given_up: list[bool] = []

    async def calling() -> None:
        returned = call()
        if returned is not None:
            await returned

    def give_up(_over: Deferred[None]) -> None:
        given_up.append(True)
        doing.cancel()

    def settle(outcome: Failure | None) -> None:
        if over.called:
            return
        if not isinstance(outcome, Failure):
            over.callback(None)
        elif isinstance(outcome.value, ProxyreloadError):
            over.errback(outcome)
        elif not given_up:
            raised = cast(BaseException, outcome.value)
            over.errback(Failure(_as_ours(raised, kind, what)))

    over: Deferred[None] = Deferred(give_up)
    # By the Deferred's way of errors: a coroutine that is thrown away has a GeneratorExit that nobody raised.
    doing = Deferred.fromCoroutine(calling())
    doing.addBoth(settle)
    await over.addTimeout(limit_s, reactor)


@attrs.define
class Calling:
    """A context in which a plugin's code is called: raises a `ProxyreloadError` as it is, and `kind` for all else.

    A Ctrl-C meanwhile stays what it is, unlike a KeyboardInterrupt that the plugin raises.
    """

    kind: type[ProxyreloadError]
    what: str
    _before: Any = attrs.field(default=None, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)

    def __enter__(self) -> None:
        """Begin."""
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._arrived)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """End; raises what is to be raised."""
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._arrived:
            signal.signal(signal.SIGINT, self._before)
        if error is None or isinstance(error, ProxyreloadError):
            return
        if isinstance(error, KeyboardInterrupt) and self._interrupted:
            return
        raise _as_ours(error, self.kind, self.what) from error

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        self._before(number, frame)


def _as_ours(error: BaseException, kind: type[ProxyreloadError], what: str) -> ProxyreloadError:
    return kind(f"{what}: {words_of(error)}" if what else words_of(error))

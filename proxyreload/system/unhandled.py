"""What is raised where nobody waits for it: in a timer, in a reader, in a Deferred that is dropped. Twisted logs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import cast

from twisted.internet.defer import CancelledError
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

#: So many are told; after that it is clear.
_TOLD = 3
#: Who serves a page is no part of what is measured: an error there is that request's.
_PAGE = {"klein", "web"}


@implementer(ILogObserver)
class _Unhandled:
    """Calls back with the first few errors."""

    def __init__(self, tell: Callable[[BaseException], None], *, of_pages: bool) -> None:
        self._tell = tell
        self._of_pages = of_pages
        self._told = 0

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if event.get("log_level") is not LogLevel.critical or not isinstance(failure, Failure):
            return
        error = cast(BaseException, failure.value)
        if self._told >= _TOLD or isinstance(error, CancelledError) or (not self._of_pages and _is_a_pages(failure)):
            return
        self._told += 1
        self._tell(error)


def begin_log(tell: Callable[[BaseException], None]) -> None:
    """Let the log, where nobody reads it, tell these and nothing else: Twisted would print tracebacks."""
    globalLogBeginner.beginLoggingTo([_Unhandled(tell, of_pages=True)], redirectStandardIO=False, discardBuffer=True)


@contextmanager
def unhandled(tell: Callable[[BaseException], None]) -> Iterator[None]:
    """Tell those that come meanwhile, but for those of the live page."""
    observer = _Unhandled(tell, of_pages=False)
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)


def _is_a_pages(failure: Failure) -> bool:
    """Whether a request to the page is on the stack."""
    return any(PurePath(frame[1]).parent.name in _PAGE for frame in failure.frames)

"""Time in the tests' hands, and what has come of a Deferred."""

from typing import Any, TypeVar, cast

from hypothesis import settings
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from proxyreload.system.clock import NS_PER_S

#: Where the clocks of the tests begin: 0 means "never" in many a record.
START_NS = 1000 * NS_PER_S

#: For property-based tests: few examples, and no limit on how long one takes.
some_examples = settings(max_examples=60)


T = TypeVar("T")
_case = SynchronousTestCase()


def result_of(deferred: Deferred[T]) -> T:
    """Return what a Deferred has fired with."""
    return _case.successResultOf(deferred)


def error_of(deferred: Deferred[Any], *kinds: type[Exception]) -> Exception:
    """Return the exception with which a Deferred has failed."""
    failure = _case.failureResultOf(deferred, *kinds)
    return cast(Exception, failure.value)


def waits(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has not fired yet."""
    return not deferred.called


class Time(Clock):
    """A reactor's clock and the run's own, which go together."""

    def ns(self) -> int:
        """Return the run's time."""
        return START_NS + round(self.seconds() * NS_PER_S)


@implementer(IReactorFDSet)
class Readers(Time):
    """A reactor that can watch descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.watched.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.watched.remove(reader)

    def addWriter(self, writer: object) -> None: ...

    def removeWriter(self, writer: object) -> None: ...

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        return []

    def getReaders(self) -> list[IReadDescriptor]:
        return self.watched

    def getWriters(self) -> list[IWriteDescriptor]:
        return []

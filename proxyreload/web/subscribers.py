"""Server-sent events that never wait for a reader.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.http import Request
from zope.interface import implementer

SUBSCRIBERS_AT_MOST = 16
#: A connection on which nothing is said may be taken for dead.
HEARTBEAT_S = 15.0


def event(name: str, data: bytes) -> bytes:
    """Return one event; `data` is JSON, which has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), data)


@implementer(IPushProducer)
@attrs.define(eq=False)
class Subscriber:
    """One reader. While it does not keep up it is told nothing; when it does again it gets the newest state."""

    request: Request
    everything: Callable[[], bytes]  #: returns the events that tell the whole state
    paused: bool = attrs.field(default=False, init=False)
    gone: bool = attrs.field(default=False, init=False)
    _behind: bool = attrs.field(default=True, init=False)

    def tell(self, message: bytes) -> None:
        """Tell what has happened, unless it still has to read what it was told before."""
        if self.paused or self.gone:
            self._behind = True
        elif self._behind:
            self._behind = False
            self.request.write(self.everything())
        else:
            self.request.write(message)

    def pauseProducing(self) -> None:
        """Say nothing: what was said is not read."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Go on with what is said next."""
        self.paused = False

    def stopProducing(self) -> None:
        """Say nothing more."""
        self.gone = True

    def end(self) -> None:
        """End the answer."""
        if not self.gone:
            self.gone = True
            self.request.unregisterProducer()
            self.request.finish()


@attrs.define(eq=False)
class Subscribers:
    """All readers, of which there are only so many."""

    everything: Callable[[], bytes]
    _all: list[Subscriber] = attrs.field(factory=list, init=False)
    _beating: LoopingCall | None = attrs.field(default=None, init=False)

    def __len__(self) -> int:
        return len(self._all)

    def start(self, reactor: IReactorTime) -> None:
        """Say something now and then."""
        self._beating = LoopingCall(self.tell, b": \n\n")
        self._beating.clock = reactor
        self._beating.start(HEARTBEAT_S, now=False)

    def stop(self) -> None:
        """Let all go."""
        if self._beating is not None and self._beating.running:
            self._beating.stop()
        for subscriber in tuple(self._all):
            self._all.remove(subscriber)
            subscriber.end()

    def add(self, request: Request) -> bool:
        """Begin to tell one more, in place of the one that has been asleep if need be; False if there are too many."""
        if len(self._all) >= SUBSCRIBERS_AT_MOST:
            asleep = next((each for each in self._all if each.paused), None)
            if asleep is None:
                return False
            self._all.remove(asleep)
            asleep.gone = True
            asleep.request.loseConnection()
        subscriber = Subscriber(request, self.everything)
        self._all.append(subscriber)

        def left(_reason: object) -> None:
            subscriber.gone = True
            if subscriber in self._all:
                self._all.remove(subscriber)

        request.notifyFinish().addBoth(left)
        request.registerProducer(subscriber, True)  # noqa: FBT003  (Twisted's own signature)
        subscriber.tell(b"")
        return True

    def tell(self, message: bytes) -> None:
        """Tell all who keep up."""
        for subscriber in tuple(self._all):
            subscriber.tell(message)

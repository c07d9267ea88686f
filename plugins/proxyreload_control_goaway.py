"""What befalls whole HTTP/2 connections of the control proxy: GOAWAY, told truly, twice, and as a lie."""

from typing import Any

from proxyreload_control_books import EXECUTED
from proxyreload_control_harm import Harmed, Watched
from proxyreload_control_streams import LARGEST, Stream, StreamsFront

#: So much later comes the second GOAWAY of the graceful pair (RFC 9113, 6.8).
_PAIR_S = 0.02


class WentAway(Harmed):
    """GOAWAY is said when the request has come: it, and what came before it, is answered all the same."""

    paired = False

    def begin(self) -> None:
        """Say it."""
        connection = self._connection
        if connection.finished:  # by another's
            super().begin()
            return
        if self.paired:
            reactor: Any = self.proxy.workspace.reactor
            connection.go_away(LARGEST)
            reactor.callLater(_PAIR_S, self._second)
        else:
            connection.go_away(connection.newest)
        self.did()
        super().begin()

    @property
    def _stream(self) -> Stream:
        stream: Any = self.front
        assert isinstance(stream, Stream)  # noqa: S101
        return stream

    @property
    def _connection(self) -> StreamsFront:
        return self._stream.connection

    def _second(self) -> None:
        if self._connection in self.proxy.fronts:
            self._connection.go_away(self._connection.newest)


class Paired(WentAway):
    """It is said twice, as RFC 9113, 6.8, advises."""

    paired = True


class Denied(WentAway):
    """It is said when the request has been carried out, and says that it, and all behind it, was not processed."""

    def begin(self) -> None:
        """Let it be carried out first."""
        Harmed.begin(self)

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Lie."""
        connection, number = self._connection, self._stream.number
        those = [each for each in connection.streams.values() if each.number >= number]
        harmed = any(isinstance(each.passing, Harmed) for each in those if each is not self._stream)
        if connection.finished or harmed:
            super().answer_head_came(head, chunked=chunked)
            return
        for each in those:
            each.denied = True
            del connection.streams[each.number]
            self.proxy.denied(each.client)
            if isinstance(each.passing, Watched):
                each.passing.fate = EXECUTED
        connection.go_away(max(0, number - 2))
        self.did()
        self.proxy.delivered(self)
        self.answering, self.answer_chunked = True, chunked

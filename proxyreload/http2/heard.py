"""What is heard on a connection that carries streams: one plain record for each thing that happened."""

from collections.abc import Sequence
from typing import NamedTuple

from proxyreload.http2.hpack import Field


class Head(NamedTuple):
    """An answer's header block has come, ``:status`` before all else; what was interim is left out."""

    stream: int
    fields: Sequence[Field]
    end: bool  #: whether that was all


class Request(NamedTuple):
    """A request's header block has come; it has method, scheme and path, each once."""

    stream: int
    fields: Sequence[Field]
    end: bool  #: whether that was all


class Data(NamedTuple):
    """Some of a body has come, without its padding; perhaps nothing but the end."""

    stream: int
    data: bytes
    end: bool  #: whether that was all


class Trailers(NamedTuple):
    """Fields have come behind a body, which ends it."""

    stream: int
    fields: Sequence[Field]


class Reset(NamedTuple):
    """The peer has ended a stream before its end."""

    stream: int
    code: int


class Malformed(NamedTuple):
    """What came on a stream is no answer, or no request (RFC 9113, 8.1.1): we have ended it, the connection goes on."""

    stream: int
    message: str
    short: bool = False  #: it is a body that has ended before its length


class GoAway(NamedTuple):
    """The peer wants no more streams; those above `last` it has not acted on, and will not. There may be several."""

    last: int
    code: int
    debug: bytes


class Settings(NamedTuple):
    """The peer has said how many streams it wants at once."""

    max_streams: int


class Wrong(NamedTuple):
    """The peer does not speak HTTP/2 as it should: a connection error, behind which nothing more is heard."""

    code: int
    message: str


Event = Head | Request | Data | Trailers | Reset | Malformed | GoAway | Settings | Wrong

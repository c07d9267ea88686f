"""Where an answer ends, when more than it was read."""

from bisect import bisect_left
from contextlib import suppress

import attrs
import httptools

_FINAL = 200


@attrs.define(eq=False)
class _End:
    """Hears from the parser whether an answer, not an interim one, is whole."""

    parser: httptools.HttpResponseParser = attrs.field(init=False)
    whole: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        """Take the end."""
        self.whole = self.whole or self.parser.get_status_code() >= _FINAL


def surplus(data: bytes) -> bytes:
    """Return what stands behind the whole answer that `data` begins with.

    The parser does not say where an answer ends, so it is asked for the shortest beginning that is one: a few times,
    and only of a connection that is at its end.
    """
    return data[bisect_left(range(len(data)), True, key=lambda length: _is_whole(data[:length])) :]  # noqa: FBT003


def _is_whole(data: bytes) -> bool:
    end = _End()
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):  # behind it, or it would be no answer
        end.parser.feed_data(data)
    return end.whole

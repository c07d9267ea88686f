"""What is fed."""

from collections.abc import Callable, Sequence

import attrs


@attrs.frozen
class Target:
    """Something that reads bytes."""

    name: str
    take: Callable[[bytes], None]  #: raises what it should not
    seeds: Callable[[], Sequence[bytes]]  #: good and half good input to begin with
    words: Sequence[bytes] = ()  #: that mean something in it
    longest: int = 4096  #: bytes that one input has at most


def one_line(error: Exception, limit: int = 1000) -> None:
    """See that what a user is told is one line that can be shown, and a bounded one."""
    text = str(error)
    assert text.isprintable(), text
    assert len(text) < limit, text

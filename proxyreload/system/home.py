"""Libraries that want a home directory, where there is none: a container may run with any user id."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "HOME"
#: There is nothing in it, nor can be made.
_NOWHERE = "/nonexistent"


@contextmanager
def some_home() -> Iterator[None]:
    """Let a library be imported that asks for the user's home and raises where that cannot be told.

    It finds nothing there; programs that are started later are told nothing of it.
    """
    told = os.path.expanduser("~") != "~"  # noqa: PTH111  (which does not raise)
    if not told:
        os.environ[_VARIABLE] = _NOWHERE
    try:
        yield
    finally:
        if not told:
            del os.environ[_VARIABLE]

"""A column of many rows, filled some rows at a time."""

from typing import Any

import attrs
import numpy as np
from numpy.typing import DTypeLike, NDArray

#: By how much a column grows that was thought to be shorter.
_GROWTH = 1.5


@attrs.define(eq=False)
class Column:
    """Values one after the other, no wider than they need to be, and held once: a run has millions of rows."""

    type: DTypeLike
    capacity: int  #: how many there will be, as far as is known; room that is not filled takes no memory
    _filled: int = 0
    _values: NDArray[Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make room."""
        self._values = np.empty(self.capacity, self.type)

    def add(self, values: NDArray[Any]) -> None:
        """Add some, which must fit its type."""
        end = self._filled + len(values)
        if end > len(self._values):
            grown = np.empty(int(end * _GROWTH), self.type)
            grown[: self._filled] = self._values[: self._filled]
            self._values = grown
        self._values[self._filled : end] = values
        self._filled = end

    @property
    def values(self) -> NDArray[Any]:
        """What was added."""
        return self._values[: self._filled]

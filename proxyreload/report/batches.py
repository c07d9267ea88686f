"""Some rows of a CSV file at once: plain ones found in the bytes, any others parsed one by one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from proxyreload.system.untrusted import of_cell, printable

Integers = NDArray[np.signedinteger[Any]]

#: What a row does not tell.
UNKNOWN = -1

#: Beyond so many different names in a column somebody is inventing them.
_NAMES_AT_MOST = 256
OTHER = "other"
_NAME_LIMIT = 120

_COMMA, _NEWLINE, _ZERO = b",\n0"
#: Bytes that make a row more than fields between commas.
_NOT_PLAIN = (b'"', b"\r", b"\0")
#: Digits that surely fit into 64 bits.
_DIGITS_AT_MOST = 18
#: A text of so many bytes is one number of 64 bits.
_SHORT = 8


class Names(dict[str, int]):
    """Numbers each different text of a column; the empty one is 0."""

    def __init__(self) -> None:
        super().__init__({"": 0})
        self.texts = [""]

    def __missing__(self, text: str) -> int:
        if len(self.texts) > _NAMES_AT_MOST:
            return _NAMES_AT_MOST
        shown = OTHER if len(self.texts) == _NAMES_AT_MOST else printable(of_cell(text), _NAME_LIMIT)
        self[text] = len(self.texts)
        self.texts.append(shown)
        return self[text]


class Batch(Protocol):
    """Some rows, of which whole columns are taken."""

    def __len__(self) -> int: ...

    def numbers(self, place: int) -> Integers:
        """Return a column of numbers, `UNKNOWN` where it is empty; raises `ValueError` or `OverflowError`."""

    def codes(self, place: int, names: Mapping[str, int]) -> Integers:
        """Return a column of texts as their numbers among `names`."""


@attrs.frozen(eq=False)
class Parsed:
    """Rows that the csv module has parsed, all of the same length."""

    columns: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.columns[0])

    def numbers(self, place: int) -> Integers:
        """Return a column of numbers."""
        texts = self.columns[place]
        numbers: Iterator[int] = (int(text) if text else UNKNOWN for text in texts)
        return np.fromiter(numbers, np.int64, len(texts))

    def codes(self, place: int, names: Mapping[str, int]) -> Integers:
        """Return a column of texts."""
        texts = self.columns[place]
        return np.fromiter(map(names.__getitem__, texts), np.int64, len(texts))


@attrs.frozen(eq=False)
class Plain:
    """Rows without anything quoted: all their fields are found by their commas, five times as fast as by parsing."""

    data: bytes
    _bytes: NDArray[np.uint8]
    _begins: Integers  #: of each field, row by row
    _ends: Integers

    @classmethod
    def of(cls, data: bytes, columns: int) -> Self | None:
        """Return whole lines as rows; none if they are not plain, or not all of so many columns."""
        if not data.endswith(b"\n") or any(byte in data for byte in _NOT_PLAIN):
            return None
        found = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero((found == _COMMA) | (found == _NEWLINE))
        if len(ends) % columns:
            return None
        table = ends.reshape(-1, columns)
        newline = found[table] == _NEWLINE
        if not newline[:, -1].all() or newline[:, :-1].any():
            return None
        begins = np.append(0, ends[:-1] + 1).reshape(-1, columns)
        return cls(data, found, begins, table)

    def __len__(self) -> int:
        return len(self._ends)

    def numbers(self, place: int) -> Integers:
        """Return a column of numbers; raises `ValueError`."""
        begins, lengths = self._column(place)
        values = np.zeros(len(begins), np.int64)
        if lengths.max() > _DIGITS_AT_MOST:
            raise ValueError
        for index in range(int(lengths.max())):
            there = index < lengths
            digits = self._bytes[np.where(there, begins + index, 0)].astype(np.int64) - _ZERO
            if ((digits < 0) | (digits > 9))[there].any():  # noqa: PLR2004  (a digit)
                raise ValueError
            values = np.where(there, values * 10 + digits, values)
        values[lengths == 0] = UNKNOWN
        return values

    def codes(self, place: int, names: Mapping[str, int]) -> Integers:
        """Return a column of texts: short ones, which are nearly all, each different one only once."""
        begins, lengths = self._column(place)
        packed = np.zeros(len(begins), np.uint64)
        for index in range(min(_SHORT, int(lengths.max()))):
            letters = self._bytes[np.where(index < lengths, begins + index, 0)].astype(np.uint64)
            packed |= np.where(index < lengths, letters << np.uint64(8 * index), 0).astype(np.uint64)
        codes = np.zeros(len(begins), np.int64)
        short = np.flatnonzero(lengths <= _SHORT)
        _texts, first, which = np.unique(packed[short], return_index=True, return_inverse=True)
        told = [names[self._text(place, int(row))] for row in short[first]]
        codes[short] = np.array(told, np.int64)[which] if told else 0
        for row in np.flatnonzero(lengths > _SHORT).tolist():
            codes[row] = names[self._text(place, row)]
        return codes

    def _column(self, place: int) -> tuple[Integers, Integers]:
        begins = self._begins[:, place]
        return begins, self._ends[:, place] - begins

    def _text(self, place: int, row: int) -> str:
        return self.data[self._begins[row, place] : self._ends[row, place]].decode("utf-8", "backslashreplace")

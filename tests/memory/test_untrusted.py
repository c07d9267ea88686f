"""Text of others, made fit to be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.system.untrusted import QUOTE_LIMIT, printable

from .clocks import some_examples


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, é 漢 ✓", "plain words, é 漢 ✓"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        (b"\x00\xff", "\\x00ÿ"),
        ("", ""),
        (b"", ""),
    ],
)
def test_what_is_not_printable_is_escaped(text: str | bytes, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["x" * 5000, b"x" * 5000])
def test_long_text_is_cut_and_marked(text: str | bytes) -> None:
    assert printable(text) == "x" * QUOTE_LIMIT + "…"


@pytest.mark.parametrize("text", ["x" * 10, b"x" * 10])
def test_text_that_just_fits_is_whole(text: str | bytes) -> None:
    assert printable(text, 10) == "x" * 10
    assert printable(text, 9) == "x" * 9 + "…"


@some_examples
@given(st.text() | st.binary(), st.integers(0, 50))
def test_any_text_becomes_one_short_line(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit * 10 + 1
    shown.encode("utf-8")

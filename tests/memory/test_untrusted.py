"""Text of others, made fit to be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.system.untrusted import QUOTE_LIMIT, as_cell, line_of, of_cell, printable, without_secrets

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


def test_a_line_of_ours_is_whole_and_printable() -> None:
    assert line_of("x" * 5000) == "x" * 5000
    assert line_of("é\x1b[2J" + "x" * 5000) == r"é\x1b[2J" + "x" * 5000


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=", "＝1+1", "'=1", "''@"])  # noqa: RUF001
def test_a_formula_is_text_with_an_apostrophe_before_it(text: str) -> None:
    assert as_cell(text) == f"'{text}"
    assert of_cell(f"'{text}") == text


@pytest.mark.parametrize("text", ["", "0", "a=1", "timeout", "'", "'a'", "wrong body: =1", " =1", 200, -1])
def test_any_other_text_and_any_number_stays_as_it_is(text: str | int) -> None:
    assert as_cell(text) == text
    assert of_cell(str(text)) == str(text)


@some_examples
@given(st.text() | st.text("'=+-@ a\t\r"))
def test_text_is_read_back_from_a_cell_as_it_was(text: str) -> None:
    cell = str(as_cell(text))
    assert of_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:password@host/", "http://…@host/"),
        ("https://user@host:81/a@b", "https://…@host:81/a@b"),
        ("http://a@b@host/", "http://…@host/"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://host?a@b", "http://host?a@b"),
        ("http://[::1]/#@", "http://[::1]/#@"),
        ("curl http://me:x@one/ http://two/ https://you:y@three/", "curl http://…@one/ http://two/ https://…@three/"),
        ("me@example.test", "me@example.test"),
    ],
)
def test_who_asks_is_left_out_of_urls(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "url", ["http://user:pass/word@host/", "http://user:pass#word@host/", "http://user:pass word@h"]
)
def test_all_that_may_be_a_password_is_left_out_of_what_is_no_url(url: str) -> None:
    assert "word" not in without_secrets(url, strict=False)
    assert "user" not in without_secrets(url, strict=False)

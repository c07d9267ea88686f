"""An answer that is no success, and what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.traffic.errorpage import refused, words

from .test_kind_ends import Said

PAGE = b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available.\n</body></html>\n"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (PAGE, "503 Service Unavailable No server is available."),
        (b"no available server\n", "no available server"),
        (b"", ""),
        (b"<html" * 1000, "<html" * 16 + "\N{HORIZONTAL ELLIPSIS}"),
        (b"\x1b[31m\xff", "\\x1b[31m\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_words_of_a_page_are_told(page: bytes, told: str) -> None:
    assert words(page) == told
    assert refused(Said(503, body=page)) == ("status 503", told)


def test_what_a_backend_of_ours_says_is_no_page_of_the_proxys() -> None:
    assert refused(Said(503, b"3", body=PAGE)) == ("status 503", "")


@given(st.binary(max_size=2000))
def test_whatever_it_says_is_one_line_and_bounded(page: bytes) -> None:
    told = words(page)
    assert told.isprintable()
    assert len(told) <= 81 * 10  # what cannot be printed is escaped

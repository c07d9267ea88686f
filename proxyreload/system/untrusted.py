"""Text that came from a proxy, a backend or a file, made fit to be shown and written."""

import re

#: What is kept of a header's value, a body or a log line that is quoted.
QUOTE_LIMIT = 200
#: And of several lines that a proxy said.
WORDS_LIMIT = 1000


def printable(text: str | bytes, limit: int = QUOTE_LIMIT) -> str:
    r"""Return `text` on one line, with every character that is not printable escaped (``\x1b``), and bounded."""
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("latin-1")
    cut = text[:limit]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return escaped + ("…" if len(text) > limit else "")


def line_of(text: str) -> str:
    """Return a line of ours as a terminal may have it, whatever came into it from elsewhere: `printable`, and whole."""
    return text if text.isprintable() else printable(text, len(text))


def one_line(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return the lines of `text` as one, made printable and bounded."""
    return printable(" / ".join(line.strip() for line in text.splitlines() if line.strip()), limit)


#: What a spreadsheet takes a cell for a formula by, wide forms included.
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")  # noqa: RUF001
#: What stands before the host in a URL to say who asks; and all that somebody may have meant by that.
_WHO = re.compile(r"(?<=://)[^/?#\s]*@")
_PERHAPS_WHO = re.compile(r"(?<=://).*@", re.DOTALL)


def as_cell(text: str | int) -> str | int:
    """Return text as it stands in a table that a spreadsheet may open: with an apostrophe where it would be a formula.

    And where it has apostrophes before that already, so that `of_cell` returns what it was.
    """
    return f"'{text}" if isinstance(text, str) and _FORMULA.match(text) else text


def of_cell(text: str) -> str:
    """Return what `as_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def without_secrets(url: str, *, strict: bool = True) -> str:
    """Return a URL without ``user:password@``; not `strict`: without what may have been meant by it, in a wrong one."""
    return (_WHO if strict else _PERHAPS_WHO).sub("…@", url)

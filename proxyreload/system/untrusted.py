"""Text that came from a proxy, a backend or a file, made fit to be shown and written."""

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


def one_line(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return the lines of `text` as one, made printable and bounded."""
    return printable(" / ".join(line.strip() for line in text.splitlines() if line.strip()), limit)

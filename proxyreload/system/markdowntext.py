"""Text as Markdown shows it, whatever it says: GitHub's, https://github.github.com/gfm/.

Of what comes from a proxy or a file nothing may become a table, a link, an image, HTML, or a line of its own.
"""

import re
from collections.abc import Sequence

from proxyreload.system.untrusted import QUOTE_LIMIT, printable

#: What means something wherever it stands: escaped by a backslash (2.4).
_MARKS = re.compile(r"([\\`*_\[\]|~])")
#: What begins something else than a paragraph, where it comes first: a heading, a list, a quote, a fence, a rule.
_FIRST = re.compile(r"([#+\->=:])")
_ORDERED = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
#: What is made a link by itself (6.9).
_LINKS = re.compile(r"(?i)(:(?=//)|(?<=www)\.)")
#: What a link's destination cannot have in it.
_NO_URL = re.compile(r"[^!#$%&'*+,\-./0-9:;=?@A-Z_a-z~]")


def text_of(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return `text` on one line, bounded, for a paragraph, an item of a list or a cell: it is shown as it is."""
    text = printable(text, limit).strip()
    text = _MARKS.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    text = _LINKS.sub(r"\\\1", text)
    first = _ORDERED.match(text)
    if first is not None:
        return f"{first[1]}\\{text[first.end(1) :]}"
    return f"\\{text}" if _FIRST.match(text) else text


def block_of(text: str, limit: int, language: str = "") -> list[str]:
    """Return the lines of a block of code with `text` on one line, bounded, from which no backtick leads out (4.5)."""
    text = printable(text, limit)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [f"{fence}{language}", text, fence]


def link_of(text: str, url: str) -> str:
    """Return `text` as a link; without one where the address is no web page's."""
    if not re.match("https?://", url):
        return text_of(text)
    safe = _NO_URL.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), url)
    return f"[{text_of(text)}]({safe})"


def table_of(
    head: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]], limit: int = QUOTE_LIMIT
) -> list[str]:
    """Return the lines of a table (4.10): its titles, which columns stand at the right, and the cells, all text."""
    lines = [_row(head, limit), f"| {' | '.join('---:' if each else '---' for each in right)} |"]
    return [*lines, *(_row(row, limit) for row in rows)]


def _row(cells: Sequence[str], limit: int) -> str:
    return f"| {' | '.join(text_of(cell, limit) for cell in cells)} |"

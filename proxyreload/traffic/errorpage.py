"""An answer that is no success: its class, and what it says to whoever reads it."""

import re

from proxyreload.history.failures import status_failure
from proxyreload.system.untrusted import printable
from proxyreload.traffic.interfaces import Answer

#: Of a page: it is said in its first words.
_BYTES, _WORDS_LIMIT = 1000, 80
_TAG = re.compile(r"<[^>]*>")


def refused(answer: Answer) -> tuple[str, str]:
    """Return its class, and the words of a page that is not a backend's of ours: the proxy's own, mostly."""
    return status_failure(answer.status), "" if answer.instance else words(answer.body)


def words(page: bytes) -> str:
    """Return the first words of an HTML page, or of a plain one, as one printable line."""
    text = _TAG.sub(" ", page[:_BYTES].decode("utf-8", "replace"))
    return printable(" ".join(text.split()), _WORDS_LIMIT)

"""Addresses within the site that stay what they are, whatever else is published later."""

import hashlib
import re

#: What stands in an address as it is named. Nothing here begins with a dot, so that no path leads out of its folder.
_MECHANISM = re.compile(r"([a-z0-9_.]*[a-z0-9]):([a-z0-9][a-z0-9_.-]{0,60})", re.ASCII)
_CONDITION = re.compile(r"[a-z0-9]+(?:, [a-z0-9]+)*", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,60}", re.ASCII)
_LIMIT = 60
#: Of a digest, in hexadecimal: enough to tell apart what people publish.
_DIGITS = 8
#: Where a comparison has no conditions, or a program tells no version.
NO_CONDITION = "as-run"
NO_VERSION = "unknown"


def digest(content: bytes) -> str:
    """Return a few letters that tell this content from any other."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def mechanism_part(name: str) -> str:
    """Return ``haproxy-reload`` for ``haproxy:reload``; another name that would have the same part has another one.

    No plugin's name has a hyphen, so that the first one stands where the colon was.
    """
    match = _MECHANISM.fullmatch(name)
    return f"{match[1]}-{match[2]}" if match and len(name) <= _LIMIT and not name.startswith(".") else _apart(name)


def condition_part(name: str) -> str:
    """Return ``near-leaving`` for ``near, leaving``."""
    if not name:
        return NO_CONDITION
    return name.replace(", ", "-") if _CONDITION.fullmatch(name) and len(name) <= _LIMIT else _apart(name)


def version_part(name: str) -> str:
    """Return a version's number as it is."""
    return plain_part(name) if name else NO_VERSION


def plain_part(name: str) -> str:
    """Return a name as it is, or, where it is unfit for an address, what is left of it and a digest."""
    return name if _PART.fullmatch(name) else _apart(name)


def _apart(name: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", name[:_LIMIT].lower()).strip("-")[: _LIMIT - 2 * _DIGITS]
    return "-".join(filter(None, [readable, digest(name.encode("utf-8", "backslashreplace"))]))

"""Packages of others that bring a plugin, a file each: who else is to be in a full comparison."""

import re
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.plan.document import document
from proxyreload.system.boundedfile import read_text
from proxyreload.system.untrusted import printable

ENDING = ".toml"
_SIZE_LIMIT = 4096
_VENDORS_AT_MOST = 1000
#: What pip may be told: a package of an index by its name, and which versions of it; no option, path or URL.
_PACKAGE = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,80}[A-Za-z0-9])?"
    r"(?:(?:==|>=|<=|~=|<|>)[A-Za-z0-9.!+]{1,40}(?:,(?:==|>=|<=|~=|<|>)[A-Za-z0-9.!+]{1,40}){0,3})?",
    re.ASCII,
)
_PLUGIN = re.compile(r"[a-z0-9_.]{1,40}", re.ASCII)
_URL = re.compile(r"https://[^\s\"'<>]{1,500}")
_KEYS = {
    "package": (_PACKAGE, "a package's name, with versions if need be, as proxyreload-example>=1.2"),
    "plugin": (_PLUGIN, "a plugin's name, in small letters"),
    "url": (_URL, "the address of a page, https"),
}


@attrs.frozen
class Vendor:
    """A package, as pip may be told to install it, and the plugin that it brings."""

    package: str
    plugin: str
    url: str  #: of the page about it


def vendors(folder: Path) -> list[Vendor]:
    """Return those that a folder's files name, in the files' order; raises `UsageError` with file and key."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(ENDING))
    except OSError as error:
        msg = f"{folder}: {error.strerror}"
        raise UsageError(msg) from error
    if len(paths) > _VENDORS_AT_MOST:
        msg = f"{folder}: more than {_VENDORS_AT_MOST} vendors"
        raise UsageError(msg)
    found: dict[str, Path] = {}
    told = []
    for path in paths:
        vendor = _vendor(path)
        if vendor.plugin in found:
            msg = f"{path}: plugin {vendor.plugin} is that of {found[vendor.plugin].name} already"
            raise UsageError(msg)
        found[vendor.plugin] = path
        told.append(vendor)
    return told


def _vendor(path: Path) -> Vendor:
    content = document(read_text(path, _SIZE_LIMIT), str(path), 1)
    for key in content:
        if key not in _KEYS:
            msg = f"{path}: unknown key {printable(repr(key), 60)}; there are: {', '.join(_KEYS)}"
            raise UsageError(msg)
    for key, (pattern, what) in _KEYS.items():
        value = content.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            msg = f"{path}: {key} is not {what}"
            raise UsageError(msg)
    return Vendor(**content)

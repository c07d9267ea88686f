"""The programs that the documentation's commands find first on PATH: the real ones, each run shortened.

Everything else is as it is shown, but for the ports: a page's 8080 and 1030 to 1033 become ports that are free.
"""

import shutil
import sys
from pathlib import Path

from .command import PROXYRELOAD, Place
from .proxies import binary

#: What follows the words of a command makes it short; the last of two options counts. Who rests across a reload needs
#: all of its time to come back.
_PROXYRELOAD = """#!/bin/sh
case "$1 $*" in
    report*|explain*|badge*|plugins*|versions*|kinds*|config*|adopt*|cases*|schema*|publish*|vendors*|backend*|completion*|man*|*--version|*--help) exec {program} "$@" ;;
    case*) exec {program} "$@" {ports} ;;
    selftest*) exec {program} "$@" --exchanges 2000 {ports} ;;
    compare*) exec {program} "$@" --repeat 1 --rate 50 --rounds 1 --no-report {ports} ;;
    *--scenario*) exec {program} "$@" --no-report {ports} ;;
    *--pace*) exec {program} "$@" --repeat 3 --no-report {ports} ;;
    *--repeat*) exec {program} "$@" --repeat 3 --pace 0.2 --no-report {ports} ;;
    *reload-idle*|*reload-redispatch*) exec {program} "$@" --no-report {ports} ;;
    *) exec {program} "$@" --duration 4 --no-report {ports} ;;
esac
"""
#: Nothing is installed: what would be must be there. (That it can be is tested where packages are, in tests/dist.)
_PIP = """#!{python}
import re
import sys
from importlib.metadata import metadata
from pathlib import Path

command, *wanted = sys.argv[1:]
assert command == "install"
for requirement in (each for each in wanted if each != "--quiet"):
    folder, extras = re.fullmatch(r"([./\\w-]+)(?:\\[([\\w,]+)\\])?", requirement).groups()
    assert Path(folder, "pyproject.toml").is_file(), folder
    assert set(filter(None, (extras or "").split(","))) <= set(metadata("proxyreload").get_all("Provides-Extra"))
"""
#: make says what it would do.
_MAKE = """#!/bin/sh
exec {make} --dry-run -C {root} "$@" >/dev/null
"""


def write_shims(folder: Path, place: Place, root: Path) -> None:
    """Write them."""
    folder.mkdir()
    ports = " ".join(place.ports)
    texts = {
        "proxyreload": _PROXYRELOAD.format(program=" ".join(PROXYRELOAD), ports=ports),
        "pip": _PIP.format(python=sys.executable),
        "make": _MAKE.format(make=shutil.which("make"), root=root),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    for name in ("haproxy", "nginx"):
        (folder / name).symlink_to(binary(name))
    (folder / "python3").symlink_to(sys.executable)

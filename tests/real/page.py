"""Reads a page of the documentation: the commands it shows, what they print, and the files it has them work on.

- A ``console`` block has commands behind ``$ `` and below each what it prints; in a line ``…`` stands for anything, alone
  on a line for any lines. Figures may differ, nothing else.
- A ``sh`` block has a command on each line, unless a line with a file's name (`` `NAME`: ``) stands above it: then it is
  that file, as is any other block below such a line.
- A ``yaml`` block is a CI job: its ``run:`` lines, or the list below ``script:``, are commands.
- An HTML comment above a block says what is special: ``<!-- test: status 1 -->``, or the test that runs it; on a
  page's first line it is about all blocks.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

_BLOCK = re.compile(
    r"(?:^`(?P<name>[\w.-]+)`:\n\n)?(?:^<!-- test: (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile("<!-- test: (.*) -->\n")
_RUN = re.compile(r"^ *- run: (.*)$", re.MULTILINE)
_SCRIPT = re.compile(r"^  script:\n((?:    - .*\n)+)", re.MULTILINE)
#: Figures, and what is around them in a table.
_FIGURE = re.compile(r"\\?-?\d[\d,]*(?:\\\.\d+)?")


@attrs.frozen
class Command:
    """A command and what it is shown to print."""

    text: str
    output: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (0,)


@attrs.frozen
class Block:
    """A fenced block."""

    language: str
    text: str
    name: str  #: the file it is, or empty
    mark: str  #: of the comment above it

    @property
    def commands(self) -> list[Command]:
        """What is to be run of it."""
        return [] if self.run_by else self.shown

    @property
    def shown(self) -> list[Command]:
        """What is shown in it, whoever runs that."""
        if self.name:
            return []
        if self.language == "console":
            return list(self._console())
        if self.language == "sh":
            return [Command(line, (), self.statuses) for line in self.text.splitlines() if line.strip()]
        if self.language == "yaml":
            listed = "".join(_SCRIPT.findall(self.text))
            return [Command(text) for text in (*_RUN.findall(self.text), *re.findall("- (.*)\n", listed))]
        assert not re.search(r"^(\$|proxyreload|pip|make|twistd|curl) ", self.text, re.MULTILINE), (
            f"not run: {self.text}"
        )
        return []

    @property
    def statuses(self) -> tuple[int, ...]:
        """The exit statuses of its last command that are right."""
        found = re.fullmatch(r"status (\d)(?: or (\d))?", self.mark)
        return tuple(int(each) for each in found.groups() if each) if found else (0,)

    @property
    def run_by(self) -> str:
        """The other test that runs it, or empty."""
        return self.mark if self.mark.endswith(".py") else ""

    def _console(self) -> Iterator[Command]:
        shown = re.split(r"^\$ ", self.text.replace("\\\n", ""), flags=re.MULTILINE)
        assert not shown[0], "output without a command"
        for index, part in enumerate(shown[1:], 2):
            text, *output = part.splitlines()
            yield Command(text, tuple(output), self.statuses if index == len(shown) else (0,))


def blocks(path: Path) -> list[Block]:
    """Return a page's blocks."""
    text = path.read_text(encoding="utf-8")
    whole = _MARK.match(text)
    mark = whole[1] if whole is not None else ""
    found = [Block(m["language"], m["text"], m["name"] or "", m["mark"] or mark) for m in _BLOCK.finditer(text)]
    assert 2 * len(found) == len(re.findall("^ *```", text, re.MULTILINE)), f"{path}: a block that is not understood"
    assert mark or sum(bool(block.mark) for block in found) == text.count("<!-- test:"), (
        f"{path}: a comment above no block"
    )
    return found


def pattern(lines: tuple[str, ...]) -> re.Pattern[str]:
    """Return what output must match to be what is shown."""
    return re.compile("".join(map(_line, lines)), re.MULTILINE)


def _line(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    fixed = r"\s*".join(re.escape(part) for part in re.split(r" {2,}", line.strip()))
    return r"[ ]*" + _FIGURE.sub(r"-?[\\d,.]+", fixed).replace("…", ".*") + r"\s*\n"

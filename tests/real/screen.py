"""A terminal's screen, as far as the command's output needs one."""

import re

import attrs

_TOKEN = re.compile(r"\x1b\[(?P<arguments>[?\d;]*)(?P<command>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")


@attrs.define
class Screen:
    """Lines, the scrolled ones included, and a cursor; colours are left out."""

    raw: str = attrs.field(default="", init=False)
    _lines: list[str] = attrs.field(factory=lambda: [""], init=False)
    _row: int = attrs.field(default=0, init=False)
    _column: int = attrs.field(default=0, init=False)
    _pending: str = attrs.field(default="", init=False)

    @property
    def lines(self) -> list[str]:
        """The lines down to the last that has text."""
        lines = [line.rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def feed(self, data: str) -> None:
        """Take what the terminal is sent."""
        self.raw += data
        data = self._pending + data
        at = 0
        while at < len(data):
            token = _TOKEN.match(data, at)
            if token is None:  # the rest of a sequence is still to come
                break
            self._take(token)
            at = token.end()
        self._pending = data[at:]
        assert len(self._pending) < 32, f"unknown sequence {self._pending!r}"

    def _take(self, token: re.Match[str]) -> None:
        if token["text"]:
            line = self._lines[self._row].ljust(self._column)
            text = token["text"]
            self._lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
            self._column += len(text)
        elif token["control"] == "\r":
            self._column = 0
        elif token["control"] == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append("")
        elif token["command"] == "A":
            self._row -= int(token["arguments"] or 1)
            assert self._row >= 0
        elif token["command"] == "K":
            assert token["arguments"] == "2"
            self._lines[self._row] = ""
        else:
            assert token["command"] in "mhl", f"unknown sequence {token[0]!r}"

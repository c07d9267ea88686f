"""Draws what a command printed as a picture: ``proxyreload … | python terminal.py "proxyreload …" > picture.svg``.

The pictures in the README are made with it.
"""

import re
import sys

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

WIDTH = 124
COLOURS = (
    (r"\b(lossy|invalid|ineffective|reset|closed before|refused|failures?: [1-9]\d*)\b", "bold red"),
    (r"\b(seamless|graceful)\b", "bold green"),
    (r"change \d+: .*", "bold cyan"),
    (r"front and back changed|front changed(?!:)|back changed(?!:)", "yellow"),
)


def main() -> None:
    """Read the lines from standard input and write the picture to standard output."""
    console = Console(record=True, width=WIDTH, file=sys.stderr, force_terminal=True)
    console.print(Text(f"$ {sys.argv[1]}", style="bold"))
    for line in sys.stdin.read().splitlines():
        text = Text(line, overflow="ellipsis", no_wrap=True)
        for pattern, style in COLOURS:
            text.highlight_regex(pattern, style)
        console.print(text)
    # A picture that opens anywhere fetches no font.
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="proxyreload", code_format=without_fonts)
    sys.stdout.write("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()

"""A run as a badge: an SVG of one line that says what was changed, the verdict, under which traffic, and when."""

from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import attrs

from proxyreload.explanation.quantity import listed
from proxyreload.record.rundata import Record
from proxyreload.system.untrusted import printable
from proxyreload.verdict.judgement import Verdict

#: The sizes of its text and of what is around that, in pixels. How wide a letter is differs by font, and need not be
#: known: the text is made to fit (textLength).
_HEIGHT, _FONT, _LETTER, _PADDING, _BASELINE = 20, 11, 6.4, 6, 14
#: Letters of a part, and kinds of traffic that are named.
_LETTERS, _KINDS = 60, 4
_DARK, _GREY = "#333333", "#555555"
#: A mark that differs in shape, and colours that white text can be read on, and the colour-blind can tell apart.
_MARKS = {
    Verdict.SEAMLESS.value: ("\N{CHECK MARK}", "#00734d"),
    Verdict.GRACEFUL.value: ("\N{CHECK MARK}", "#00734d"),
    Verdict.RACY.value: ("\N{BLACK UP-POINTING TRIANGLE}", "#8a5a00"),
    Verdict.LOSSY.value: ("\N{MULTIPLICATION SIGN}", "#b04000"),
}
_UNPROVED = ("?", "#666666")
_DATE = len("2017-04-01")


@attrs.frozen
class Part:
    """A text on its own ground."""

    text: str
    ground: str

    @property
    def width(self) -> int:
        """In pixels."""
        return round(len(self.text) * _LETTER) + 2 * _PADDING


def badge(record: Record) -> str:
    """Return the SVG. Whatever the file says is text in it, bounded."""
    mark, ground = _MARKS.get(record.verdict, _UNPROVED)
    parts = [
        Part(printable(record.title, _LETTERS), _DARK),
        Part(f"{mark} {printable(record.verdict, _LETTERS)}", ground),
        Part(printable(_traffic(record) or "traffic not recorded", _LETTERS), _GREY),
        *([Part(printable(record.started[:_DATE], _LETTERS), _DARK)] if record.started else []),
    ]
    return _drawn(parts)


def _traffic(record: Record) -> str:
    """Return ``get=20, idle=40, and 5 more``: how many clients of which kind there were, without the probe."""
    clients: Counter[str] = Counter()
    for sent in record.traffic:
        if not sent.probe and sent.clients:
            clients[sent.kind] += sent.clients
    return listed((f"{kind}={number}" for kind, number in clients.items()), _KINDS)


def _drawn(parts: Sequence[Part]) -> str:
    said = ", ".join(part.text for part in parts)
    width = sum(part.width for part in parts)
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(width),
            "height": str(_HEIGHT),
            "role": "img",
            "aria-label": said,
            "font-family": "Verdana, DejaVu Sans, sans-serif",
            "font-size": str(_FONT),
        },
    )
    ET.SubElement(svg, "title").text = said
    left = 0
    for part in parts:
        ground = {"x": str(left), "width": str(part.width), "height": str(_HEIGHT), "fill": part.ground}
        ET.SubElement(svg, "rect", ground)
        place = {"x": str(left + _PADDING), "y": str(_BASELINE), "fill": "#ffffff"}
        fitted = {"textLength": str(part.width - 2 * _PADDING), "lengthAdjust": "spacingAndGlyphs"}
        ET.SubElement(svg, "text", place | fitted).text = part.text
        left += part.width
    return f"{ET.tostring(svg, encoding='unicode')}\n"

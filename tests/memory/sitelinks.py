"""What the pages of a site have in them: elements, and where its links lead."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs

#: What an attribute leads to, or fetches.
_LEADING = {"href", "src", "action", "data", "poster"}


@attrs.define(eq=False)
class Page(HTMLParser):
    """One page."""

    elements: list[tuple[str, dict[str, str]]] = attrs.field(factory=list)
    text: dict[str, str] = attrs.field(factory=dict)  #: by element, of scripts and styles

    @classmethod
    def of(cls, text: str) -> "Page":
        page = cls()
        page.feed(text)
        page.close()
        return page

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.text[self.cdata_elem] = self.text.get(self.cdata_elem, "") + data

    @property
    def anchors(self) -> set[str]:
        return {values["id"] for _tag, values in self.elements if "id" in values}

    @property
    def links(self) -> Iterator[str]:
        for _tag, values in self.elements:
            yield from (values[name] for name in _LEADING & set(values))

    @property
    def handlers(self) -> list[str]:
        return [name for _tag, values in self.elements for name in values if name.startswith("on") or name == "style"]


def pages_of(site: Path) -> dict[Path, Page]:
    """Return our pages, not the reports that are kept beside them."""
    return {
        path: Page.of(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        if path.name != "report.html"
    }


def dead_links(site: Path) -> list[str]:
    """Return the links of a site that lead to no file of it, to no place on a page, or neither there nor to the web."""
    pages = pages_of(site)
    dead = []
    for path, page in pages.items():
        for link in page.links:
            split = urlsplit(link)
            if split.scheme in {"https", "http"} or link == "data:,":
                continue
            target = (path.parent / unquote(split.path)).resolve() if split.path else path
            inside = not split.scheme and not split.netloc and target.is_relative_to(site.resolve())
            there = inside and target.is_file()
            anchored = not split.fragment or target not in pages or split.fragment in pages[target].anchors
            if not there or not anchored:
                dead.append(f"{path.relative_to(site)}: {link}")
    return dead


def tree(site: Path) -> dict[str, bytes]:
    """Return every file, by its path."""
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}

"""Every link between the pages leads to a file that there is, and to a heading of its own."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
#: The program names pages to its users, plugins and templates to whoever reads them.
SOURCES = sorted(
    path
    for folder in ("proxyreload", "plugins", "templates")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".toml", ".yml", ".html", ".js"}
)
NAMED = re.compile(r"\b(docs/[\w-]+\.md)(#[\w-]+)?")
#: As a Git host reads a page, and gives its headings anchors.
HOST = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6)


def tokens(page: Path) -> Iterator[Token]:
    for token in HOST.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> Iterator[str]:
    for token in tokens(page):
        found = {"link_open": "href", "image": "src"}.get(token.type)
        if found:
            yield str(token.attrs[found])


def anchors(page: Path) -> set[str]:
    return {str(token.attrs["id"]) for token in tokens(page) if token.type == "heading_open"}


def leads_nowhere(page: Path, link: str, root: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return parts.scheme != "https" or not parts.netloc
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not path.is_file() or not path.is_relative_to(root):
        return True
    return bool(parts.fragment) and (path.suffix != ".md" or unquote(parts.fragment) not in anchors(path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if leads_nowhere(page, link, ROOT)] == []


def test_every_page_is_linked_from_the_front_page() -> None:
    front = ROOT / "docs" / "README.md"
    linked = {(front.parent / urlsplit(link).path).resolve() for link in links(front) if not urlsplit(link).scheme}
    assert {page for page in PAGES if page.parent == front.parent} - {front} <= linked


def test_every_page_that_the_program_names_is_there() -> None:
    named = {
        (path.name, found[0])
        for path in SOURCES
        for found in NAMED.finditer(path.read_text(encoding="utf-8"))
        if leads_nowhere(ROOT / "README.md", found[0], ROOT)
    }
    assert named == set()


@pytest.mark.parametrize(
    ("link", "nowhere"),
    [
        ("other.md", False),
        ("../top.md#a-heading", False),
        ("#runjson", False),
        ("#twice", False),
        ("#twice-1", False),
        ("picture.svg", False),
        ("https://example.test/#anything", False),
        ("#twice-2", True),
        ("#run.json", True),
        ("missing.md", True),
        ("other.md#runjson", True),
        ("picture.svg#part", True),
        ("../docs", True),
        ("../../outside.md", True),
        ("http://example.test/", True),
        ("https:other.md", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str, *, nowhere: bool) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    page = root / "docs" / "page.md"
    page.write_text(f"## `run.json`\n\n## Twice\n\n## Twice\n\n```sh\n## None\n```\n\n[x]({link}) ![y](picture.svg)\n")
    for path in (page.with_name("other.md"), page.with_name("picture.svg"), tmp_path / "outside.md"):
        path.touch()
    (root / "top.md").write_text("# A heading\n")
    assert [*links(page)] == [link, "picture.svg"]
    assert leads_nowhere(page, link, root) is nowhere

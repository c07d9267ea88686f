"""The documentation as a site, as a browser has it from a folder: no server, no network."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import attrs
import pytest
from selenium.webdriver.common.keys import Keys

from .browser import BROWSER, Browser, browser

pytestmark = [pytest.mark.real, BROWSER]

CHECKOUT = Path(__file__).parents[2]

LINKS = "return [...document.querySelectorAll('a[href]')].map((each) => each.href)"
PARTS = """
const each = (selector, name) => [...document.querySelectorAll(selector)].map((one) => one[name]);
return [...each("[src]", "src"), ...each("link[href]", "href")];
"""
ANCHORS = "return [...document.querySelectorAll('[id]')].map((each) => each.id)"
SIDEWAYS = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOWN = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
return box.width > 0 && box.right > 0 && box.left < window.innerWidth;
"""
IN_NAVIGATION = "return document.activeElement.closest('.sidebar-tree a') !== null"
NAVIGATION, CONTENTS, ARTICLE = ".sidebar-drawer", ".toc-drawer", "article"


@pytest.fixture(scope="module")
def site() -> Path:
    """What make docs has made."""
    site = CHECKOUT / "dist" / "docs"
    if not site.exists():
        pytest.fail(f"{site} is missing: make docs makes it", pytrace=False)
    return site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Browser, site: Path) -> Iterator[Browser]:
    """Return a browser at the front page, to which the folder leads; what it shows is a desktop's again afterwards."""
    chromium.driver.get((site / "index.html").as_uri())
    chromium.until("document.querySelector('article')")
    yield chromium
    chromium.emulate("Emulation.clearDeviceMetricsOverride")
    chromium.emulate("Emulation.setEmulatedMedia", media="")


def wide(chromium: Browser, width: int) -> None:
    chromium.emulate(
        "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
    )


@attrs.frozen
class Seen:
    """A page as a phone has it."""

    links: list[str]
    parts: list[str]  #: scripts, pictures, styles
    anchors: list[str]
    sideways: int  #: how many pixels it can be scrolled
    complaints: list[str]


@pytest.fixture(scope="module")
def seen(chromium: Browser, site: Path) -> dict[str, Seen]:
    """Return what was seen of each page by its address; not of the one that leads to the first."""
    wide(chromium, 360)
    seen = {}
    for path in sorted(site.rglob("*.html")):
        if path != site / "index.html":
            chromium.driver.get(path.as_uri())
            links, parts, anchors, sideways = map(chromium.ask, (LINKS, PARTS, ANCHORS, SIDEWAYS))
            seen[path.as_uri()] = Seen(links, parts, anchors, sideways, chromium.complaints())
    chromium.emulate("Emulation.clearDeviceMetricsOverride")
    pages = {(site / "docs" / path.with_suffix(".html").name).as_uri() for path in (CHECKOUT / "docs").glob("*.md")}
    assert pages <= set(seen)
    return seen


def test_every_link_and_anchor_leads_somewhere(site: Path, seen: dict[str, Seen]) -> None:
    own = {link for page in seen.values() for link in page.links if not link.startswith("https://")}
    assert len(own) > 100
    nowhere = set()
    for link in own:
        address, anchor = urldefrag(link)
        there = address.startswith(f"{site.as_uri()}/") and Path(unquote(urlsplit(address).path)).is_file()
        if not there or (anchor and anchor not in seen[address].anchors):
            nowhere.add(link)
    assert nowhere == set()


def test_whatever_a_page_needs_is_in_the_folder(site: Path, seen: dict[str, Seen]) -> None:
    for page in seen.values():
        assert [part for part in page.parts if not part.startswith((f"{site.as_uri()}/", "data:"))] == []
        assert page.complaints == []


def test_no_page_scrolls_sideways_on_a_phone(seen: dict[str, Seen]) -> None:
    assert {address: page.sideways for address, page in seen.items() if page.sideways} == {}


def test_a_search_finds_a_page_without_a_server(page: Browser) -> None:
    page.ask("document.querySelector('.sidebar-search').focus()")
    field = page.driver.switch_to.active_element
    field.send_keys("keepalive_min_timeout", Keys.ENTER)
    page.until("/^Search finished/.test(document.querySelector('#search-results .search-summary').innerText)")
    found = page.ask("return [...document.querySelectorAll('#search-results li a')].map((each) => each.innerText)")
    assert "Every mechanism, side by side" in found
    assert page.complaints() == []


@pytest.mark.parametrize("width", [1400, 360])
def test_the_keyboard_reaches_the_navigation_which_is_in_sight_then(page: Browser, width: int) -> None:
    wide(page, width)
    assert page.ask(SHOWN, NAVIGATION) is (width > 1000)
    for _press in range(20):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        if page.ask(IN_NAVIGATION):
            break
    assert page.ask(IN_NAVIGATION)
    page.until("document.querySelector('.sidebar-drawer').getBoundingClientRect().left >= 0")
    target = page.ask("return document.activeElement.href")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until("document.readyState === 'complete' && document.querySelector('article')")
    assert page.driver.current_url == target


def test_paper_has_the_page_alone_and_nothing_to_be_scrolled(page: Browser, site: Path) -> None:
    page.driver.get((site / "docs" / "comparison.html").as_uri())
    wide(page, 1400)
    assert [page.ask(SHOWN, part) for part in (ARTICLE, NAVIGATION, CONTENTS)] == [True, True, True]
    page.emulate("Emulation.setEmulatedMedia", media="print")
    assert [page.ask(SHOWN, part) for part in (ARTICLE, NAVIGATION, CONTENTS)] == [True, False, False]
    wide(page, 720)  # A4's, but for its margins
    cut = "[...document.querySelectorAll('pre, .table-wrapper')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
    assert page.ask(f"return {cut}.length") == 0
    assert page.ask(SIDEWAYS) == 0

"""A site of comparisons, in a real browser, from its folder."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.memory.editions import LOSING, comparison, row, write_comparison
from tests.memory.sitelinks import dead_links

from .browser import BROWSER, Browser, browser
from .command import PROXYRELOAD

pytestmark = [pytest.mark.real, BROWSER]

#: Text that has too little contrast with what it stands on (WCAG 2, 1.4.3: large text has 3, other 4.5).
FAINT = """
const value = (colour) => colour.match(/[0-9.]+/g).map(Number);
const part = (each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4);
const light = ([red, green, blue]) => 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const [red, green, blue, alpha = 1] = value(getComputedStyle(each).backgroundColor);
    if (alpha === 1) return [red, green, blue];
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const said = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!said || !element.checkVisibility() || element.closest("svg")) continue;
  const one = light(value(getComputedStyle(element).color)), other = light(ground(element));
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) faint.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return faint;
"""
ANSWER = "li.answer:target"
FRONT, MECHANISM = "index.html", "mechanism/haproxy-reload.html"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish by the command, in two goes; what was published from is gone by then."""
    folder = tmp_path_factory.mktemp("site")
    earlier = [row("haproxy:reload", "", LOSING, verdict="lossy", says="HAProxy version 2.4.30")]
    write_comparison(folder / "before", comparison(earlier, "2026-10-01T08:00:00+00:00", conditions=[]))
    write_comparison(folder / "today", comparison())
    for name in ("before", "today"):
        words = [*PROXYRELOAD, "publish", "site", f"{name}/compare.json"]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder / name)
    return folder / "site"


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as started:
        yield started


def open_at(shown: Browser, site: Path, address: str) -> None:
    shown.complaints()
    shown.driver.get(f"{site.as_uri()}/{address}")


def cell(site: Path) -> str:
    """Return the address of a cell that lost WebSockets."""
    [page] = site.glob("cell/haproxy-reload/2.8.25-*/*/far-killed/index.html")
    return page.relative_to(site).as_posix()


def press(shown: Browser, *keys: str) -> None:
    for key in keys:
        ActionChains(shown.driver).send_keys(key).perform()


def found(shown: Browser) -> list[str]:
    """Return the mechanisms that the answers to a question are about."""
    shown.until("document.querySelector('#results .answer')")
    lines = shown.ask("return [...document.querySelectorAll('#results .headline a')].map((link) => link.textContent)")
    return [line.split()[0] for line in lines]


def at(shown: Browser) -> str:
    """Return where on which page of the site it is."""
    return str(shown.ask("return location.pathname.split('/').slice(-2).join('/') + location.hash"))


def test_whether_a_reload_loses_websockets_and_what_helps_is_found_by_keyboard_alone(
    site: Path, shown: Browser
) -> None:
    open_at(shown, site, FRONT)
    press(shown, "/", "haproxy websocket")
    assert found(shown) == ["haproxy:reload", "haproxy:reload-redispatch", "haproxy:runtime"]
    press(shown, Keys.CONTROL + "a", "does reloading HAProxy lose WebSockets?")
    assert found(shown) == ["haproxy:reload"]
    first = shown.text("#results .answer")
    assert "haproxy:reload loses WebSockets: 6 of 80" in first
    assert "What helps: option redispatch 1, as in haproxy:reload-redispatch" in first
    press(shown, Keys.ENTER, Keys.ENTER)
    shown.until("location.hash === '#websocket'")
    assert at(shown) == f"{MECHANISM}#websocket"
    answer = shown.text(ANSWER)
    assert "haproxy:reload loses WebSockets: 6 of 80" in answer
    assert "keep-alive race (6)" in answer
    assert "Spared with: haproxy:reload-redispatch, haproxy:runtime: none lost" in answer
    # From the answer on, the next stop is what it was told from.
    press(shown, Keys.TAB, Keys.ENTER)
    shown.until("location.pathname.includes('/cell/')")
    assert shown.ask("return location.pathname.endsWith('/near-leaving/index.html')")
    assert "3 of 40" in shown.text(ANSWER)
    assert shown.complaints() == []


def test_the_matrix_leads_there_too_and_is_sifted(site: Path, shown: Browser) -> None:
    open_at(shown, site, FRONT)
    names = "[...document.querySelectorAll('#matrix tbody tr')].filter((row) => row.checkVisibility())"
    names = f"return {names}.map((row) => row.dataset.mechanism)"
    assert len(shown.ask(names)) == 5
    choose = (
        "for (const [name, value] of Object.entries(arguments[0])) {"
        "  const select = document.querySelector(`[data-filter=${name}]`); select.value = value;"
        "  select.dispatchEvent(new Event('change', {bubbles: true}));"
        "}"
    )
    shown.ask(choose, {"proxy": "haproxy", "kind": "websocket", "verdict": "lossy", "condition": "far, killed"})
    assert shown.ask(names) == ["haproxy:reload"]
    assert shown.text("#shown") == "1 of 5 mechanisms"
    marks = "return [...document.querySelectorAll('#matrix .part')].filter((part) => part.checkVisibility())"
    [mark] = shown.ask(marks)
    assert (mark.text, mark.get_attribute("title")) == ("3", "lossy: 3 of 40 lost, far, killed")
    mark.click()
    shown.until("location.hash === '#websocket'")
    assert shown.ask("return location.pathname").endswith(cell(site))
    assert "3 of 40" in shown.text(ANSWER)


def test_all_of_it_is_there_without_its_script(site: Path, shown: Browser) -> None:
    shown.emulate("Emulation.setScriptExecutionDisabled", value=True)
    try:
        open_at(shown, site, FRONT)
        assert "haproxy:reload loses WebSockets: 6 of 80" in shown.driver.page_source
        visible = {name: shown.driver.find_element("id", name).is_displayed() for name in ("ask", "filters", "matrix")}
    finally:
        shown.emulate("Emulation.setScriptExecutionDisabled", value=False)
    assert visible == {"ask": False, "filters": False, "matrix": True}


def test_every_link_of_it_leads_somewhere(site: Path) -> None:
    assert dead_links(site) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark_on_a_phone(site: Path, shown: Browser, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    shown.emulate("Emulation.setEmulatedMedia", features=features)
    shown.emulate("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    try:
        for address in (f"{FRONT}?q=haproxy", MECHANISM, cell(site), "causes.html"):
            open_at(shown, site, address)
            assert shown.ask("return document.documentElement.scrollWidth") <= 360, address
            assert shown.ask(FAINT) == []
            assert shown.complaints() == []
        ground = shown.ask("return getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    finally:
        shown.emulate("Emulation.clearDeviceMetricsOverride")
        shown.emulate("Emulation.setEmulatedMedia", features=[])


def test_it_is_printed_without_what_is_for_a_screen(site: Path, shown: Browser) -> None:
    shown.emulate("Emulation.setEmulatedMedia", media="print")
    try:
        open_at(shown, site, FRONT)
        seen = (
            "return [...document.querySelectorAll('nav, #ask, #filters, #matrix')].map((one) => one.checkVisibility())"
        )
        assert shown.ask(seen) == [False, False, False, True]
        assert len(shown.emulate("Page.printToPDF")["data"]) > 10_000
    finally:
        shown.emulate("Emulation.setEmulatedMedia", media="")


def test_nothing_is_fetched(site: Path, shown: Browser) -> None:
    for address in (FRONT, MECHANISM, cell(site)):
        open_at(shown, site, address)
        assert shown.ask("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def test_a_report_beside_it_is_shown_as_it_was(site: Path, shown: Browser) -> None:
    report = next(site.glob("cell/haproxy-reload/2.8.25-*/*/far-killed/round-1/report.html"))
    shown.driver.get(report.as_uri())
    assert shown.text("p") == "the report"

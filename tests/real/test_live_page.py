"""The live page, in a real browser, with a real proxy behind its buttons."""

import csv
import json
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest

from .browser import BROWSER, Browser, browser
from .command import EXIT_STATUS, PROXYRELOAD, TWISTD, Place, Result, Session, free_ports

pytestmark = [pytest.mark.real, BROWSER]

COUNTS = ("exchanges", "success", "failure", "front_changed", "back_changed")


@attrs.define(eq=False)
class Page:
    """The page in a browser, and the command that serves it."""

    place: Place
    session: Session
    browser: Browser
    url: str

    def until(self, condition: str) -> None:
        """Wait until a condition holds, in the page's own words."""
        self.browser.until(condition)

    def click(self, selector: str) -> None:
        """Click on something once it can be clicked on."""
        self.until(f"!document.querySelector({json.dumps(selector)}).disabled")
        self.browser.driver.find_element("css selector", selector).click()

    def figures(self) -> dict[str, int]:
        """Return the counts that are shown."""
        return {name: int(self.browser.text(f"[data-figure={name}]").replace(",", "")) for name in COUNTS}

    def shown(self, backend: int) -> float:
        """Return the rate of a backend's answers at the right end of the picture."""
        rate: float = self.browser.ask(f"return models.slices.data.rate{backend}.at(-1)")
        return rate

    def back_connections(self) -> list[tuple[str, int]]:
        """Return the backend and the port of each connection that is drawn."""
        shown = self.browser.ask("return [models.back_blocks.data.instance, models.back_blocks.data.port]")
        return sorted(zip(*shown, strict=True))

    def ended(self, number: int = signal.SIGTERM) -> Result:
        """End it by a signal."""
        self.session.signal(number)
        result = self.session.ended()
        assert self.place.left() == []
        return result

    def runs(self) -> list[dict[str, Any]]:
        """Return the run files below the folder of runs, the oldest first."""
        found = sorted((self.place.folder / "runs").glob("*/run.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in found]

    def rows(self) -> list[dict[str, str]]:
        """Return the exchanges of the one run."""
        [path] = (self.place.folder / "runs").glob("*/data.csv")
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module", name="chromium")
def _chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def serve(
    place: Place, chromium: Browser, *words: str, command: Sequence[str] = PROXYRELOAD, report: bool = False
) -> Page:
    port = free_ports(1)
    served = ("--web", f"tcp:{port}", "--plugin", "haproxy", "--log", "changes")
    session = place.start(*served, *words, *place.ports, command=command, report=report)
    found = re.search(r"http://\S+", session.until("the page is http://127.0.0.1:"))
    assert found is not None
    chromium.driver.get("about:blank")  # the page before goes on asking for its events, in vain
    chromium.complaints()
    chromium.driver.get(found[0])
    page = Page(place, session, chromium, found[0])
    page.until("models && seen.slices.length > 3")
    # A test may take longer than the minute that is shown at first.
    page.browser.ask("document.querySelector('#window').value = '600'")
    return page


def assert_fits_a_phone(page: Page) -> None:
    """Check that nothing but tables has to be scrolled sideways, in either light."""
    for light in ("dark", "light"):
        page.browser.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": light}])
        page.browser.emulate(
            "Emulation.setDeviceMetricsOverride", width=375, height=800, deviceScaleFactor=1, mobile=True
        )
        page.until("innerWidth === 375")
        assert page.browser.ask("return document.documentElement.scrollWidth") <= 375
    page.browser.emulate("Emulation.clearDeviceMetricsOverride")
    page.browser.emulate("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": ""}])


def assert_drawn_as_written(page: Page, run: dict[str, Any]) -> None:
    """Check that the pictures of the latency and of the backends' connections show what the files say."""
    summary = run["summary"]
    answered = [row for row in page.rows() if row["instance"] and int(row["client"]) < run["options"]["clients"]]
    written = sorted({(row["instance"], int(row["back port"])) for row in answered})
    assert page.back_connections() == written
    assert int(page.browser.text("[data-figure=back_connections]").replace(",", "")) == len(written)
    assert len(page.browser.ask("return models.back_changed.data.x")) == summary["back_changed"]
    curves = {each["name"]: each for each in page.browser.ask("return seen.curves")}
    latency = {**summary["latency"], "baseline": summary["baseline"]["latency"]}
    assert curves.keys() == {name for name, told in latency.items() if told["count"]}
    for name, curve in curves.items():
        told, shown = latency[name], dict(map(tuple, curve["percentiles"]))
        assert (curve["count"], curve["max_us"], shown[50]) == (told["count"], told["max_us"], told["p50_us"])
        assert shown.get(99, told["p99_us"]) == told["p99_us"]
    shown_ms = page.browser.ask("return models.curves.data.ys.map((ys) => ys.at(-1))")
    assert shown_ms == pytest.approx([each["max_us"] / 1000 for each in curves.values()])
    assert [key.strip() for key in page.browser.text("[data-keys=tail]").splitlines()] == list(curves)


def test_a_click_removes_a_backend_and_the_picture_shows_it(place: Place, chromium: Browser) -> None:
    page = serve(place, chromium, "--rate", "500", report=True)
    page.until("models.slices.data.rate0.at(-1) > 100 && models.slices.data.rate1.at(-1) > 100")
    page.click("[data-backend='0'][data-action=remove]")
    page.until("document.querySelector('#said').textContent === 'change 1, remove backend 0: applied'")
    page.until("models.slices.data.rate0.at(-1) === 0 && models.slices.data.rate1.at(-1) > 200")
    assert page.browser.ask("return models.changes.data.text") == ["1: remove backend 0"]
    page.until("document.querySelector('#changes .seamless')")
    page.click("#stop")
    page.until("seen.state.state === 'idle'")
    page.until("document.querySelector('#runs a').href.endsWith('report.html')")
    [run] = page.runs()
    summary = run["summary"]
    assert page.figures() == {name: summary[name] for name in COUNTS}
    assert page.browser.text("#verdict") == summary["verdict"] == "seamless"
    page.until("models.back_blocks.data.port.length === seen.back.size && seen.curves.length > 2")
    assert_drawn_as_written(page, run)
    assert [(change["action"], change["instance"]) for change in run["changes"]] == [("remove", "0")]
    assert [row[0].split(":")[0] for row in page.browser.table("#changes")] == ["1"]
    [past] = page.browser.table("#runs")
    assert past[2:5] == ["seamless", f"{summary['exchanges']:,}", "0"]
    assert page.browser.complaints() == []
    # Its report, in an origin of its own, draws all the same.
    page.browser.driver.get(str(page.browser.ask("return document.querySelector('#runs a').href")))
    page.until("document.querySelector('.run').dataset.drawn === 'yes'")
    assert int(page.browser.text("[data-figure=exchanges]").replace(",", "")) == summary["exchanges"]
    assert page.browser.complaints() == []
    assert page.ended().status == EXIT_STATUS["seamless"]


def test_the_kinds_of_traffic_are_shown_apart(place: Place, chromium: Browser) -> None:
    page = serve(place, chromium, "--traffic", "get=4,idle=12,post=2")
    page.until("document.querySelectorAll('#kinds tbody tr').length === 4")
    page.until("new Set(models.segments.data.client).size > 12")
    drawn = page.browser.ask("return [...models.segments.data.top].map(Math.round)")
    assert set(drawn) <= set(range(4 + 10 + 2)), "ten of the twelve that rest"
    assert page.browser.text("#about").count("get=4, idle=12, post=2") == 1
    assert_fits_a_phone(page)
    page.click("#stop")
    page.until("seen.state.state === 'idle'")
    [run] = page.runs()
    told = {line[0]: line[2] for line in page.browser.table("#kinds")}
    assert told == {kind: f"{each['exchanges']:,}" for kind, each in run["summary"]["kinds"].items()}
    assert page.browser.complaints() == []
    page.ended(signal.SIGINT)


def test_the_load_is_set_stopped_and_started_again(place: Place, chromium: Browser) -> None:
    page = serve(place, chromium, "--rate", "20")
    page.browser.ask("document.querySelector('#rate').value = 80")
    page.click("#rate-form button")
    page.until("seen.state.rate === 80 && models.slices.data.total.at(-1) > 70")
    page.click("#closed-loop")
    page.until("seen.state.rate === null && seen.slices.at(-1).counts[0] > 200")
    page.click("#stop")
    page.until("seen.state.state === 'idle'")
    page.click("#start")
    page.until("seen.state.state === 'running' && seen.slices.length > 3")
    assert page.browser.complaints() == []
    page.ended(signal.SIGINT)
    first, second = page.runs()
    assert [each["rate"] for each in first["summary"]["rates"]] == [80, None]
    assert (first["options"]["rate"], second["options"]["rate"]) == (20, None)
    assert [each["summary"]["exit_status"] for each in (first, second)] == [0, 0]


def test_as_a_service_a_scenario_is_played_and_a_button_works_besides(place: Place, chromium: Browser) -> None:
    path = place.write("add.toml", "duration = 3600\n[[step]]\nat = 1\nadd = 2\n")
    # Its reload loses nothing; others race with the clients for idle connections.
    words = ("--plugin", "haproxy:reload-idle", "--scenario", path, "--rate", "500")
    page = serve(place, chromium, *words, command=TWISTD)
    page.until("seen.state.changes.length === 1 && seen.state.changes[0].applied_us")
    page.click("#reload")
    page.until("document.querySelector('#said').textContent === 'change 2, reload: applied'")
    page.until("seen.state.changes[1].effective_us")
    assert_fits_a_phone(page)
    assert page.browser.complaints() == []
    page.ended()
    [run] = page.runs()
    assert [change["action"] for change in run["changes"]] == ["add", "reload"]
    assert run["summary"]["failure"] == 0

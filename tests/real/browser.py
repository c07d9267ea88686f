"""A real browser, headless: Debian's Chromium and its driver."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from .command import TIMEOUT_S

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

#: Left out where there is no browser; Debian's packages are chromium and chromium-driver.
BROWSER = pytest.mark.skipif(
    _CHROMIUM is None or _DRIVER is None,
    reason="chromium or chromedriver is not installed (apt-get install chromium-driver)",
)
_DRAWN = """
const done = arguments[arguments.length - 1];
const runs = [...document.querySelectorAll(".run")].filter((run) => run.tagName !== "DETAILS" || run.open);
let left = runs.length;
const one = () => { if (--left === 0) done(performance.now()); };
for (const run of runs) run.dataset.drawn === "yes" ? one() : run.addEventListener("drawn", one, {once: true});
"""
_UNTIL = """
const done = arguments[arguments.length - 1];
const holds = () => {{ try {{ return {condition}; }} catch (error) {{ return false; }} }};
const look = () => {{ if (holds()) done(true); else requestAnimationFrame(look); }};
look();
"""


@attrs.define(eq=False)
class Browser:
    """A browser with one page."""

    driver: webdriver.Chrome

    def open(self, page: Path) -> float:
        """Open a page and wait until its figures are drawn; returns how many seconds that took."""
        self.driver.get(page.absolute().as_uri())
        return self.drawn()

    def drawn(self) -> float:
        """Wait until the page's figures are drawn; returns how many seconds after the page was asked for."""
        taken_ms: float = self.driver.execute_async_script(_DRAWN)
        return taken_ms / 1000

    def until(self, condition: str) -> None:
        """Wait until a condition holds, in the page's own words."""
        assert self.driver.execute_async_script(_UNTIL.format(condition=condition))

    def ask(self, script: str, *arguments: object) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """Return the text of the first element that `selector` finds."""
        return str(self.ask("return document.querySelector(arguments[0]).innerText", selector))

    def table(self, selector: str) -> list[list[str]]:
        """Return the cells of a table's body."""
        rows = "[...document.querySelector(arguments[0]).tBodies[0].rows]"
        table: list[list[str]] = self.ask(f"return {rows}.map((r) => [...r.cells].map((c) => c.innerText))", selector)
        return table

    def emulate(self, command: str, **parameters: object) -> Mapping[str, Any]:
        """Tell the browser about its surroundings."""
        answer: Mapping[str, Any] = self.driver.execute_cdp_cmd(command, parameters)
        return answer

    def complaints(self) -> list[str]:
        """Return what the console was told that is worse than information, since the last time."""
        entries = self.driver.get_log("browser")
        return [json.dumps(entry) for entry in entries if entry["level"] not in {"INFO", "DEBUG"}]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser; nothing but files can be reached from it."""
    options = Options()
    options.binary_location = _CHROMIUM or ""
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # its sandbox does not work for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=_DRIVER))
    try:
        driver.set_script_timeout(TIMEOUT_S)
        yield Browser(driver)
    finally:
        driver.quit()

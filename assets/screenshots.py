"""Takes the pictures of the live page, of a report and of a job's summary: ``python assets/screenshots.py assets``.

Words behind the folder say which: ``live``, ``report``, ``summary``; without any it takes these. ``site`` and
``answer`` are of a site in the folder ``site`` here, which ``make matrix`` makes in an hour.

It needs Debian's chromium, chromium-driver and nginx, and the extras ``haproxy``, ``web`` and ``test``.
``haproxy:hard`` and ``nginx:reload`` lose requests, for there to be something to see.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.real.browser import Browser, browser

_PORTS = ("--first-port", "28191", "--front-port", "28199", "--log", "none")
_LIVE = ("--plugin", "haproxy:hard", "--rate", "2000", "--web", "28190", *_PORTS)
_REPORT = ("--plugin", "nginx:reload", "--clients", "20", "--duration", "6", "--rate", "4000", *_PORTS)
#: Its ports are the default ones: the command to run it again is in the picture.
_SUMMARY = ("--plugin", "haproxy:hard", "--repeat", "1", "--traffic", "get=10,idle=20,post=5,slow=2,websocket=5")
#: At each time, in seconds since the clients started, a click.
_CLICKS = ((6, "[data-backend='2']"), (11, "[data-backend='0']"), (16, "#reload"), (21, "#upgrade"))
_END_S = 27
_LIVE_SIZE = (1100, 2620)
_REPORT_SIZE = (1280, 1960)
_SUMMARY_WIDTH = 1012
_SITE, _QUESTION = Path("site") / "index.html", "haproxy+websocket"
_SITE_SIZE, _ANSWER_SIZE = (1500, 1500), (1000, 1150)
_STYLE = Path(__file__).with_name("summary.css")


def main(folder: Path, names: Sequence[str] = ()) -> None:
    """Take those that are named, or all."""
    takes = {each.__name__: each for each in (live, report, summary, site, answer)}
    with browser() as chromium:
        for name in names or ("live", "report", "summary"):
            takes[name](chromium, folder / f"{name}.png")


def live(chromium: Browser, picture: Path) -> None:
    """Run with the page, click, and take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "proxyreload", *_LIVE]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as run:
            try:
                first_line = next(iter(run.stdout or ()))
                _resize(chromium, *_LIVE_SIZE)
                _click(chromium, re.findall(r"http://\S+", first_line)[0])
                _save(chromium, picture)
            finally:
                run.terminate()


def report(chromium: Browser, picture: Path) -> None:
    """Run with a report, and take its picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "proxyreload", *_REPORT]
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
        _resize(chromium, *_REPORT_SIZE)
        chromium.open(Path(folder) / "report.html")
        _save(chromium, picture)


def summary(chromium: Browser, picture: Path) -> None:
    """Run as a job does, and take the picture of its summary, shown as a page for it would."""
    with tempfile.TemporaryDirectory() as folder:
        markdown, page = Path(folder) / "summary.md", Path(folder) / "summary.html"
        command = [sys.executable, "-m", "proxyreload", *_SUMMARY, "--log", "none", "--summary", str(markdown)]
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
        body = MarkdownIt("commonmark").enable("table").render(markdown.read_text(encoding="utf-8"))
        style = _STYLE.read_text(encoding="utf-8")
        page.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}", encoding="utf-8")
        _resize(chromium, _SUMMARY_WIDTH, 1)
        chromium.driver.get(page.as_uri())
        _resize(chromium, _SUMMARY_WIDTH, int(chromium.ask("return document.documentElement.scrollHeight")))
        _save(chromium, picture)


def site(chromium: Browser, picture: Path) -> None:
    """Take the picture of the front page."""
    _resize(chromium, *_SITE_SIZE)
    chromium.driver.get(_SITE.absolute().as_uri())
    _save(chromium, picture)


def answer(chromium: Browser, picture: Path) -> None:
    """Take the picture of what it answers."""
    _resize(chromium, *_ANSWER_SIZE)
    chromium.driver.get(f"{_SITE.absolute().as_uri()}?q={_QUESTION}")
    _save(chromium, picture)


def _resize(chromium: Browser, width: int, height: int) -> None:
    chromium.emulate(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )


def _save(chromium: Browser, picture: Path) -> None:
    """Save what is seen, in 256 colours: of more the README would only be slower to load."""
    seen = Image.open(BytesIO(chromium.driver.get_screenshot_as_png())).convert("RGB")
    seen.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


def _click(chromium: Browser, url: str) -> None:
    chromium.driver.get(url)
    chromium.ask("document.querySelector('#window').value = '30'")
    for at_s, selector in _CLICKS:
        chromium.until(f"models && seen.slices.at(-1).at_s > {at_s}")
        chromium.ask("document.querySelector(arguments[0]).click()", selector)
    chromium.until(f"seen.slices.at(-1).at_s > {_END_S}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2:])

"""Takes the live page's picture for the README: ``python assets/screenshots.py live.png``.

It needs Debian's chromium and chromium-driver, and the extras ``haproxy``, ``web`` and ``test``. ``haproxy:hard``
loses requests, for there to be something to see.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.real.browser import Browser, browser

_WORDS = ("--plugin", "haproxy:hard", "--rate", "2000", "--log", "none")
_PORTS = ("--web", "28190", "--first-port", "28191", "--front-port", "28199")
_UNTIL = (
    "const done = arguments[arguments.length - 1];"
    "const holds = () => {{ try {{ return {0}; }} catch (error) {{ return false; }} }};"
    "const look = () => {{ if (holds()) done(true); else requestAnimationFrame(look); }}; look();"
)
#: At each time, in seconds since the clients started, a click.
_CLICKS = ((6, "[data-backend='2']"), (11, "[data-backend='0']"), (16, "#reload"), (21, "#upgrade"))
_END_S = 27
_WIDTH, _HEIGHT = 1100, 1730


def main(path: str) -> None:
    """Run, click, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "proxyreload", *_WORDS, *_PORTS]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as run:
            try:
                first_line = next(iter(run.stdout or ()))
                with browser() as chromium:
                    _take(chromium, re.findall(r"http://\S+", first_line)[0], path)
            finally:
                run.terminate()


def _take(chromium: Browser, url: str, path: str) -> None:
    chromium.emulate(
        "Emulation.setDeviceMetricsOverride", width=_WIDTH, height=_HEIGHT, deviceScaleFactor=1, mobile=False
    )
    chromium.driver.get(url)
    chromium.ask("document.querySelector('#window').value = '30'")
    for at_s, selector in _CLICKS:
        chromium.driver.execute_async_script(_UNTIL.format(f"models && seen.slices.at(-1).at_s > {at_s}"))
        chromium.ask("document.querySelector(arguments[0]).click()", selector)
    chromium.driver.execute_async_script(_UNTIL.format(f"seen.slices.at(-1).at_s > {_END_S}"))
    chromium.driver.save_screenshot(path)


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).absolute()))

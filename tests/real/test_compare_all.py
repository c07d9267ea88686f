"""``proxyreload compare --all``: every mechanism of every proxy in one go, shorter than ``docs/comparison.md`` shows it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from .command import TIMEOUT_S, Place
from .page import blocks
from .proxies import is_built

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
LOSSLESS = ("seamless", "graceful")
#: Of so few requests a busy machine sends all; most traffic is that of the other kinds.
SHORT = ("--rounds", "1", "--repeat", "1", "--rate", "50", "--no-report")


def told(markdown: str) -> dict[str, str]:
    """Return the verdicts of a table, by mechanism."""
    return dict(re.findall(r"^\| ([a-z]+:[a-z-]+) \| ([a-z ]+) \|", markdown, re.MULTILINE))


def test_every_mechanism_is_as_lossless_as_the_page_says(place: Place) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (command,) = (block.text for block in blocks(PAGE) if block.run_by)
    program, *words = shlex.split(command.removeprefix("$ "))
    left_out = "pingap is left out: " if not is_built("pingap") else ""
    mechanisms = [name for name in told(page) if not (left_out and name.startswith("pingap:"))]
    result = place.start(*words, *SHORT, *place.ports, mix=True).ended(TIMEOUT_S * len(mechanisms))
    assert (program, result.status) == ("proxyreload", 1), result.stderr
    assert left_out in result.stderr
    rows = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))["rows"]
    verdicts = {row["mechanism"]: row["verdict"] for row in rows}
    assert sorted(verdicts) == sorted(mechanisms)
    spoilt = {row["mechanism"]: row["why"] for row in rows if row["verdict"] not in (*LOSSLESS, "racy", "lossy")}
    assert spoilt == {}
    lossless = {name for name, verdict in told(page).items() if verdict in LOSSLESS and name in verdicts}
    lost = [name for name in lossless if verdicts[name] not in LOSSLESS]
    if lost:  # a request that crosses a leaving backend's FIN is rare, and real: it does not meet it twice
        again = place.run("compare", *lost, *SHORT, "--folder", "again", "--json", "again.json", *place.ports, mix=True)
        rows = json.loads((place.folder / "again.json").read_text(encoding="utf-8"))["rows"]
        assert {row["mechanism"]: row["verdict"] for row in rows if row["verdict"] not in LOSSLESS} == {}, again.stdout
    assert {verdict for name, verdict in verdicts.items() if name.endswith(":restart")} == {"lossy"}
    written = (place.folder / "comparison.md").read_text(encoding="utf-8")
    assert told(written) == verdicts
    ((shown, *_), (columns,)) = (
        re.findall(r"^\| mechanism \| verdict .*", text, re.MULTILINE) for text in (page, written)
    )
    assert set(shown.split(" | ")) <= set(columns.split(" | "))
    assert "| mechanism | aimed | download | fresh |" in written
    assert place.left() == []

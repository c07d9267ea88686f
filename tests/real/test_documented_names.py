"""Every column, key, verdict and failure class that is written is explained in docs/."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxyreload.history import failures
from proxyreload.verdict.judgement import Verdict

from .command import COLUMNS, Place

pytestmark = pytest.mark.real

DOCS = Path(__file__).parents[2] / "docs"
#: Below these stand names that are no keys: classes, causes, instances, clients, endings and phases.
_OPEN = frozenset(
    {
        "failures",
        "causes",
        "answers_by_instance",
        "arrivals_by_instance",
        "late",
        "front_closed",
        "latency",
        "lost_at_ms",
    }
)


def named(page: str) -> set[str]:
    """Return what a page names in code."""
    return set(re.findall(r"`([^`\n]+?)(?:\[\])?`", (DOCS / page).read_text(encoding="utf-8")))


def keys(value: Any) -> Iterator[str]:
    """Yield every key below a value."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            if key == "kinds":  # by names that are no keys
                for kind in below.values():
                    yield from keys(kind)
            elif key not in _OPEN:
                yield from keys(below)
    elif isinstance(value, list):
        for each in value:
            yield from keys(each)


def test_every_column_and_every_key_is_explained(place: Place) -> None:
    run = place.run("--plugin", "control", "--repeat", "3", "--pace", "0.2", "--rate", "200", *place.ports)
    assert run.status == 0
    assert set(COLUMNS) <= named("files.md")
    assert run.summary["per_change"] is not None
    assert run.summary["schedule"] is not None
    assert set(keys(run.run_json)) <= named("files.md")
    rotated = place.run("--plugin", "haproxy", "--tls", "--repeat", "1", "--change", "rotate", *place.ports)
    assert rotated.summary["tls"]["certificates"]
    assert rotated.changes[0]["certificate"]
    assert set(keys(rotated.run_json)) <= named("files.md")


def test_every_key_of_a_comparison_is_explained(place: Place) -> None:
    words = ("compare", "haproxy:hard", "--repeat", "3", "--pace", "0.1", *place.ports)
    assert place.run(*words).status in {1, 3}  # on a busy machine the rate may be more than can be sent
    content = json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))
    assert content["rows"][0]["per_change"] is not None
    assert set(keys(content)) <= named("files.md")


def test_every_verdict_and_failure_class_is_explained() -> None:
    text = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    for verdict in Verdict:
        assert f"| **{verdict.value}** | " in text
        assert re.search(rf"\*\*{verdict.value}\*\* \|.*\| {int(verdict.exit_status)} \|", text)
    classes = {
        value for name, value in vars(failures).items() if name.isupper() and name[0] != "_" and isinstance(value, str)
    }
    assert classes
    assert {*classes, "status NNN"} <= named("verdicts.md")

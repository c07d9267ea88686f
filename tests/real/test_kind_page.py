"""The kind that docs/kinds.md builds is one: installed as the page says, it is sent, answered and judged."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from .command import Place

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "kinds.md"


def written() -> str:
    """Return the page's own kind."""
    found = re.search(r"`proxyreload_echo\.py`.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def installed(place: Place, text: str) -> Mapping[str, str]:
    """Return an environment in which a file of this text is found by the page's entry point."""
    point = re.search(r'\[project\.entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', PAGE.read_text(encoding="utf-8"))
    assert point is not None
    group, name, where = point.groups()
    described = place.folder / "site" / "echo-0.dist-info"
    described.mkdir(parents=True)
    (described.parent / "proxyreload_echo.py").write_text(text, encoding="utf-8")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 0\n", encoding="utf-8")
    (described / "entry_points.txt").write_text(f"[{group}]\n{name} = {where}\n", encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(described.parent), os.environ.get("PYTHONPATH")]))
    return {**place.environment, "PYTHONPATH": path}


def test_it_is_listed_sent_and_judged(place: Place) -> None:
    environment = installed(place, written())
    listed = place.run("kinds", "--names", environment=environment)
    assert "echo\twhat is sent comes back\n" in listed.stdout
    words = ("--plugin", "control", "--rate", "50", "--duration", "3", "--traffic", "echo=2", *place.ports)
    result = place.run(*words, environment=environment)
    assert (result.stderr, len(result.rows), place.left()) == ("", result.summary["exchanges"], [])
    assert result.summary["kinds"]["echo"]["verdict"] == "seamless"
    assert {row.status for row in result.rows if row.kind == "echo"} == {"200"}


def test_what_its_backend_gets_wrong_is_found(place: Place) -> None:
    wrong = written().replace("request.request_id * self.times)", "request.request_id * 3)")
    assert wrong != written()
    words = ("--plugin", "control", "--rate", "50", "--duration", "3", "--traffic", "echo=1", *place.ports)
    result = place.run(*words, environment=installed(place, wrong))
    assert (result.stderr, len(result.rows), place.left()) == ("", result.summary["exchanges"], [])
    # Already without the proxy in between: it is no doing of the proxy's.
    assert (result.status, result.verdict) == (3, "invalid")
    (reason,) = result.summary["reasons"]
    assert reason.startswith("straight at the backends, without the proxy: ")
    assert reason.endswith(" wrong body")
    assert set(result.summary["baseline"]["kinds"]["echo"]["failures"]) == {"wrong body"}
    assert set(result.summary["failures"]) == {"wrong body"}
    assert result.summary["kinds"]["get"]["verdict"] == "seamless"

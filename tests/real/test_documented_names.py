"""Every column, key, verdict and failure class that is written is explained in docs/."""

import re
import sys
from pathlib import Path

import pytest

from proxyreload.history import failures
from proxyreload.record.lossfile import COLUMNS as LOSSES
from proxyreload.traffic.registry import kinds
from proxyreload.verdict.judgement import Verdict

from .command import COLUMNS

# Last: what is installed is tested, and these are the tests in memory.
sys.path.append(str(Path(__file__).parents[2]))
from tests.memory.conforming import named_keys, parts, schema

pytestmark = pytest.mark.real

DOCS = Path(__file__).parents[2] / "docs"
#: A key, or what may be the value of one; no option, file or path.
_WORD = re.compile(r"[a-z][a-z0-9_]*(?: [a-z]+)*")
#: Words in code on the page that are JSON's own, or the commands that write the file.
_OTHERS = {"null", "compare", "bisect", "capacity"}


def named(page: str) -> set[str]:
    """Return what a page names in code."""
    return set(re.findall(r"`([^`\n]+?)(?:\[\])?`", (DOCS / page).read_text(encoding="utf-8")))


def section(page: str, title: str) -> str:
    """Return what a page has between this title and the next one, but for its examples."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return re.sub(r"^```.*?^```", "", found[1], flags=re.DOTALL | re.MULTILINE)


def words(text: str) -> set[str]:
    """Return what may be a key or a value of what a text names in code."""
    return {word for word in re.findall(r"`([^`\n]+?)(?:\[\])?`", text) if _WORD.fullmatch(word)}


def test_every_column_is_explained() -> None:
    assert {*COLUMNS, *LOSSES} <= {name for each in named("files.md") for name in each.split(", ")}


@pytest.mark.parametrize(
    ("name", "beside"), [("run", ()), ("compare", ("run.json",)), ("bisect", ()), ("capacity", ())]
)
def test_every_key_that_a_schema_names_is_explained(name: str, beside: tuple[str, ...]) -> None:
    own = {key for kind in kinds().values() for key in kind.keys}  # which `proxyreload kinds` explains
    explained = words("".join(section("files.md", title) for title in (f"{name}.json", *beside)))
    assert named_keys(name) - explained - own == set()


@pytest.mark.parametrize("name", ["run", "compare", "bisect", "capacity"])
def test_every_key_on_the_page_stands_in_a_schema(name: str) -> None:
    values = {
        str(value)
        for part in parts(schema(name))
        for value in (*part.get("enum", ()), *part.get("examples", ()), part.get("const"))
    }
    explained = words(section("files.md", f"{name}.json"))
    assert explained - named_keys(name) - values - kinds().keys() - _OTHERS == set()


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

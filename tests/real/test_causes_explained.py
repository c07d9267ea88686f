"""``docs/causes.md``: each cause has a section that says whose doing it is, what cures it and how it is seen."""

import re
from pathlib import Path

import pytest

from proxyreload.explanation.causewords import PAGE, section
from proxyreload.ledger.cause import Cause

from .command import Place
from .test_repeats import ROWS

pytestmark = pytest.mark.real  # of the checkout: a wheel has no pages

DOCS = Path(__file__).parents[2] / "docs"
PARTS = ("What it is.", "Whose doing.", "What cures it.", "The words for it.", "To see it.")
#: By these nothing is lost, or nothing that a specification or a proxy has words for.
WITHOUT_WORDS = (Cause.OURS, Cause.MADE_UP, Cause.UNKNOWN)


def sections() -> dict[str, str]:
    """Return the text of each section by its heading."""
    _before, *parts = re.split(r"^## `(.*)`\n", (DOCS / "causes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_each_cause_has_a_section_in_the_order_of_the_causes() -> None:
    assert list(sections()) == [cause.value for cause in Cause]


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)
def test_a_section_says_all_of_it(cause: Cause) -> None:
    text = sections()[cause.value]
    assert tuple(re.findall(r"^\*\*(.*?)\*\* \S", text, re.MULTILINE)) == PARTS
    words = text.partition("**The words for it.**")[2].partition("**To see it.**")[0]
    assert ("](https://" in words) is (cause not in WITHOUT_WORDS)


@pytest.mark.parametrize("page", ["verdicts.md", "comparison.md", "files.md", "README.md", "../README.md"])
def test_it_is_found_from_where_losses_are_told(page: str) -> None:
    assert "causes.md)" in (DOCS / page).read_text(encoding="utf-8")


def test_explain_leads_to_each() -> None:
    headings = {f"{PAGE}#{name.replace(' ', '-')}" for name in sections()}
    assert {section(cause.value) for cause in Cause} == headings


def test_who_repeats_what_is_told_as_it_is_tried() -> None:
    def times(*, twice: bool) -> str:
        return "**twice**" if twice else "once"

    often = r" \| (?:once|\*\*twice\*\*)"
    told = re.findall(rf"^\| (\w+ \| .*{often * 3}) \|$", sections()[Cause.REPEATED.value], re.MULTILINE)
    tried = [
        f"{name.replace(', ', ' | ', 1)} | {times(twice=row.get)} | {times(twice=row.post)} | {times(twice=row.chunked)}"
        for name, row in ROWS.items()
    ]
    assert told == tried


@pytest.mark.parametrize(
    "cause", [Cause.BACKEND_GONE, Cause.REPEAT_REFUSED, Cause.REPEATED], ids=lambda cause: cause.value
)
def test_it_is_seen_by_what_the_section_says(place: Place, cause: Cause) -> None:
    text = sections()[cause.value].partition("**To see it.** `proxyreload ")[2].partition("`")[0]
    result = place.run(*text.split(), "--duration", "6", *place.ports)
    assert result.stderr == ""
    result.assert_complete()
    assert result.summary["causes"][cause.value] > 0
    assert place.left() == []

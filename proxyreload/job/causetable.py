"""Why requests were lost, as a job is told: by kind of traffic, with what each cause means and what cures it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from proxyreload.explanation.causewords import cause_words, section
from proxyreload.explanation.quantity import shares
from proxyreload.ledger.cause import Cause
from proxyreload.system.markdowntext import text_of

#: Of a cause's own words, and the kinds that it hit.
_WORDS = 400


def foremost(causes: Counter[Cause]) -> Cause | None:
    """Return the most frequent; what was turned away is no loss, and comes last."""
    lost = Counter({cause: number for cause, number in causes.items() if cause is not Cause.TURNED_AWAY})
    return next((cause for cause, _number in (lost or causes).most_common(1)), None)


def foremost_words(causes: Counter[Cause]) -> str:
    """Return ``keep-alive race 28``; empty without any."""
    cause = foremost(causes)
    return f"{cause.value} {causes[cause]:,}" if cause is not None else ""


def cause_items(by_kind: Mapping[str, Counter[Cause]]) -> list[str]:
    """Return the causes as items of a list in Markdown, the most frequent first; nothing where there are none."""
    total: Counter[Cause] = sum(by_kind.values(), Counter())
    return [_item(cause, number, by_kind) for cause, number in total.most_common()]


def _item(cause: Cause, number: int, by_kind: Mapping[str, Counter[Cause]]) -> str:
    kinds = shares({kind: causes[cause] for kind, causes in by_kind.items() if causes[cause]})
    words = cause_words(cause.value)
    told = f"{number:,} ({kinds}): {words.what}. Cure: {words.cure} ({section(cause.value)})"
    return f"- **{text_of(cause.value)}**, {text_of(told, _WORDS)}"


def causes_section(by_kind: Mapping[str, Counter[Cause]], helps: Sequence[str]) -> list[str]:
    """Return the lines of the section about them, with what is known to help, in Markdown; nothing without either."""
    items = [*cause_items(by_kind), *(f"- {each}" for each in helps)]
    return ["#### Why, and what cures it", "", *items, ""] if items else []

"""The story of a run's losses on one screen: what it came to, each cause with an example, what helps."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

import attrs

from proxyreload.explanation.causegroups import CauseGroup, Losses
from proxyreload.explanation.causewords import cause_words, section
from proxyreload.explanation.heading import heading, named, nothing_lost
from proxyreload.explanation.moments import Case, moments
from proxyreload.explanation.quantity import counted, listed, shares
from proxyreload.explanation.swimlanes import swimlanes
from proxyreload.ledger.fatewords import fate_words
from proxyreload.record.rundata import Change, Record
from proxyreload.system.untrusted import line_of

#: Words of one kind stand below each other.
_LABEL = 8
_INDENT = "  "
#: Changes that are named.
_CHANGES = 4


@attrs.frozen
class Size:
    """Of the screen: no line is longer, and there are no more lines."""

    width: int = 80
    height: int = 40


@attrs.frozen
class Told:
    """All that a screen is made of."""

    record: Record
    losses: Losses
    cases: Mapping[str, Case]  #: an example of each cause
    helps: str = ""  #: what is known to help with this mechanism
    missing: str = ""  #: what cannot be told, and why


def screen(told: Told, size: Size) -> list[str]:
    """Return the lines: the most frequent causes have an example, as far as there is room."""
    record, losses = told.record, told.losses
    top = [line for text in heading(record) for line in paragraph(text, size.width)]
    top += [line for text in _oddities(told) for line in paragraph(text, size.width)]
    if not record.failure:
        top += [line for text in nothing_lost(record) for line in paragraph(text, size.width)]
    bottom = advice(record.title, told.helps, size.width)
    if losses.groups:
        bottom = [
            "",
            *bottom,
            f"one loss in full: the same with --loss {told.cases[losses.groups[0].cause].loss.number}",
        ]
    blocks = _blocks(told, losses.groups, size.width, size.height - len(top) - len(bottom))
    return [*(line_of(line)[: size.width] for line in [*top, *blocks]), *bottom][: size.height]


def paragraph(text: str, width: int, first: str = "", others: str = _INDENT) -> list[str]:
    """Return a text on lines of at most `width` columns."""
    return wrap(text, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)


def advice(title: str, helps: str, width: int) -> list[str]:
    """Return what is known to help with a mechanism; an address stays whole, however long it is."""
    if not helps:
        return []
    told = line_of(f"what helps with {title}: {helps}")
    return wrap(told, width, subsequent_indent=_INDENT, break_on_hyphens=False, break_long_words=False)


def labelled(label: str, text: str, width: int) -> list[str]:
    """Return a text behind a word that says what it is."""
    return paragraph(text, width, f"{_INDENT}{label:<{_LABEL}}", " " * (len(_INDENT) + _LABEL))


def _oddities(told: Told) -> Iterator[str]:
    """Yield what does not fit together."""
    record, losses = told.record, told.losses
    if losses.failed != record.failure:
        yield (
            f"{counted(losses.failed, 'lost request')} have rows, and run.json tells of {record.failure:,}: "
            "the files are not of one run, or one of them was cut"
        )
    if told.missing:
        yield told.missing


def _blocks(told: Told, groups: Sequence[CauseGroup], width: int, room: int) -> list[str]:
    """Return the causes: the first in full, then as many as there is room for, the others by their names."""
    if not groups:
        return []
    forms = [_full, _without_example, _short]
    blocks: list[list[str]] = []
    for form in forms:
        blocks = [form(told, groups[0], width), *(_short(told, group, width) for group in groups[1:])]
        while len(blocks) > 1 and _height(blocks) + len(_left_out(groups[len(blocks) :], width)) > room:
            blocks.pop()
        if _height(blocks) + len(_left_out(groups[len(blocks) :], width)) <= room:
            break
    more = _left_out(groups[len(blocks) :], width)
    spare = room - _height(blocks) - len(more)
    for place in range(1, len(blocks)):
        longer = (form(told, groups[place], width) for form in forms)
        block = next(block for block in longer if len(block) - len(blocks[place]) <= spare)
        if block == blocks[place]:  # a rarer one is told no further than a more frequent one
            break
        spare -= len(block) - len(blocks[place])
        blocks[place] = block
    return [*(line for block in blocks for line in block), *more]


def _height(blocks: Sequence[Sequence[str]]) -> int:
    return sum(map(len, blocks))


def _left_out(groups: Sequence[CauseGroup], width: int) -> list[str]:
    """Return the line that names those for which there is no room."""
    if not groups:
        return []
    named = listed((f"{group.cause} {group.number:,}" for group in groups), 4)
    return ["", *paragraph(f"and {counted(len(groups), 'other cause')}: {named}", width)]


def _title(told: Told, group: CauseGroup) -> str:
    what = cause_words(group.cause).what
    return f"{group.cause}, {group.number:,} of {told.losses.total:,}" + (f": {what}" if what else "")


def _short(told: Told, group: CauseGroup, width: int) -> list[str]:
    example = told.cases[group.cause].loss.number
    return ["", *paragraph(f"{_title(told, group)}; {_fates(group)} (such as loss {example})", width)]


def _without_example(told: Told, group: CauseGroup, width: int) -> list[str]:
    return [*_figures(told, group, width), *_cure(group, width)]


def _full(told: Told, group: CauseGroup, width: int) -> list[str]:
    case = told.cases[group.cause]
    lines = _figures(told, group, width)
    over = f", over {case.over}" if case.over else ""
    lines += labelled("such as", f"loss {case.loss.number}: {whose(case)}{over}", width)
    lines += swimlanes(moments(case), case.zero_us, width)
    return [*lines, *_cure(group, width)]


def _figures(told: Told, group: CauseGroup, width: int) -> list[str]:
    return [
        "",
        *paragraph(_title(told, group), width),
        *labelled("kinds", shares({kind or "unknown": number for kind, number in group.kinds.items()}), width),
        *labelled("fate", _fates(group), width),
        *labelled("when", _changes(told.record.changes, group), width),
    ]


def _cure(group: CauseGroup, width: int) -> list[str]:
    cure = cause_words(group.cause).cure
    return labelled("cure", f"{cure} ({section(group.cause)})" if cure else section(group.cause), width)


def whose(case: Case) -> str:
    """Return ``client 9 of get, 20 ms away``."""
    loss = case.loss
    if loss.client is None:
        return f"loss {loss.number}"
    kind = f" of {loss.kind}" if loss.kind else ""
    return f"client {loss.client}{kind}" + (f", {2 * case.away_us / 1000:g} ms away" if case.away_us else "")


def _fates(group: CauseGroup) -> str:
    fates = group.fates.most_common()
    if len(fates) == 1:
        return fate_words(fates[0][0]).all if group.number > 1 else fate_words(fates[0][0]).one
    return "; ".join(f"{number:,} {fate_words(fate).some}" for fate, number in fates)


def _changes(changes: Sequence[Change], group: CauseGroup) -> str:
    """Say over which changes, those that lost most first where they are many."""
    by_number = {change.number: named(change) for change in changes}
    several = len(group.changes) > 1
    told = []
    most = group.changes.most_common()
    for number, losses in most if len(most) > _CHANGES else sorted(most):
        what = by_number.get(number, f"change {number}") if number else "before any change"
        told.append(f"{what}: {losses:,}" if several else what)
    return "; ".join(
        [*told[:_CHANGES], *([f"and {len(told) - _CHANGES} more changes"] if len(told) > _CHANGES else [])]
    )

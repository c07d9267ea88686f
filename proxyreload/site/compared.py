"""Reads what ``compare`` wrote into an edition; what is missing of older comparisons is left open."""

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from datetime import date

import attrs

from proxyreload.comparison.table import FORMAT
from proxyreload.record.jsonfile import WORDS_AT_MOST, Table
from proxyreload.site.address import condition_part, digest, mechanism_part, version_part
from proxyreload.site.edition import (
    CANNOT,
    KILLED,
    NOT_RUN,
    TIMES,
    Condition,
    Edition,
    KindTally,
    Price,
    RowTold,
    TrialTold,
)
from proxyreload.system.untrusted import printable

#: What an edition may have; every mechanism there is, four times over, has some 250 rows.
_ROWS_AT_MOST = 2_000
_KINDS_AT_MOST = 50
_TRIALS_AT_MOST = 100
_CONDITIONS_AT_MOST = 20
#: The kinds that were aimed before a comparison told of each whether it is.
_AIMED = {"aimed"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
#: A version's number in what a program says of itself.
_NUMBER = re.compile(r"\d+(?:\.\d+)+[\w.+~-]*", re.ASCII)
UNDATED = "undated"


def edition_of(table: Table, content: bytes) -> Edition:
    """Return what a ``compare.json`` with this content tells; raises `UsageError` with file and key."""
    if table.content.get("format") != FORMAT:
        raise table.wrong(key="format", message=f"is not {FORMAT}")
    what, started = table.text("what"), table.text("started")
    day = _day(started, what)
    name = f"{day}-{digest(content)}"
    conditions = tuple(_condition(each) for each in table.tables("conditions", _CONDITIONS_AT_MOST)) or (Condition(""),)
    killed = {each.name for each in conditions if each.removed == KILLED}
    rows: list[RowTold] = []
    taken: set[str] = set()
    told: set[tuple[str, str]] = set()
    for each in table.tables("rows", _ROWS_AT_MOST):
        row = _row(each, name, killed)
        if (each.text("mechanism"), row.condition) in told:
            raise each.wrong(key="mechanism", message="stands twice under one condition")
        told.add((each.text("mechanism"), row.condition))
        if row.part in taken:  # two programs of one version
            row = attrs.evolve(row, part=f"{row.part}-{digest(each.text('mechanism').encode())}")
        taken.add(row.part)
        rows.append(row)
    return Edition(
        id=name,
        day=day,
        started=started,
        what=what,
        versions=table.texts("versions", WORDS_AT_MOST),
        proxyreload=table.text("proxyreload"),
        machine=table.plain("machine"),
        command=table.texts("command", WORDS_AT_MOST),
        conditions=_all_conditions(conditions, rows),
        rows=tuple(rows),
    )


def _all_conditions(told: Sequence[Condition], rows: Sequence[RowTold]) -> tuple[Condition, ...]:
    """Return the conditions in their order, and after them those that only rows name."""
    named = {each.name: each for each in told}
    for row in rows:
        named.setdefault(row.condition, Condition(row.condition))
    used = {row.condition for row in rows}
    return tuple(each for each in named.values() if each.name in used or each in told)


def _day(started: str, what: str) -> str:
    """Return the day on which it was run, of its time or, where it has none, of its words."""
    for text in (started, what):
        for found in _DATE.findall(text):
            with suppress(ValueError):
                return date.fromisoformat(found).isoformat()
    return UNDATED


def _condition(table: Table) -> Condition:
    rtt = table.content.get("rtt_ms")
    return Condition(table.text("name"), None if rtt is None else table.decimal("rtt_ms"), table.text("removed"))


def _row(row: Table, edition: str, killed: Container[str]) -> RowTold:
    named, asked = row.text("mechanism"), row.text("version")
    mechanism = named.replace(f"@{asked}", "", 1) if asked else named
    proxy_version, condition = row.text("proxy_version"), row.text("condition")
    number = _NUMBER.search(proxy_version)
    version = number[0] if number else asked
    per_change, cure = row.table("per_change"), row.table("cure")
    disruption = row.table("disruption")
    kinds = row.table("kinds")
    if len(kinds.content) > _KINDS_AT_MOST:
        raise row.wrong(key="kinds", message=f"has more than {_KINDS_AT_MOST} entries")
    part = "/".join([mechanism_part(mechanism), version_part(version), edition, condition_part(condition)])
    return RowTold(
        edition=edition,
        mechanism=mechanism,
        version=version,
        proxy_version=proxy_version,
        condition=condition,
        killed=condition in killed,
        part=part,
        verdict=row.text("verdict") or NOT_RUN,
        why=row.text("why"),
        advice=cure.text("advice"),
        link=_link(cure.text("link")),
        exchanges=row.number("exchanges"),
        changes=row.number("changes"),
        failures=row.counts("failures"),
        kinds=(*(_kind(kinds, kind) for kind in kinds.content), *_not_carried(row, kinds)),
        causes=row.counts("causes"),
        per_change=per_change.decimal("failures") if per_change.content else None,
        low=per_change.decimal("low"),
        high=per_change.decimal("high"),
        per_million=per_change.decimal("failures_per_million"),
        times={key: _decimal_or_none(row, key) for key in TIMES},
        price=_price(row.table("price")) if row.content.get("price") is not None else None,
        new_ms=_decimal_or_none(disruption, "new_ms"),
        reused_ms=_decimal_or_none(disruption, "reused_ms"),
        storm=disruption.number_or_none("connections_opened_100ms"),
        command=row.texts("command", WORDS_AT_MOST),
        trials=tuple(_trial(each, number) for number, each in enumerate(row.tables("trials", _TRIALS_AT_MOST), 1)),
    )


def _kind(kinds: Table, name: str) -> KindTally:
    kind = kinds.table(name)
    disruption = kind.table("disruption")
    return KindTally(
        kind=printable(name),
        verdict=kind.text("verdict"),
        exchanges=kind.number("exchanges"),
        lost=kind.number("failures"),
        why=kind.text("why"),
        causes=kind.counts("causes"),
        new_ms=_decimal_or_none(disruption, "new_ms"),
        reused_ms=_decimal_or_none(disruption, "reused_ms"),
        aimed=kind.flag("aimed") if "aimed" in kind.content else name in _AIMED,
    )


def _not_carried(row: Table, kinds: Table) -> Iterator[KindTally]:
    """Yield the kinds that the user's configuration does not carry, where these do not stand with the others."""
    told = row.table("carries_not")
    for name in told.content:
        if name not in kinds.content:
            yield KindTally(printable(name), CANNOT, 0, 0, why=told.text(name))


def _price(price: Table) -> Price:
    return Price(
        processes=price.number_or_none("processes"),
        resident_bytes=price.number_or_none("resident_bytes"),
        cpu_s_per_change=_decimal_or_none(price, "cpu_s_per_change"),
        old_generations=price.number_or_none("old_generations"),
        lived_on_ms=_decimal_or_none(price, "lived_on_ms"),
        left=price.number_or_none("left"),
        on_old=price.counts("on_old"),
    )


def _trial(trial: Table, number: int) -> TrialTold:
    return TrialTold(number, trial.text("verdict") or NOT_RUN, trial.text("why"), trial.path_at("run"))


def _decimal_or_none(table: Table, key: str) -> float | None:
    return None if table.content.get(key) is None else table.decimal(key)


def _link(link: str) -> str:
    """Return a link that leads to a page and does nothing, empty if it is another."""
    return link if link.startswith(("https://", "http://")) else ""

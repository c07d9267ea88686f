"""The rows as a table, for a terminal and as JSON."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.comparison.bykind import verdict_of
from proxyreload.comparison.row import Row, in_ms
from proxyreload.comparison.trial import TrialPrice
from proxyreload.history.events import Ending
from proxyreload.ledger.cause import Cause
from proxyreload.system.clock import NS_PER_MS, NS_PER_S
from proxyreload.system.untrusted import line_of
from proxyreload.verdict.judgement import by_class
from proxyreload.verdict.repetition import short
from proxyreload.verdict.threshold import Thresholds

#: Changes with a note in the changelog.
FORMAT = 1
#: Returns the words of a command line.
Words = Callable[[Row], Sequence[str]]
MIB = 1024 * 1024
#: A version's number in what a program says of itself.
_NUMBER = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


@attrs.frozen
class Column:
    """One figure of a row."""

    title: str
    text: Callable[[Row], str]
    right: bool = True


def _verdict(row: Row) -> str:
    if row.verdict is not None:
        return row.verdict.value
    return "cannot" if row.cannot else "not run"


def _failures(row: Row) -> str:
    """Return how many there were; what was aimed at the closing of connections stands apart."""
    if row.verdict is None:
        return ""
    aimed = row.proof.lost if row.proof is not None else 0
    return f"{row.failures.total() - aimed} ({aimed})" if row.proof is not None else str(row.failures.total())


def _per_change(row: Row) -> str:
    return row.repetition.interval() if row.repetition is not None else ""


def _per_million(row: Row) -> str:
    return short(row.repetition.per_million) if row.repetition is not None else ""


def _front_closed(row: Row) -> str:
    if row.verdict is None:
        return ""
    announced = row.front_closed[Ending.ANNOUNCED.value]
    total = row.front_closed.total()
    return f"{total} ({announced})" if total else "0"


def _back_closed(row: Row) -> str:
    return str(row.back_closed) if row.verdict is not None else ""


def _stragglers(row: Row) -> str:
    return str(row.stragglers) if row.verdict is not None else ""


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004


def _whole(value: int | None) -> str:
    return "" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _on_old(price: TrialPrice) -> str:
    """Return ``idle 12, stream 2``: who was on old generations, the most first."""
    most = sorted(price.on_old.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{kind} {clients}" for kind, clients in most)


def _lived_on(price: TrialPrice) -> str:
    """Return how long the oldest generation lived beside the next one, and how many processes were left at the end."""
    longest = _seconds(price.lived_on_s)
    return f"{longest} ({price.left} left)".strip() if price.left else longest


NAME = Column("mechanism", lambda row: row.label, right=False)
VERDICT = Column("verdict", _verdict, right=False)
LOSSES = (
    NAME,
    VERDICT,
    Column("failures (aimed)", _failures),
    Column("per change (95 %)", _per_change),
    Column("per million", _per_million),
    Column("front closed (announced)", _front_closed),
    Column("back replaced", _back_closed),
)
TIMES = (
    NAME,
    Column("applied ms", lambda row: _ms(row.applied_ms)),
    Column("effective ms", lambda row: _ms(row.effective_ms)),
    Column("stragglers", _stragglers),
    Column("p99 steady µs", lambda row: _whole(row.steady_p99_us)),
    Column("p99 around µs", lambda row: _whole(row.around_p99_us)),
    Column("baseline µs", lambda row: _whole(row.baseline_p99_us)),
)


COSTS = (
    NAME,
    Column("processes", lambda row: str(row.price.processes) if row.price is not None else ""),
    Column("memory MiB", lambda row: _ms(row.price.resident_bytes / MIB) if row.price is not None else ""),
    Column("CPU s a change", lambda row: _seconds(row.price.cpu_s) if row.price is not None else ""),
    Column("old lived on s", lambda row: _lived_on(row.price) if row.price is not None else ""),
    Column("on old ones", lambda row: _on_old(row.price) if row.price is not None else ""),
    Column("new failed ms", lambda row: _ms(row.new_ms)),
    Column("reused failed ms", lambda row: _ms(row.reused_ms)),
    Column("connections in 100 ms", lambda row: _whole(row.storm)),
)


def print_table(console: Console, rows: Sequence[Row]) -> None:
    """Print three tables, of losses, times and costs, that fit 80 columns, and the notes below."""
    for columns in (LOSSES, TIMES, COSTS):
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            justify: Any = "right" if column.right else "left"
            table.add_column(column.title, justify=justify, overflow="fold", vertical="bottom")
        for row in rows:
            if columns is LOSSES or row.verdict is not None:
                table.add_row(*(Text(line_of(column.text(row))) for column in columns))
        console.print(table)
        console.print()
    for note in notes(rows):
        console.print(Text(line_of(note)), soft_wrap=True)


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what was lost and why, and what is known to help."""
    found = []
    for row in rows:
        if row.why:
            found.append(f"{row.label}: {row.why}")
        found += [f"{row.label}: {kind} cannot: {why}" for kind, why in row.carries_not.items()]
        if row.failures:
            kinds = f" ({by_kind(row)})" if len(row.kinds) > 1 else ""
            found.append(f"{row.label}: lost {by_class(row.failures)}{kinds}")
        if row.cure is not None:
            found.append(f"{row.name}: what helps: {row.cure.advice}, {row.cure.link}")
    return list(dict.fromkeys(found))


def by_kind(row: Row) -> str:
    """Return which kinds of traffic lost how many of how many, those first that lost the most of theirs."""
    lost = {kind: failures / exchanges for kind, (exchanges, failures) in row.kinds.items() if failures}
    first = sorted(lost, key=lambda kind: -lost[kind])
    return ", ".join(f"{kind} {row.kinds[kind][1]} of {row.kinds[kind][0]}" for kind in first)


def versions(rows: Sequence[Row]) -> list[str]:
    """Return which programs were run, a line each, in their own words."""
    told = {f"{_program(row)}: {row.proxy_version}": None for row in rows if row.proxy_version}
    return list(told)


def short_versions(rows: Sequence[Row]) -> str:
    """Return which programs were run, on one line."""
    told: dict[str, None] = {}
    for row in rows:
        if row.proxy_version:
            number = _NUMBER.search(row.proxy_version)
            told[f"{_program(row)} {number.group() if number else row.proxy_version}"] = None
    return ", ".join(told)


def _program(row: Row) -> str:
    return row.name.partition(":")[0]


def as_json(
    rows: Sequence[Row], compared: dict[str, object], thresholds: Thresholds = (), again: Words = lambda _row: ()
) -> str:
    """Return all figures; `compared` says what was run, and `again` which command line does it again for one row."""
    content = {"format": FORMAT, **compared, "rows": [_row(row, again, thresholds) for row in rows]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _row(row: Row, compared: Words, thresholds: Thresholds) -> dict[str, object]:
    repetition, price = row.repetition, row.price
    return {
        "mechanism": row.name,
        "condition": row.condition.name,
        "version": row.version or None,
        "proxy_version": row.proxy_version,
        "verdict": _verdict(row),
        "why": row.why or None,
        "cure": None if row.cure is None else attrs.asdict(row.cure),
        "command": list(compared(row)),
        "exchanges": row.exchanges,
        "changes": len(row.losses),
        "failures": dict(row.failures),
        "kinds": {kind: _kind(row, kind) for kind in (*row.kinds, *row.cannot_carry)},
        "carries_not": row.carries_not,
        "causes": _causes(sum(row.causes.values(), Counter())),
        "decision": row.decision(thresholds).as_run(),
        "per_change": None if repetition is None else repetition.as_run(),
        "proof": None if row.proof is None else row.proof.as_run(),
        "front_closed": dict(row.front_closed),
        "back_closed": row.back_closed,
        "applied_ms": row.applied_ms,
        "effective_ms": row.effective_ms,
        "drained_ms": row.drained_ms,
        "undrained": row.undrained,
        "stragglers": row.stragglers,
        "p99_steady_us": row.steady_p99_us,
        "p99_around_us": row.around_p99_us,
        "p99_baseline_us": row.baseline_p99_us,
        "p99_floor_us": row.baseline_p99_us,  # its name before
        "price": None if price is None else _price(price),
        "disruption": {
            "new_ms": row.new_ms,
            "reused_ms": row.reused_ms,
            "connections_opened_100ms": row.storm,
        }
        if row.storm is not None
        else None,
        "wall_s": round(row.wall_s, 3),
        "trials": [
            {
                "round": trial.round,
                "verdict": trial.judgement.verdict.value if trial.judgement is not None else None,
                "why": trial.why or None,
                "run": str(trial.run_file) if trial.judgement is not None else None,
                "wall_s": round(trial.wall_ns / NS_PER_S, 3),
            }
            for trial in row.trials
        ],
    }


def _kind(row: Row, kind: str) -> dict[str, object]:
    """Return what became of a kind of traffic, or why none was sent."""
    sent, lost = row.kinds.get(kind, (0, 0))
    disruption = row.disruptions.get(kind)
    return {
        "verdict": verdict_of(row, kind) or None,
        "why": None if sent else row.cannot_carry.get(kind),
        "exchanges": sent,
        "failures": lost,
        "causes": _causes(row.causes.get(kind, Counter())),
        "aimed": kind in row.aimed,
        "disruption": None
        if disruption is None
        else {
            "new_ms": in_ms(disruption.new_ns),
            "reused_ms": in_ms(disruption.reused_ns),
            "without_success_ms": disruption.silent_ns / NS_PER_MS,
        },
    }


def _causes(causes: Counter[Cause]) -> dict[str, int]:
    """Return how many there were of which cause, the most frequent first."""
    return {cause.value: times for cause, times in causes.most_common()}


def _price(price: TrialPrice) -> dict[str, object]:
    return {
        "processes": price.processes,
        "resident_bytes": price.resident_bytes,
        "cpu_s_per_change": price.cpu_s,
        "old_generations": price.replaced,
        "lived_on_ms": None if price.lived_on_s is None else price.lived_on_s * 1000,
        "left": price.left,
        "on_old": dict(price.on_old),
    }

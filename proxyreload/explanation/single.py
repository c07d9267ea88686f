"""One loss in full."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import attrs

from proxyreload.errors import UsageError
from proxyreload.explanation.causewords import cause_words, section
from proxyreload.explanation.heading import named
from proxyreload.explanation.moments import Case, moments
from proxyreload.explanation.passages import Passage, RequestRow
from proxyreload.explanation.quantity import counted, lasted, since
from proxyreload.explanation.screen import advice, labelled, paragraph, whose
from proxyreload.explanation.swimlanes import swimlanes
from proxyreload.ledger.fatewords import fate_words
from proxyreload.record.lossrows import LossRow
from proxyreload.system.untrusted import line_of

#: What else was lost so near to it is told, too.
NEAR_US = 100_000
_US_PER_S = 1_000_000
#: Sorts that are named.
_NAMED = 6


@attrs.frozen
class Company:
    """What else was lost within `NEAR_US`: by cause and kind."""

    counts: Mapping[tuple[str, str], int]

    def line(self) -> str:
        """Say it."""
        total = sum(self.counts.values())
        if not total:
            return f"no other request was lost within {lasted(NEAR_US)} of it"
        most = sorted(self.counts.items(), key=lambda item: -item[1])
        told = [f"{number:,} {kind}, {cause}" for (cause, kind), number in most[:_NAMED]]
        told += [f"and {len(most) - _NAMED} more sorts"] if len(most) > _NAMED else []
        others = "1 other" if total == 1 else f"{total:,} others"
        return f"{others} within {lasted(NEAR_US)} of it: {'; '.join(told)}"


def find_loss(losses: Iterable[LossRow], number: int, file: str) -> LossRow:
    """Return a row by its number, from 1; raises `UsageError` where there are fewer."""
    last = 0
    for loss in losses:
        last = loss.number
        if last == number:
            return loss
    msg = f"--loss {number}: {file} has {last:,} rows"
    raise UsageError(msg)


def company(losses: Iterable[LossRow], of: LossRow) -> Company:
    """Return what else was lost near to one."""
    counts: Counter[tuple[str, str]] = Counter()
    for loss in losses:
        if abs(loss.time_us - of.time_us) <= NEAR_US and loss.number != of.number:
            shape = loss.cause, loss.kind
            counts[shape if len(counts) < _SHAPES or shape in counts else ("other causes", "others")] += 1
    return Company(counts)


#: A file that has more is none of ours.
_SHAPES = 5000


def single(case: Case, near: Company, helps: str, title: str, width: int) -> list[str]:
    """Return the lines of one loss: every column, its sequence, the rows around it, what else was lost."""
    loss = case.loss
    what = cause_words(loss.cause).what
    lines = paragraph(f"loss {loss.number}: {loss.cause}" + (f", {what}" if what else ""), width)
    lines.append("")
    for label, text in _columns(case):
        lines += labelled(label, text, width)
    lines.append("")
    lines += swimlanes(moments(case, full=True), case.zero_us, width)
    lines.append("")
    lines += _rows(case.passage, case, width)
    lines.append("")
    lines += paragraph(near.line(), width)
    cure = cause_words(loss.cause).cure
    lines += paragraph(f"cure: {cure} ({section(loss.cause)})" if cure else f"see {section(loss.cause)}", width)
    lines = [line_of(line)[:width] for line in lines]
    return [*lines, *advice(title, helps, width)]


def _columns(case: Case) -> Iterator[tuple[str, str]]:
    loss = case.loss
    yield "who", whose(case)
    yield "request", f"number {loss.request} of its client" if loss.request else "not known"
    yield "failure", loss.failure or "none that its client saw"
    yield "over", _connection(case)
    yield "fate", fate_words(loss.fate).one
    yield "when", _when(case)
    yield (
        "held by",
        f"generation {loss.generation} of the proxy's processes"
        if loss.generation
        else "which of the proxy's processes is not known",
    )
    yield "seen", loss.evidence or "nothing more"


def _connection(case: Case) -> str:
    loss = case.loss
    if not case.over:
        return "no connection"
    told = [case.over]
    if loss.carried is not None:
        told.append(
            f"which had carried {counted(loss.carried, 'request')}" if loss.carried else "which had carried nothing"
        )
    if loss.rested_us:
        told.append(f"and had rested for {lasted(loss.rested_us)}")
    return ", ".join(told)


def _when(case: Case) -> str:
    loss, change = case.loss, case.change
    told = f"{loss.time_us / _US_PER_S:,.6f} s after the clients had started"
    if change is None:
        return f"{told}, over change {loss.change}" if loss.change else f"{told}, before any change"
    if loss.since_change_us is None:
        return f"{told}, over {named(change)}"
    what = "its request was sent" if loss.failed else "that was"
    side = "after" if loss.since_change_us >= 0 else "before"
    return f"{told}; {what} {lasted(abs(loss.since_change_us))} {side} {named(change)}, was requested"


def _rows(passage: Passage | None, case: Case, width: int) -> list[str]:
    """Return what data.csv has of the same connection, and what its client sent next."""
    if passage is None:
        return ["data.csv has no such request"]
    rows = [*passage.before, passage.row, *passage.after]
    over = case.over or "no connection"
    lines = paragraph(f"{over} of client {passage.row.client} in data.csv, around it:", width)
    lines += _table(rows, passage.row, case.zero_us)
    if not passage.after:
        lines += ["nothing was sent over it any more"] if passage.row.connection is not None else []
    other = passage.elsewhere
    if other is not None:
        how = "was lost, too" if other.failure else "was answered"
        where = f"connection {other.connection}" if other.connection is not None else "no connection"
        sent = "" if other.written_us is None else f", sent at {since(other.written_us - case.zero_us)}"
        lines += paragraph(f"the client's next, request {other.number} over {where}{sent}, {how}", width)
    return lines


def _table(rows: Iterable[RequestRow], lost: RequestRow, zero_us: int) -> Iterator[str]:
    yield f"     {'request':>7} {'sent':>12} {'ended':>12}  {'backend':<7}  outcome"
    for row in rows:
        mark = "->" if row is lost else ""
        sent = "" if row.written_us is None else since(row.written_us - zero_us)
        outcome = row.failure or row.status
        times = f"{sent:>12} {since(row.time_us - zero_us):>12}"
        yield f"  {mark:<2} {row.number:>7} {times}  {row.instance or '-':<7}  {outcome}"

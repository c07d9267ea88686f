"""The evidence of a loss in a few words, as ``losses.csv`` has it: parts that are divided by semicolons."""

import re
from collections.abc import Iterator, Sequence

from proxyreload.history.events import UNCLEAN, CutExchange, Said
from proxyreload.history.failures import MESSAGES, MID_SESSION, STREAM_RESET, TURNED_AWAY
from proxyreload.ledger.cause import Evidence
from proxyreload.system.clock import NS_PER_MS, NS_PER_S

#: No longer than this with what the proxy said, which stands where there is room.
EVIDENCE_LIMIT = 400
#: Lines of the proxy's, and how much of each; what has no room for so much is left out.
LINES_AT_MOST, LINE_LIMIT, LINE_AT_LEAST = 2, 110, 60
#: Of these the client's own words say by which code, or which GOAWAY; or how a session ended, and what was unanswered.
_SAID_BY_CLIENTS = (STREAM_RESET, TURNED_AWAY, *MID_SESSION, *MESSAGES)
_NUMBERS = re.compile(r"\d+")


def told(evidence: Evidence) -> str:
    """Return who had it, what was closed when, what the kernel and the proxy say of that, and who was gone."""
    parts = [*_connection(evidence), *_ending(evidence), *_backends(evidence)]
    return _with_lines("; ".join(parts), evidence)


def _connection(evidence: Evidence) -> Iterator[str]:
    exchange, request = evidence.exchange, evidence.request
    if 0 < request.opened_ns < evidence.setting.requested_ns:
        yield "connection from before the change"
    if evidence.held is not None:
        own, newest = evidence.held
        yield f"held by generation {own}" + (f", the newest was {newest}" if newest > own else "")
    if exchange.carried:
        yield f"it had carried {exchange.carried} and rested for {request.rested_ns / NS_PER_MS:.1f} ms"


def _ending(evidence: Evidence) -> Iterator[str]:
    exchange, cut = evidence.exchange, evidence.cut
    if exchange.written_ns:
        yield f"{exchange.failure} {(exchange.ended_ns - exchange.written_ns) / NS_PER_MS:.1f} ms after sending"
    if exchange.failure in _SAID_BY_CLIENTS and exchange.message:
        yield _undivided(exchange.message)
    elif UNCLEAN in exchange.message:
        yield f"closed {UNCLEAN}"
    for parting in evidence.partings:
        before_ms = (exchange.ended_ns - parting.at_ns) / NS_PER_MS
        yield f"{parting.words}, with {parting.open} open, {before_ms:.1f} ms before"
    if evidence.own_answer and exchange.message:
        yield f"its page: {_undivided(exchange.message)}"
    if evidence.stood_still:
        yield f"for {evidence.stood_ns / NS_PER_MS:.1f} ms of that proxyreload itself stood still"
    if cut is not None:
        yield from _acknowledged(cut)


def _acknowledged(cut: CutExchange) -> Iterator[str]:
    """Tell what the kernel knew, and no more than follows from that."""
    last, size = cut.last_state, cut.size
    if last is None or not size or (cut.first_byte_ns and not last.unacknowledged):
        return
    left = min(last.unacknowledged, size)
    if last.fin and left:
        many = f"any of its {size} bytes" if left == size else f"{left} of its {size} bytes"
        yield f"FIN was sent before {many} had come{', then RST' if last.gone else ''}"
        return
    came = "FIN came" if last.fin else "no FIN came"
    if not left:
        yield f"{came}, and all its {size} bytes were acknowledged"
    else:
        many = f"none of its {size} bytes was" if left == size else f"{left} of its {size} bytes were not"
        yield f"{came}, and {many} acknowledged"


def _backends(evidence: Evidence) -> Iterator[str]:
    exchange, request, gone = evidence.exchange, evidence.request, evidence.gone
    if evidence.fate is not None and not request.visits:
        yield "no backend received it"
    for visit in request.visits.values():
        how_far = "answered" if visit.answered_ns else "carried out" if visit.executed_ns else "received in part"
        yield f"backend {visit.instance}: {how_far}{', given up' if visit.given_up_ns else ''}"
    if gone is not None:
        since_s = (exchange.ended_ns - gone.gone_ns) / NS_PER_S
        what = "removed, and gone" if gone.removed_ns else "gone"
        yield f"backend {gone.instance} was {what} for {since_s:.2f} s by its end"


def _undivided(text: str) -> str:
    """Return words of others without what divides the parts."""
    return text.replace("; ", ", ")


def _with_lines(text: str, evidence: Evidence) -> str:
    """Add the lines of the proxy's that say most, in the order in which they were said, as far as there is room."""
    ended_ns = evidence.exchange.ended_ns
    room = EVIDENCE_LIMIT - len(text)
    chosen = []
    for said in _telling(evidence.said, evidence.exchange.front_port, ended_ns)[:LINES_AT_MOST]:
        side = "before" if said.at_ns <= ended_ns else "after"
        begin = f"; {abs(said.at_ns - ended_ns) / NS_PER_MS:.1f} ms {side} the proxy said: "
        limit = min(LINE_LIMIT, room - len(begin))
        if limit >= LINE_AT_LEAST:
            line = _undivided(said.text)
            line = line if len(line) <= limit else f"{line[: limit - 1]}…"
            chosen.append((said.at_ns, begin + line))
            room -= len(begin) + len(line)
    return text + "".join(part for _at_ns, part in sorted(chosen))


def _telling(said: Sequence[Said], front_port: int, ended_ns: int) -> list[Said]:
    """Return the lines, first those that have the client's port among their numbers, then the nearest."""
    port = str(front_port)

    def has_port(text: str) -> bool:
        return bool(front_port) and port in text and port in _NUMBERS.findall(text)

    return sorted(said, key=lambda each: (not has_port(each.text), abs(each.at_ns - ended_ns), each.at_ns))

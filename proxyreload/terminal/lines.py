"""Lines of the terminal's log."""

from proxyreload.history.events import (
    BackendKilled,
    BackendLeaving,
    Change,
    Drained,
    Exchange,
    FrontClosed,
    LeftUndone,
    Phase,
    RateChanged,
)
from proxyreload.history.failures import UNSOLICITED
from proxyreload.record.csvfile import status_text
from proxyreload.system.clock import NS_PER_S
from proxyreload.verdict.judgement import by_class
from proxyreload.verdict.tally import Tallies


def clock_text(at_ns: int, start_ns: int) -> str:
    """Return seconds since the start, to the µs."""
    return f"{(at_ns - start_ns) / NS_PER_S:11.6f}"


def exchange_line(exchange: Exchange, start_ns: int, note: str = "") -> str:
    """Return one exchange, as a line in columns; the last is the kind, where it is not of the plain clients."""
    who = f"{'probe' if exchange.probe else 'client'} {exchange.client}"
    front = f"front {exchange.front_port or '-'}"
    back = f"backend {exchange.instance or '-'} back {exchange.back_port or '-'}"
    line = f"{clock_text(exchange.ended_ns, start_ns)}  {who:<10} {front:<12} {back:<24} {status_text(exchange)}"
    return "  ".join(filter(None, (line, "" if exchange.plain else exchange.kind, note)))


def unsolicited_line(closed: FrontClosed, start_ns: int) -> str:
    """Return what came over an idle connection."""
    who = f"{'probe' if closed.probe else 'client'} {closed.client}"
    when = clock_text(closed.closed_ns, start_ns)
    return f"{when}  {who:<10} front {closed.front_port:<6} {UNSOLICITED} while idle: {closed.message}"


def leaving_line(leaving: BackendLeaving, start_ns: int) -> str:
    """Return the line of a removed backend that leaves."""
    return f"{clock_text(leaving.at_ns, start_ns)}  backend {leaving.instance} leaves"


def killed_line(killed: BackendKilled, start_ns: int) -> str:
    """Return that a backend is gone."""
    return f"{clock_text(killed.at_ns, start_ns)}  backend {killed.instance} killed"


def rate_line(changed: RateChanged, start_ns: int) -> str:
    """Return the new rate."""
    rate = "closed loop" if changed.rate_per_s is None else f"{changed.rate_per_s:g}/s"
    return f"{clock_text(changed.at_ns, start_ns)}  rate: {rate}"


def change_line(change: Change, start_ns: int) -> str:
    """Return how far a change has come."""
    line = (
        f"{clock_text(change.at_ns, start_ns)}  change {change.number}: {change.name} ({change.mechanism}) "
        f"{change.phase.value}"
    )
    return f"{line}: {change.message}" if change.phase is Phase.FAILED and change.message else line


def drained_line(drained: Drained, start_ns: int) -> str:
    """Return that what had begun at a removed backend has ended."""
    line = f"{clock_text(drained.at_ns, start_ns)}  change {drained.number}: {drained.name} drained"
    told = by_class(drained.kinds)
    return f"{line} of {told}" if told else line


def undone_line(undone: LeftUndone, start_ns: int) -> str:
    """Return what could not be done after a change."""
    return f"{clock_text(undone.at_ns, start_ns)}  left undone: {undone.what}: {undone.reason}"


def kinds_line(tallies: Tallies) -> str:
    """Return what each kind has lost of what it sent, those first that lost something; empty if there is only one."""
    if not tallies.several:
        return ""
    told = sorted(tallies.by_kind.items(), key=lambda item: not item[1].lost)
    return f"lost/sent: {'  '.join(f'{kind} {tally.lost}/{tally.exchanges}' for kind, tally in told)}"

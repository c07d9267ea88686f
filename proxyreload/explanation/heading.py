"""What a run came to, and with which traffic: no verdict stands without that."""

from collections.abc import Iterator

from proxyreload.explanation.causewords import section
from proxyreload.explanation.quantity import counted, listed, times
from proxyreload.ledger.cause import Cause
from proxyreload.record.rundata import Change, Record, Sent

_US_PER_S = 1_000_000
#: Changes that are named.
_NAMED = 3
#: Of the proxy's own words, some of which tell when it was built too, and where it lives.
_VERSION_WORDS = 3


def heading(record: Record) -> Iterator[str]:
    """Yield the sentence of the verdict, the traffic that it stands for, and which kinds lost how many."""
    yield f"{record.verdict}: {_outcome(record)}"
    yield f"traffic, clients by kind: {_traffic(record)}"
    lost = _who_lost(record)
    if lost:
        yield f"lost: {lost}"


def nothing_lost(record: Record) -> Iterator[str]:
    """Yield what it means that nothing was."""
    if record.verdict == "racy":
        yield (
            "Connections that rested were closed unannounced all the same: who is farther away, or sends a moment "
            f"later, loses a request ({section(Cause.KEEP_ALIVE_RACE.value)})."
        )
    if record.detection_limit:
        yield record.detection_limit


def named(change: Change) -> str:
    """Return ``change 2, remove backend 0``."""
    return f"change {change.number}, {change.what}"


def _outcome(record: Record) -> str:
    """Say how many were lost, and first whatever else the verdict rests on."""
    total = counted(record.exchanges, "request")
    were = "was" if record.failure == 1 else "were"
    lost = f"{record.failure:,} of {total} {were} lost" if record.failure else f"none of {total} was lost"
    if record.verdict in ("invalid", "ineffective") or (record.verdict == "lossy" and not record.failure):
        lost = f"{'; '.join(record.reasons) or 'no reason was recorded'}. {lost[0].upper()}{lost[1:]}"
    if not record.changes:
        return f"{lost}; {record.title} was not changed"
    told = f"{lost} while {record.title} was changed {times(len(record.changes))}"
    if len(record.changes) <= _NAMED:
        told += f": {', '.join(change.what for change in record.changes)}"
    return told


def _traffic(record: Record) -> str:
    """Say who sent, the nearest first, and for how long."""
    by_rtt_ms: dict[float, list[str]] = {}
    for sent in record.traffic:
        if sent.clients:
            by_rtt_ms.setdefault(sent.rtt_ms, []).append(_group(sent))
    told = [f"{f'{rtt_ms:g} ms away: ' if rtt_ms else ''}{listed(who, 20)}" for rtt_ms, who in by_rtt_ms.items()]
    who = "; ".join([*told, *(["over TLS"] if record.url.startswith("https:") else [])]) or "whose is not recorded"
    words = " ".join(record.version.split()[:_VERSION_WORDS])
    version = f", through {words}" if words else ""
    return f"{who}; for {record.duration_us / _US_PER_S:,.1f} s{version}"


def _group(sent: Sent) -> str:
    """Return ``40 idle (rest 1-5 s)``."""
    if sent.probe:
        return f"{sent.rate_per_s or 0:g} new connections a second"
    gap = sent.values.get("gap")
    told = [f"rest {gap[0]:g}-{gap[1]:g} s"] if isinstance(gap, tuple) else []
    told += [f"rest {gap:g} s"] if isinstance(gap, int | float) else []
    told += [f"{sent.rate_per_s:g}/s"] if sent.rate_per_s is not None and not sent.values else []
    return f"{sent.clients:,} {sent.kind}" + (f" ({', '.join(told)})" if told else "")


def _who_lost(record: Record) -> str:
    """Say which kinds lost how many of what they sent; what was aimed at the closing of connections stands apart."""
    lost: list[str] = []
    aimed: list[str] = []
    none: list[str] = []
    for kind, told in record.kinds.items():
        if not told.exchanges:
            continue
        if not told.lost:
            none.append(kind)
        else:
            (aimed if told.aimed else lost).append(f"{kind} {told.lost:,} of {told.exchanges:,}")
    if not (lost or aimed):
        return ""
    said = [listed(lost, 20)] if lost else []
    said += [f"for proof: {listed(aimed)}"] if aimed else []
    said += [f"no loss: {listed(none, 20)}"] if none else []
    return "; ".join(said)

"""What a report says of what lived on after a change: old processes of the proxy, and what drains."""

from collections.abc import Iterator, Mapping

from proxyreload.record.livedon import DrainTold, GenerationTold
from proxyreload.record.rundata import Change, Record

#: Generations, and drains, that are named.
NAMED_AT_MOST = 6


def by_kind(kinds: Mapping[str, int]) -> str:
    """Return ``2 stream, 1 slow``, the most frequent first."""
    told = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {kind}" for kind, number in told if number)


def lived_on_us(generation: GenerationTold, end_us: int) -> int:
    """Return for how long a generation lived beside a newer one."""
    if generation.replaced_us is None:
        return 0
    return max(0, (end_us if generation.until_us is None else generation.until_us) - generation.replaced_us)


def generation_words(generation: GenerationTold, end_us: int, change: int | None) -> str:
    """Say how long a generation lived on after it was replaced, and for whom."""
    lasted_s = lived_on_us(generation, end_us) / 1e6
    after = "" if change is None else f" after change {change}"
    told = f"Generation {generation.number} lived on for {lasted_s:.1f} s{after}"
    if generation.until_us is None:
        told += ", to the end of the run"
    first = next((kinds for _at_us, kinds in generation.on_it if kinds), None)
    last = next((kinds for _at_us, kinds in reversed(generation.on_it) if kinds), None)
    if first is None or last is None:
        return f"{told}; no client was seen on it"
    told += f"; on it were {by_kind(first)}"
    return told if first == last else f"{told}, at the last look {by_kind(last)}"


def drain_words(change: Change, drain: DrainTold) -> str:
    """Say for how long a removed backend was needed, and by whom."""
    told = f"Backend {change.instance} drained"
    if drain.at_us is None:
        return f"{told} still when the run ended: {by_kind(drain.left)} of {by_kind(drain.under_way)}"
    failed = f", {drain.failed:,} of them failed" if drain.failed else ""
    lasted_s = (drain.at_us - change.settled_us) / 1e6
    return f"{told} for {lasted_s:.1f} s after change {change.number}: {by_kind(drain.under_way)}{failed}"


def lived_words(record: Record) -> str:
    """Say all that, in a few sentences."""
    return " ".join(f"{each}." for each in _told(record))


def _told(record: Record) -> Iterator[str]:
    end_us = record.duration_us
    changes = {generation.number: generation.change for generation in record.generations}
    old = [each for each in record.generations if each.replaced_us is not None]
    for each in old[:NAMED_AT_MOST]:
        yield generation_words(each, end_us, changes.get(each.number + 1))
    if len(old) > NAMED_AT_MOST:
        yield f"So did {len(old) - NAMED_AT_MOST:,} more generations"
    drained = [(each, each.drained) for each in record.changes if each.drained is not None and each.drained.under_way]
    for change, drain in drained[:NAMED_AT_MOST]:
        yield drain_words(change, drain)
    if len(drained) > NAMED_AT_MOST:
        yield f"So did {len(drained) - NAMED_AT_MOST:,} more removed backends"

"""Times to proof, as Markdown."""

from collections.abc import Iterator
from math import isinf

from benchmarks.proof import ALONE, CONTROL, DEFAULT, RACES, REACH_FOR, Proof, Proofs
from benchmarks.table import figure, lines_of

_NEVER = "never"


def proof(measured: Proofs) -> Iterator[str]:
    """Return every program's tries, and ours beside the best of the peers."""
    tried = ("race", "shown by", "in", "seconds", "requests", "fewest to most")
    yield from lines_of(tried, map(_tried, measured.proofs))
    yield ""
    beside = ("race", "ours", "requests", "best of the peers", "its requests", "ratio", "reach for", "")
    yield from lines_of(beside, [_beside(measured, race, name) for race in RACES for name in (DEFAULT, ALONE)])
    liars = [it.name for it in measured.proofs if it.race == CONTROL and it.shown]
    yield f"\nWhere nothing is lost ({CONTROL}), a loss was shown by: {', '.join(liars) or 'nobody'}."
    if measured.missing:
        yield f"\nNot installed, and left out: {', '.join(measured.missing)}."
    for what, trouble in measured.troubles.items():
        yield f"\nSome try failed of {what}: {trouble}."


def _tried(it: Proof) -> tuple[str, ...]:
    seconds = _NEVER if isinf(it.seconds) else f"{it.seconds:.2f}"
    requests = _NEVER if isinf(it.requests) else f"{it.requests:,.0f}"
    return it.race, it.name, f"{it.shown} of {len(it.tries)}", seconds, requests, _spread(it)


def _spread(it: Proof) -> str:
    """Return the fewest and the most of the tries that showed it, or how many were too few."""
    shown = sorted(each.requests for each in it.tries if each.shown)
    return f"{shown[0]:,} to {shown[-1]:,}" if shown else f"not in {it.sent:,.0f}"


def _beside(measured: Proofs, race: str, name: str) -> tuple[str, ...]:
    """Return ours beside the peer that took the fewest requests; a ratio is a least one where no peer saw anything."""
    best, ours = measured.best(race), measured.of(race, name)
    asked = f"{REACH_FOR:g}"
    if best is None or ours is None:
        return (race, name, "not measured", "", "", "", asked, "")
    never = isinf(best.requests)
    theirs = f"not in {best.sent:,.0f}" if never else f"{best.requests:,.0f}"
    if isinf(ours.requests):
        return (race, name, _NEVER, best.name, theirs, "", asked, "missed")
    ratio = (best.sent if never else best.requests) / ours.requests
    told = f"over {figure(ratio)}" if never else figure(ratio)
    reached = "reached" if never or ratio >= REACH_FOR else "missed"
    return (race, name, f"{ours.requests:,.0f}", best.name, theirs, told, asked, reached)

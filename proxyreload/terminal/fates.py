"""What became of the requests that were lost, and why, in two lines."""

from collections.abc import Iterator

from proxyreload.ledger.fate import Fate
from proxyreload.verdict.observation import Observation

#: Of those that were lost.
_WORDS = {
    Fate.LOST_NEVER_ARRIVED: "never reached a backend (safe to repeat)",
    Fate.LOST_UNEXECUTED: "reached one, but were not carried out (safe to repeat)",
    Fate.LOST_EXECUTED: "were carried out (their clients cannot know)",
    Fate.LOST_EXECUTED_TWICE: "were carried out twice",
    Fate.LOST_UNKNOWN: "nobody knows: a backend died before it had told",
}


def fate_lines(observation: Observation) -> Iterator[str]:
    """Yield what the backends say of the losses, and their causes; nothing where nothing was lost."""
    ledger, causes = observation.ledger, observation.causes
    if not causes:
        return
    total = ledger.total
    fates = ", ".join(f"{total[fate]} {words}" for fate, words in _WORDS.items() if total[fate])
    if not ledger.hosted:
        yield "fates: not known, for the backends are somebody else's"
    elif fates:
        yield f"fates of the lost: {fates}"
    yield f"causes: {', '.join(f'{number} {cause.value}' for cause, number in causes.most_common())}"

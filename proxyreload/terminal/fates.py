"""What became of the requests that were lost, and why, in two lines."""

from collections.abc import Iterator

from proxyreload.ledger.fate import LOST
from proxyreload.ledger.fatewords import fate_words
from proxyreload.verdict.observation import Observation


def fate_lines(observation: Observation) -> Iterator[str]:
    """Yield what the backends say of the losses, and their causes; nothing where nothing was lost."""
    ledger, causes = observation.ledger, observation.causes
    if not causes:
        return
    total = ledger.total
    fates = ", ".join(f"{total[fate]} {fate_words(fate.value).listed}" for fate in LOST if total[fate])
    if not ledger.hosted:
        yield "fates: not known, for the backends are somebody else's"
    elif fates:
        yield f"fates of the lost: {fates}"
    yield f"causes: {', '.join(f'{number} {cause.value}' for cause, number in causes.most_common())}"

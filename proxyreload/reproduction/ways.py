"""In which way a loss can be seen again, by its cause; and what the protocol says of it."""

from collections.abc import Mapping

import attrs

from proxyreload.errors import UsageError
from proxyreload.history import failures
from proxyreload.ledger.cause import Cause
from proxyreload.reproduction.knownloss import KnownLoss

_RFC = "https://www.rfc-editor.org/rfc/rfc9112"


@attrs.frozen
class Way:
    """One way of timing requests around a change."""

    name: str  #: as the script knows it
    connections: int  #: that rest, or carry a request, meanwhile
    done: str  #: what the script does, for whoever reads of it
    expected: str  #: what should happen in place of the loss, Markdown
    alike: frozenset[str] = frozenset()  #: failures that differ by chance alone


RACE = Way(
    "race",
    200,
    "It lets idle connections rest, makes the change, and at the first FIN that it sees on any of them sends a request "
    "over all the others. Each looks at its own connection right before it sends: where the end has been seen, nothing "
    "is sent, so that a connection known to be closed never counts.",
    "A proxy may close an idle connection at any time, and a client has to be ready for that "
    f"([RFC 9112, 9.3.1]({_RFC}#section-9.3.1), [9.5]({_RFC}#section-9.5)). A request that was on its way meanwhile is "
    "lost all the same, and by itself a client may only repeat it if its method is idempotent. What spares it: "
    "announce the end with `Connection: close` in an answer before "
    f"([9.3]({_RFC}#section-9.3), [9.6]({_RFC}#section-9.6)), or go on reading for a while after the last answer, and "
    f"answer what still comes. [9.6]({_RFC}#section-9.6) also has the closing in stages, without which what was on its "
    "way is answered by a reset.",
    failures.RACES,
)
REST = Way(
    "rest",
    20,
    "It lets idle connections rest across the change, waits until new connections show it, lets the removed backend go "
    "as it went in the run, and then sends one request over each of the connections.",
    "The connections persist ([RFC 9112, 9.3](" + _RFC + "#section-9.3)), and the change was acknowledged before the "
    "backend went: what is sent then should come to a backend that the new configuration names, or the connections "
    f"should have been closed before, announced ([9.6]({_RFC}#section-9.6)). A request that a server has refused has "
    "not been carried out, so that another server can have it whatever its method is.",
)
UNDER_WAY = Way(
    "under way",
    20,
    "It sends a request over each of its connections, which backends answer after a while, and makes the change "
    "meanwhile.",
    "What is under way when the change is made is answered, and the connection closed after that, announced with "
    f"`Connection: close` ([RFC 9112, 9.6]({_RFC}#section-9.6)). An answer that is cut is incomplete "
    f"([8]({_RFC}#section-8)), and whether a request without an answer was carried out the client cannot know "
    f"([9.3.1]({_RFC}#section-9.3.1)).",
    frozenset({*failures.RACES, failures.RESET_MID_RESPONSE, failures.TRUNCATED}),
)
#: By the cause, where a status was the failure, and where the connection ended.
_ANSWERED: Mapping[Cause, Way] = {
    Cause.STALE_GENERATION: REST,
    Cause.BACKEND_GONE: REST,
}
_ENDED: Mapping[Cause, Way] = {
    Cause.KEEP_ALIVE_RACE: RACE,
    Cause.OLD_PROCESS_KILLED: UNDER_WAY,
    Cause.PROXY_CUT: UNDER_WAY,
    Cause.BACKEND_GONE: UNDER_WAY,
    Cause.REPEAT_REFUSED: UNDER_WAY,
}


def way_of(loss: KnownLoss) -> Way:
    """Return how it can be seen again; raises `UsageError` if no way is known."""
    way = (_ANSWERED if loss.status else _ENDED).get(loss.cause)
    if way is None:
        what = f"{loss.cause.value} ({loss.failure})"
        msg = f"loss {loss.number} cannot be reproduced yet: no script knows how to bring about: {what}"
        raise UsageError(msg)
    return way


def counts_as(loss: KnownLoss, way: Way) -> list[str]:
    """Return the failures that are this loss again."""
    if loss.failure in way.alike or not loss.status:
        return sorted(way.alike | {loss.failure})
    return [loss.failure]

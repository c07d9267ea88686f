"""In which way a loss can be seen again, by its cause; and what the protocol says of it."""

from collections.abc import Mapping

import attrs

from proxyreload.errors import UsageError
from proxyreload.history import failures
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.reproduction.knownloss import KnownLoss

_RFC = "https://www.rfc-editor.org/rfc/rfc9112"
_SEMANTICS = "https://www.rfc-editor.org/rfc/rfc9110"


_FRESH = frozenset({failures.RESET_FRESH, failures.CLOSED_FRESH})


@attrs.frozen
class Way:
    """One way of timing requests around a change."""

    name: str  #: as the script knows it
    connections: int  #: that rest, or carry a request, meanwhile
    done: str  #: what the script does, for whoever reads of it
    expected: str  #: what should happen in place of the loss, Markdown
    alike: frozenset[str] = frozenset()  #: failures that differ by chance alone
    killed: bool = False  #: the removed backend is killed with what it has: the loss is by that


RACE = Way(
    "race",
    200,
    "It lets idle connections rest, makes the change, and at the first FIN that it sees on any of them sends a request "
    "over all the others. Each looks at its own connection right before it sends: where the end has been seen, nothing "
    "is sent, so that a connection known to be closed never counts. Its clients are as far away as the run's: what "
    "they send and see waits for half a round trip.",
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
    frozenset({*failures.RACES, *_FRESH, failures.RESET_MID_RESPONSE, failures.TRUNCATED}),
)
AT_KILLED = attrs.evolve(
    UNDER_WAY,
    done="It sends a request over each of its connections, which backends answer after a while, makes the change "
    "meanwhile, and kills the removed backend with those that it has.",
    expected="A backend that is killed takes what it had with it. What the proxy had sent to it may have been carried "
    f"out, so that it must not send it again if its method is not idempotent ([RFC 9110, 9.2.2]({_SEMANTICS}"
    "#section-9.2.2)); a GET another backend can have, and in place of an answer that did not come a client should "
    f"hear 502 ([15.6.3]({_SEMANTICS}#section-15.6.3)), not the end of its connection.",
    killed=True,
)
TWICE = attrs.evolve(
    AT_KILLED,
    expected="A proxy must not by itself repeat a request whose method is not idempotent, and may repeat others "
    f"([RFC 9110, 9.2.2]({_SEMANTICS}#section-9.2.2)): for a GET this is no error, but whoever counts what is carried "
    "out should know of it.",
    alike=frozenset(),
)
_NEW_CONNECTIONS = (
    "It has requests sent over new connections, one after another by each of its clients, from before the change until "
    "the traffic shows it."
)
REFUSED = Way(
    "fresh",
    20,
    _NEW_CONNECTIONS,
    "There is somebody who listens at every moment: a successor starts before its predecessor ends, on the same "
    "socket, or beside it with `SO_REUSEPORT`.",
    frozenset({failures.REFUSED, failures.CONNECT_ERROR, failures.CONNECT_TIMEOUT}),
)
DROPPED = attrs.evolve(
    REFUSED,
    connections=100,
    expected="What has been opened and waits to be accepted is accepted by somebody: a listening socket is handed on, "
    "or its queue is emptied before it is closed ([listen(2)](https://man7.org/linux/man-pages/man2/listen.2.html)).",
    alike=_FRESH,
)
NEW = attrs.evolve(
    REFUSED,
    expected="A proxy that listens can serve, and knows the backends that it is to serve from: each of these "
    "connections was opened for this request. What an answer of its own says: "
    f"[RFC 9110, 15.5]({_SEMANTICS}#section-15.5), [15.6]({_SEMANTICS}#section-15.6).",
    alike=frozenset(),
)
#: By the cause alone.
_BY_CAUSE: Mapping[Cause, Way] = {
    Cause.KEEP_ALIVE_RACE: RACE,
    Cause.STALE_GENERATION: REST,
    Cause.OLD_PROCESS_KILLED: UNDER_WAY,
    Cause.PROXY_CUT: UNDER_WAY,
    Cause.LISTEN_QUEUE_DROPPED: DROPPED,
    Cause.NOBODY_LISTENED: REFUSED,
    Cause.PROXY_REFUSED: NEW,
}
#: Where a backend was killed with the request, by the cause.
_BY_KILL: Mapping[Cause, Way] = {
    Cause.BACKEND_GONE: AT_KILLED,
    Cause.REPEAT_REFUSED: AT_KILLED,
    Cause.REPEATED: TWICE,
}
_ARRIVED = (Fate.LOST_UNEXECUTED, Fate.LOST_EXECUTED, Fate.LOST_EXECUTED_TWICE, Fate.ANSWERED_TWICE, Fate.LOST_UNKNOWN)


def way_of(loss: KnownLoss, *, killed: bool) -> Way:
    """Return how it can be seen again; `killed`: removed backends were. Raises `UsageError` if no way is known."""
    way = _way_of(loss, killed=killed)
    if way is None:
        what = f"{loss.cause.value} ({loss.failure})"
        msg = f"loss {loss.number} cannot be reproduced yet: no script knows how to bring about: {what}"
        raise UsageError(msg)
    return way


def _way_of(loss: KnownLoss, *, killed: bool) -> Way | None:
    if loss.failure in failures.MID_SESSION:  # a script speaks HTTP alone
        return None
    arrived = loss.fate in _ARRIVED
    if killed and arrived and loss.cause in _BY_KILL:
        return _BY_KILL[loss.cause]
    if loss.cause is Cause.BACKEND_GONE:
        return REST if loss.status else UNDER_WAY
    if loss.cause is Cause.PROXY_STALLED:
        return UNDER_WAY if arrived else REST if loss.carried else NEW
    return _BY_CAUSE.get(loss.cause)


def counts_as(loss: KnownLoss, way: Way) -> list[str]:
    """Return the failures that are this loss again."""
    return sorted(way.alike) if loss.failure in way.alike else [loss.failure]

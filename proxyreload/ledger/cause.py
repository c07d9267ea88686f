"""Why a request was lost: one cause of a closed list, told by ordered rules from evidence."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import attrs

from proxyreload.history import failures
from proxyreload.history.events import CutExchange, Exchange, Said, WentAway
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.unsettled import Unsettled
from proxyreload.system.clock import NS_PER_S


class Cause(Enum):
    """Each has a section in ``docs/causes.md``."""

    OURS = "ours"  #: the instrument's own doing
    KEEP_ALIVE_RACE = "keep-alive race"  #: the proxy closed a connection at rest while the request was on its way
    STALE_GENERATION = "stale generation"  #: what a change has replaced answered, or refused, over an older connection
    OLD_PROCESS_KILLED = "old process killed"  #: what a change has replaced was cut off with what it still had
    LISTEN_QUEUE_DROPPED = "listen queue dropped"  #: the connection was opened, and nobody took what was sent on it
    NOBODY_LISTENED = "nobody listened"  #: it could not be opened
    BACKEND_GONE = "backend gone"  #: the proxy sent it to one that had been removed, or its answer ended with one
    REPEAT_REFUSED = "repeat refused"  #: a backend failed it, and the proxy would not try another
    PROXY_REFUSED = "proxy refused"  #: the proxy answered by itself, 4xx or 5xx
    PROXY_CUT = "proxy cut it"  #: the proxy closed the connection with the request, or its answer, under way
    PROXY_STALLED = "proxy stalled"  #: the proxy said nothing until the client's time-out
    ANSWER_SPOILT = "answer spoilt"  #: the proxy passed on something else than the backend said
    REPEATED = "repeated by the proxy"  #: it was carried out again, without being asked
    TURNED_AWAY = "turned away"  #: it was not processed, as HTTP/2 says itself: it may be repeated
    MADE_UP = "made up"  #: it came to a backend, and nobody had sent it
    UNKNOWN = "unknown"


@attrs.frozen
class Gone:
    """A backend from whom nothing is to be had any more."""

    instance: str
    removed_ns: int  #: when the proxy had been told, 0: never
    gone_ns: int  #: when it left, or was killed
    killed: bool = False  #: with what it had; one that leaves ends that first


@attrs.frozen
class Setting:
    """What else was going on: the change that a loss is charged to, and the backends that are gone."""

    requested_ns: int = 0  #: 0: there was no change before
    applied_ns: int = 0  #: 0: not yet
    gone: Mapping[str, Gone] = attrs.field(factory=dict)


@attrs.frozen
class Evidence:
    """What is known of one request that failed."""

    exchange: Exchange
    request: Unsettled
    fate: Fate | None  #: None: the backends tell nothing
    setting: Setting
    held: tuple[int, int] | None = None  #: the generation that held its connection, and the newest by then
    stood_ns: int = 0  #: for how long of its time the instrument itself stood still
    said: Sequence[Said] = ()  #: what the proxy said around it
    partings: Sequence[WentAway] = ()  #: each GOAWAY on its connection, by its end

    @property
    def failure(self) -> str:
        """Its class."""
        return self.exchange.failure

    @property
    def own_answer(self) -> bool:
        """Whether the proxy answered by itself: with an error, and no backend's name."""
        return bool(self.exchange.status) and failures.is_refusal(self.failure) and not self.exchange.instance

    @property
    def about_backend(self) -> bool:
        """Whether the proxy answered by itself what may be about a backend: no 4xx, which is about the request.

        RFC 9110, 15.5 and 15.6. A 404 of a proxy without a route is no backend's, whichever have gone.
        """
        return self.own_answer and self.exchange.status // 100 != _CLIENT_ERROR

    @property
    def stood_still(self) -> bool:
        """Whether the instrument, and its backends with it, stood still for most of the time that its client waited."""
        return 2 * self.stood_ns > self.exchange.ended_ns - self.exchange.sent_ns

    @property
    def cut(self) -> CutExchange | None:
        """Its exchange, where the kernel was asked about the end of the connection."""
        return self.exchange if isinstance(self.exchange, CutExchange) else None

    @property
    def never_came(self) -> bool:
        """Whether nothing of it can have come to the proxy's host, before whose FIN nothing of it was acknowledged."""
        cut = self.cut
        last = cut.last_state if cut is not None else None
        return cut is not None and last is not None and last.fin and 0 < cut.size <= last.unacknowledged

    @property
    def from_before(self) -> bool:
        """Whether its connection was opened before the change, and it was sent, or ended, after that was applied."""
        opened_ns, setting = self.request.opened_ns, self.setting
        return 0 < opened_ns < setting.requested_ns and 0 < setting.applied_ns < self.exchange.ended_ns

    @property
    def replaced(self) -> bool:
        """Whether what held its connection had been replaced: by its process, where that is known."""
        return self.from_before if self.held is None else self.held[0] < self.held[1]

    @property
    def gone(self) -> Gone | None:
        """The backend that had it, or might have had it, and was gone before its end.

        One that has it and is gone; else, where none has it, any that the proxy may have tried.
        """
        ended_ns, gone = self.exchange.ended_ns, self.setting.gone
        had = [visit.instance for visit in self.request.visits.values()]
        candidates = [gone[each] for each in had if each in gone] if had else list(gone.values())
        left = [each for each in candidates if each.gone_ns <= ended_ns]
        return max(left, key=lambda each: each.gone_ns) if left else None

    @property
    def killed_with(self) -> bool:
        """Whether a backend was killed with it under way, that had got it while it was behind the proxy by right."""
        under_way = [each for each in self.request.visits.values() if not (each.answered_ns or each.given_up_ns)]
        return any(
            gone.killed and not 0 < gone.removed_ns < visit.received_ns
            for visit in under_way
            if (gone := self.setting.gone.get(visit.instance)) is not None
        )


def _nobody_was_there(evidence: Evidence) -> bool:
    """Whether client or proxy gave up what the instrument, standing still, neither answered nor heard."""
    if evidence.failure in _GIVEN_UP:
        return evidence.stood_still
    return evidence.own_answer and evidence.stood_still and evidence.stood_ns >= _PROXY_WAITS_NS


def _never_arrived(evidence: Evidence) -> bool:
    unknown = evidence.fate is Fate.LOST_UNKNOWN and evidence.never_came
    return evidence.fate in (Fate.LOST_NEVER_ARRIVED, None) or unknown


def _of(*classes: str) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.failure in classes


def _is_race(evidence: Evidence) -> bool:
    """Whether a connection at rest was closed, and no backend has heard of what was sent on it."""
    return evidence.failure in failures.RACES and _never_arrived(evidence)


def _had_nothing(evidence: Evidence) -> bool:
    return evidence.failure in _FRESH and _never_arrived(evidence)


def _died_with_its_backend(evidence: Evidence) -> bool:
    """Whether the proxy, which had sent it where it should and had no part of an answer yet, did not send it elsewhere.

    Whichever generation that is: what was under way before a removal goes by nothing that this has replaced.
    """
    return evidence.killed_with and (evidence.own_answer or evidence.failure in _UNANSWERED)


def _by_what_was_replaced(evidence: Evidence) -> bool:
    return evidence.own_answer and evidence.replaced


def _was_killed(evidence: Evidence) -> bool:
    """Whether what held the connection since before the change was ended, with the request under way."""
    return evidence.failure in _CUT and evidence.replaced


def _removed_was_asked(evidence: Evidence) -> bool:
    return evidence.about_backend and evidence.gone is not None and bool(evidence.gone.removed_ns)


def _not_repeated(evidence: Evidence) -> bool:
    """Whether the proxy gave up where a backend had failed the request."""
    given_up = any(visit.given_up_ns for visit in evidence.request.visits.values())
    return (evidence.about_backend and evidence.gone is not None) or (evidence.own_answer and given_up)


def _cut_with_backend(evidence: Evidence) -> bool:
    gone = evidence.gone
    return evidence.failure in _CUT and gone is not None and gone.killed and bool(evidence.request.visits)


#: Of statuses, RFC 9110, 15.
_CLIENT_ERROR = 4

_FRESH = (failures.RESET_FRESH, failures.CLOSED_FRESH)
_UNANSWERED = (*_FRESH, *failures.RACES)
_CUT = (
    *_UNANSWERED,
    failures.RESET_MID_RESPONSE,
    failures.TRUNCATED,
    failures.STREAM_RESET,
    *failures.MID_SESSION,
)
_SPOILT = (failures.WRONG_BODY, failures.MALFORMED, failures.TRAILERS_LOST, *failures.MESSAGES)
_GIVEN_UP = (failures.TIMEOUT, failures.CONNECT_TIMEOUT)
_NO_CONNECTION = (failures.REFUSED, failures.CONNECT_TIMEOUT, failures.CONNECT_ERROR)

#: A backend that took the connection is given up by no proxy sooner: what comes after a shorter stall is about another.
_PROXY_WAITS_NS = NS_PER_S

#: The first that holds names the cause.
_RULES: tuple[tuple[Cause, Callable[[Evidence], bool]], ...] = (
    (Cause.TURNED_AWAY, _of(failures.TURNED_AWAY)),
    (Cause.OURS, _of(failures.OWN_LIMIT, failures.ABORTED)),
    (Cause.OURS, _nobody_was_there),
    (Cause.KEEP_ALIVE_RACE, _is_race),
    (Cause.NOBODY_LISTENED, _of(*_NO_CONNECTION)),
    (Cause.LISTEN_QUEUE_DROPPED, _had_nothing),
    (Cause.REPEAT_REFUSED, _died_with_its_backend),
    (Cause.STALE_GENERATION, _by_what_was_replaced),
    (Cause.BACKEND_GONE, _removed_was_asked),
    (Cause.REPEAT_REFUSED, _not_repeated),
    (Cause.PROXY_REFUSED, lambda evidence: evidence.own_answer),
    (Cause.BACKEND_GONE, _cut_with_backend),
    (Cause.OLD_PROCESS_KILLED, _was_killed),
    (Cause.PROXY_CUT, _of(*_CUT)),
    (Cause.PROXY_STALLED, _of(failures.TIMEOUT)),
    (Cause.ANSWER_SPOILT, _of(*_SPOILT)),
)


def cause_of(evidence: Evidence) -> Cause:
    """Return why it was lost."""
    return next((cause for cause, holds in _RULES if holds(evidence)), Cause.UNKNOWN)

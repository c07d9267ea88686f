"""Each change, what was seen in its window, and whose window a moment falls into."""

from bisect import bisect_right
from collections import Counter

import attrs

from proxyreload.history.events import Change, Edited, Ending, Exchange, FrontClosed, change_name
from proxyreload.verdict.certificates import Rotation
from proxyreload.verdict.disruption import Disruption
from proxyreload.verdict.draining import Drain
from proxyreload.verdict.tally import Tallies


@attrs.define
class Closures:
    """Connections that the proxy closed."""

    front: dict[Ending, int] = attrs.field(factory=dict)
    #: By which word of its protocol a front connection was announced.
    words: Counter[str] = attrs.field(factory=Counter)
    back: int = 0  #: of backends that were not removed, carrying more than the probe's requests

    def closed(self, event: FrontClosed) -> None:
        """Count a front connection."""
        self.front[event.ending] = self.front.get(event.ending, 0) + 1
        if event.ending is Ending.ANNOUNCED and event.how != event.ending.value:
            self.words[event.how] += 1

    @property
    def unannounced(self) -> int:
        """Front connections that were closed while they rested, without a word before."""
        return self.front.get(Ending.IDLE, 0)

    @property
    def front_total(self) -> int:
        """All front connections."""
        return sum(self.front.values())


@attrs.define
class ObservedChange:
    """One change, and what was seen from its request to the next change's (its window)."""

    number: int
    action: str
    instance: str
    mechanism: str
    requested_ns: int
    applied_ns: int = 0
    refused: str = ""  #: the proxy's own words
    refused_ns: int = 0
    share_before: float = 0.0  #: the instance's part of the answers before the change
    first_answer_ns: int = 0
    last_answer_ns: int = 0
    answers: int = 0  #: from the instance, since the request
    stragglers: int = 0  #: from a removed instance, to what was sent after it was applied
    outdated: int = 0  #: failures answered over connections from before it, to what was sent after it was applied
    drain: Drain | None = None  #: of a removal that was applied: what had begun there before
    silence: int = 0  #: answers from others since its last one, to what was sent after a removal was applied
    begun_before: int = 0  #: such answers to what was sent before that: where that went says nothing
    closures: Closures = attrs.field(factory=Closures)
    kinds: Tallies = attrs.field(factory=Tallies)  #: what became of each kind of traffic in its window
    disruption: Disruption = attrs.field(
        default=attrs.Factory(lambda self: Disruption(self.requested_ns), takes_self=True)
    )
    answers_mark: int = 0  #: how many answers the run had had at its last one
    rotation: Rotation | None = None  #: of a change of the certificate
    route: str = ""  #: of an edit: the path that is asked for once that is applied
    edit: Edited | None = None  #: and how that was answered

    @property
    def name(self) -> str:
        """What it is called."""
        return change_name(self.action, self.instance)

    @property
    def exchanges(self) -> int:
        """Whose requests were written in its window."""
        return self.kinds.exchanges

    @property
    def failures(self) -> dict[str, int]:
        """Of those, by class."""
        return self.kinds.failures

    @property
    def over(self) -> bool:
        """Whether it was applied or refused."""
        return bool(self.applied_ns or self.refused)

    @property
    def drained_ns(self) -> int:
        """When the last of what had begun at a removed backend ended; 0 if that was before it was applied, or never."""
        drain = self.drain
        return drain.drained_ns if drain is not None and drain.last_ns else 0

    @property
    def effective_ns(self) -> int:
        """When the traffic first showed it, or last contradicted it; 0 if that was never.

        An added backend's first answer, a removed one's last; after a reload or an upgrade the first answer over a
        connection that was opened when it had been applied; when another certificate was first shown; when an edited
        route was answered as edited.
        """
        if self.route:
            return self.edit.at_ns if self.edit is not None and not self.edit.why_not else 0
        if self.rotation is not None:
            return self.rotation.shown_ns
        return self.last_answer_ns if self.action == "remove" else self.first_answer_ns

    def answered(self, exchange: Exchange, answers: int) -> None:
        """Note an answer from its instance, the run's `answers`-th.

        What was sent before a backend was added shows nothing: it may have begun there before its removal.
        """
        if self.action == "add" and exchange.sent_ns < self.requested_ns:
            return
        self.answers += 1
        if self.action == "remove" and self.applied_ns:
            if exchange.sent_ns <= self.applied_ns:
                return  # what began before may end there: that says nothing of where the proxy sends what is new
            self.stragglers += 1
        # One that broke off, or stalled until the client's time-out, counts when it began.
        answered_ns = exchange.first_byte_ns if exchange.failure and exchange.first_byte_ns else exchange.ended_ns
        self.answers_mark, self.begun_before = answers, 0
        self.last_answer_ns = max(self.last_answer_ns, answered_ns)
        if not self.first_answer_ns:
            self.first_answer_ns = answered_ns

    def is_removed_after(self, at_ns: int) -> bool:
        """Whether this is a removal that was applied after that."""
        return self.action == "remove" and bool(self.applied_ns) and self.applied_ns >= at_ns

    def passed(self, exchange: Exchange) -> None:
        """Note an answer that says nothing of a removal, whoever gave it: its request had been sent before."""
        if exchange.sent_ns <= self.applied_ns:
            self.begun_before += 1

    def failed(self, exchange: Exchange, opened_ns: int) -> None:
        """Note a failure in its window, over a connection that was opened at `opened_ns`.

        Where the proxy itself answers so, what holds such a connection still goes by what the change has replaced.
        """
        if exchange.status and 0 < opened_ns < self.requested_ns and 0 < self.applied_ns < exchange.written_ns:
            self.outdated += 1

    def shown_by(self, exchange: Exchange) -> bool:
        """Note the first answer over a connection that was opened after it, where it is about no one backend."""
        opened_ns = exchange.written_ns - exchange.connect_ns
        if not exchange.connect_ns or exchange.failure or opened_ns <= self.applied_ns:
            return False
        self.answers = 1
        self.first_answer_ns = exchange.ended_ns
        return True


@attrs.define
class Windows:
    """The changes in the order of their requests; the window of one ends where the next one's begins."""

    changes: list[ObservedChange] = attrs.field(factory=list)
    before: Closures = attrs.field(factory=Closures)  #: what was closed before the first
    aimed: frozenset[str] = frozenset()  #: kinds of traffic, as `Tallies` has them
    unsafe: frozenset[str] = frozenset()  #: likewise
    _requested_ns: list[int] = attrs.field(factory=list)

    def open(self, event: Change, share_before: float, answers: int) -> ObservedChange:
        """Begin the window of a change that is requested, after so many answers."""
        change = ObservedChange(
            event.number,
            event.action,
            event.instance,
            event.mechanism,
            event.at_ns,
            share_before=share_before,
            answers_mark=answers,
            kinds=Tallies(aimed=self.aimed, unsafe=self.unsafe),
        )
        self.changes.append(change)
        self._requested_ns.append(event.at_ns)
        return change

    def at(self, at_ns: int) -> ObservedChange | None:
        """Return the change in whose window a moment falls, None before the first."""
        index = bisect_right(self._requested_ns, at_ns)
        return self.changes[index - 1] if index else None

    def closures_of(self, change: ObservedChange | None) -> Closures:
        """Return where a closing in the window of `change` is counted, or before the first."""
        return change.closures if change is not None else self.before

"""What became of a request: whether it was carried out, how often, and whether its client knows."""

from enum import Enum


class Fate(Enum):
    """What the backends say of a request, beside what its client says."""

    ANSWERED_ONCE = "answered_once"
    ANSWERED_TWICE = "answered_twice"  #: or more often: the proxy repeated it
    LOST_NEVER_ARRIVED = "lost_never_arrived"  #: no backend received it: it is safe to repeat
    LOST_UNEXECUTED = "lost_unexecuted"  #: received in part, never carried out: likewise
    LOST_EXECUTED = "lost_executed"  #: carried out; the client cannot know, and does it twice by repeating it
    LOST_EXECUTED_TWICE = "lost_executed_twice"
    LOST_UNKNOWN = "lost_unknown"  #: a backend that might have had it died with its record
    NEVER_SENT = "never_sent"  #: it arrived without having been sent: made up, or mixed up

    @property
    def answered(self) -> bool:
        """Whether its client had its answer."""
        return self in (Fate.ANSWERED_ONCE, Fate.ANSWERED_TWICE)

    @property
    def twice(self) -> bool:
        """Whether it was carried out more than once."""
        return self in (Fate.ANSWERED_TWICE, Fate.LOST_EXECUTED_TWICE)


#: Of requests whose clients had no answer.
LOST = tuple(fate for fate in Fate if not fate.answered and fate is not Fate.NEVER_SENT)


def fate_of(*, answered: bool, received: bool, executed: int, unknown: bool) -> Fate:
    """Return the fate of a request that backends have carried out so often; `unknown`: another might have had it."""
    if answered:
        return Fate.ANSWERED_TWICE if executed > 1 else Fate.ANSWERED_ONCE
    if executed:
        return Fate.LOST_EXECUTED if executed == 1 else Fate.LOST_EXECUTED_TWICE
    if unknown:
        return Fate.LOST_UNKNOWN
    return Fate.LOST_UNEXECUTED if received else Fate.LOST_NEVER_ARRIVED

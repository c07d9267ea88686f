"""The change that is made again, with the backends before and after it."""

from collections.abc import Sequence

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.actions import OF_BACKENDS
from proxyreload.history.events import change_name
from proxyreload.record.rundata import Change, Record
from proxyreload.reproduction.knownloss import KnownLoss
from proxyreload.reproduction.ways import REST, Way
from proxyreload.system import bounds

#: What a script can do by writing a configuration and reloading.
_ACTIONS = (*OF_BACKENDS, "reload")
#: Backends behind the proxy at once: one script has all of them.
_BACKENDS_AT_MOST = 100


@attrs.frozen
class Turn:
    """One change, by the numbers of the backends behind the proxy."""

    change: Change
    before: tuple[int, ...]
    after: tuple[int, ...]
    charged_us: int  #: when the change was asked for in whose window the loss is: this one, or a later one

    @property
    def name(self) -> str:
        """What it is called: ``add backend 2``."""
        number = self.removed if self.added is None else self.added
        return change_name(self.change.action, "" if number is None else str(number))

    @property
    def removed(self) -> int | None:
        """The backend that it removes."""
        return next(iter(set(self.before) - set(self.after)), None)

    @property
    def added(self) -> int | None:
        """The backend that it adds."""
        return next(iter(set(self.after) - set(self.before)), None)


def turn_of(record: Record, loss: KnownLoss, way: Way, leaves_s: float | None) -> Turn:
    """Return the change that a loss is the doing of; raises `UsageError` if there is none, or none that can be made.

    Mostly that is the change whose window it is in. What rests across a removal until the backend has gone, `leaves_s`
    after it was applied, is lost in the window of whatever change has come meanwhile; what was under way at a backend
    that is killed then may have been sent in the window of a change before.
    """
    turns = _turns(record)
    turn = next((turn for turn in turns if turn.change.number == loss.change), None)
    if turn is None:
        msg = f"loss {loss.number} is no change's doing: there is nothing to make again"
        raise UsageError(msg)
    if way is REST:
        turn = _removal(turns[: turns.index(turn) + 1], turn, loss, leaves_s) or turn
    if way.killed:  # with what was sent before its removal, too
        killed = _removal(turns, turn, loss, leaves_s)
        if killed is None:
            msg = f"loss {loss.number} cannot be reproduced yet: no change had taken its backend away by then"
            raise UsageError(msg)
        turn = killed
    if turn.change.action not in _ACTIONS:
        action = turn.change.action
        msg = f"change {turn.change.number} cannot be reproduced yet: a script can {', '.join(_ACTIONS)}, not {action}"
        raise UsageError(msg)
    if not turn.before or not turn.after:
        msg = f"change {turn.change.number} cannot be reproduced: before or after it there is no backend"
        raise UsageError(msg)
    return turn


def _removal(turns: Sequence[Turn], charged: Turn, loss: KnownLoss, leaves_s: float | None) -> Turn | None:
    """Return the latest removal of some whose backend had gone when a request was lost."""
    for turn in reversed(turns):
        applied_us = turn.change.applied_us
        if turn.removed is None or applied_us is None or leaves_s is None:
            continue
        back = turn.change.number < charged.change.number and turn.removed in charged.after
        if applied_us + leaves_s * 1e6 <= loss.ended_us and not back:
            return attrs.evolve(turn, charged_us=charged.charged_us)
    return None


def _turns(record: Record) -> list[Turn]:
    """Return the changes that were made, each with who was behind the proxy; raises `UsageError`."""
    told = record.scenario.get("backends")
    behind = [bounds.INSTANCE.of("scenario.backends", each) for each in told] if isinstance(told, list) else []
    turns = []
    for change in record.changes:
        before = tuple(behind)
        if not change.error and change.action in OF_BACKENDS:
            instance = bounds.INSTANCE.parse(f"the backend of change {change.number}", change.instance)
            behind = [each for each in behind if each != instance] + [instance] * (change.action == "add")
        if len(behind) > _BACKENDS_AT_MOST:
            msg = f"change {change.number}: more than {_BACKENDS_AT_MOST} backends are too many for a script"
            raise UsageError(msg)
        turns.append(Turn(change, before, tuple(behind), change.requested_us))
    return turns

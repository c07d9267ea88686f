"""What a plugin goes on with when its change is applied, while the run and the next changes go on."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

#: Takes what could not be done, and why.
OnUndone = Callable[[str, BaseException], None]


def unheard(_what: str, _error: BaseException) -> None:
    """Tell nobody."""


@attrs.define(eq=False)
class Meanwhile:
    """Work in the background; whatever it fails with is told."""

    on_undone: OnUndone
    _under_way: list[Deferred[None]] = attrs.field(factory=list, init=False)

    def do(self, work: Coroutine[Deferred[Any], Any, None], what: str) -> Deferred[None]:
        """Do `work`; fires when it is over, or cancelled, also if it takes no notice of that."""
        working = Deferred.fromCoroutine(work)

        def give_up(over: Deferred[None]) -> None:
            self._under_way.remove(over)
            working.cancel()
            if not over.called:
                over.callback(None)

        def end(outcome: Failure | None) -> None:
            if over not in self._under_way:
                if not over.called:
                    over.callback(None)
                return
            self._under_way.remove(over)
            if isinstance(outcome, Failure) and not outcome.check(CancelledError):
                self.on_undone(what, cast(BaseException, outcome.value))
            over.callback(None)

        over: Deferred[None] = Deferred(give_up)
        self._under_way.append(over)
        working.addBoth(end)
        return over

    def leave_off(self) -> None:
        """Cancel all of it, which is no failure."""
        for over in tuple(self._under_way):
            over.cancel()

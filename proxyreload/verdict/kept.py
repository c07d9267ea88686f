"""What rows do not tell, and is kept for the run's file, as far as there is room."""

from collections.abc import Sequence

import attrs

from proxyreload.history.events import CLOSE_FRAME, GOAWAY, RESET, Ending, FrontClosed, Paced, WentAway

#: Connections of which it is kept when and how they ended, and GOAWAYs.
CLOSED_KEPT = 5_000
#: Long exchanges of which it is kept when their messages came.
PACES_KEPT = 1_000
#: Of those that ended by one of these rows know no more than that they were announced, or cut.
_WORDS = frozenset({GOAWAY, CLOSE_FRAME, RESET})


@attrs.define
class Kept:
    """The first so many of each."""

    closed_idle: list[FrontClosed] = attrs.field(factory=list)  #: while they rested
    closed_by: list[FrontClosed] = attrs.field(factory=list)  #: by GOAWAY, close frame or reset
    goaways: list[WentAway] = attrs.field(factory=list)  #: in the order of time
    paces: list[Paced] = attrs.field(factory=list)  #: of exchanges that are many messages

    def closed(self, event: FrontClosed) -> None:
        """Keep how a connection ended."""
        if event.ending is Ending.IDLE and len(self.closed_idle) < CLOSED_KEPT:
            self.closed_idle.append(event)
        if event.how in _WORDS and len(self.closed_by) < CLOSED_KEPT:
            self.closed_by.append(event)

    def went_away(self, events: Sequence[WentAway]) -> None:
        """Keep each GOAWAY."""
        self.goaways += events[: max(0, CLOSED_KEPT - len(self.goaways))]

    def paced(self, events: Sequence[Paced]) -> None:
        """Keep when messages came."""
        self.paces += events[: max(0, PACES_KEPT - len(self.paces))]

"""The losses that a trace has as its events: so many that a collector takes them."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import attrs

from proxyreload.history.bus import EventBus
from proxyreload.ledger.loss import Loss

#: Of one change, and of a whole run: an event has half a kilobyte, and collectors take some megabytes at once.
OF_A_CHANGE, OF_A_RUN = 1_000, 10_000


@attrs.define(eq=False)
class KeptLosses:
    """Keeps the first losses of each change, and how many there were besides."""

    by_change: dict[int, list[Loss]] = attrs.field(
        factory=lambda: defaultdict(list), init=False
    )  #: 0: before the first
    not_kept: Counter[int] = attrs.field(factory=Counter, init=False)
    _kept: int = attrs.field(default=0, init=False)

    def subscribe(self, bus: EventBus) -> None:
        """Keep what `bus` brings."""
        bus.subscribe(Loss, self.lost, "the trace's losses")

    def lost(self, losses: Sequence[Loss]) -> None:
        """Keep a batch of them, or count them."""
        for loss in losses:
            kept = self.by_change[loss.change]
            if len(kept) < OF_A_CHANGE and self._kept < OF_A_RUN:
                kept.append(loss)
                self._kept += 1
            else:
                self.not_kept[loss.change] += 1

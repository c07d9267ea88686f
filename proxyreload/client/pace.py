"""How many messages of a long answer came when: in slices of time, of which there are never too many."""

import attrs

from proxyreload.system.clock import NS_PER_MS

#: Slices of one answer at most: when there would be more, each is made twice as long.
SLICES_AT_MOST = 64
_NARROWEST_NS = 20 * NS_PER_MS
#: Of fewer messages it need not be told when they came.
WORTH_TELLING = 10


@attrs.define(eq=False)
class Pace:
    """The messages of one answer so far."""

    begun_ns: int
    slice_ns: int = _NARROWEST_NS
    counts: list[int] = attrs.field(factory=list)
    _seen: int = 0

    def have_come(self, messages: int, now_ns: int) -> None:
        """Note that so many have come by now, all in all."""
        new, self._seen = messages - self._seen, messages
        if new <= 0:
            return
        while (index := (now_ns - self.begun_ns) // self.slice_ns) >= SLICES_AT_MOST:
            pairs = [*self.counts, 0] if len(self.counts) % 2 else self.counts
            self.counts = [one + other for one, other in zip(pairs[::2], pairs[1::2], strict=True)]
            self.slice_ns *= 2
        self.counts += [0] * (index + 1 - len(self.counts))
        self.counts[index] += new

    @property
    def worth_telling(self) -> bool:
        """Whether there were enough to speak of when they came."""
        return self._seen >= WORTH_TELLING

"""What a change costs the proxy's host: processes and memory at most, before and after, and CPU time."""

from collections.abc import Sequence

import attrs

from proxyreload.history.events import Spent
from proxyreload.system.clock import NS_PER_S, NS_PER_US
from proxyreload.verdict.generations import Generations


@attrs.define
class Price:
    """From the last look before a change to the last before the next one; of a run, from the first to the last."""

    before: Spent
    after: Spent
    processes: int  #: at most
    resident_bytes: int  #: at most

    @classmethod
    def since(cls, spent: Spent) -> "Price":
        """Return what begins there."""
        return cls(spent, spent, spent.processes, spent.resident_bytes)

    @property
    def cpu_ns(self) -> int:
        """How much CPU time was taken meanwhile, the traffic's too."""
        return self.after.cpu_ns - self.before.cpu_ns

    @property
    def lasted_ns(self) -> int:
        """How long it was looked."""
        return self.after.at_ns - self.before.at_ns

    def add(self, spent: Spent) -> None:
        """Go on until there."""
        self.after = spent
        self.processes = max(self.processes, spent.processes)
        self.resident_bytes = max(self.resident_bytes, spent.resident_bytes)

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        before, after = self.before, self.after
        return {
            "processes": {"before": before.processes, "most": self.processes, "after": after.processes},
            "resident_bytes": {
                "before": before.resident_bytes,
                "most": self.resident_bytes,
                "after": after.resident_bytes,
            },
            "cpu_s": round(self.cpu_ns / NS_PER_S, 3),
            "lasted_us": self.lasted_ns // NS_PER_US,
        }


@attrs.define
class Prices:
    """The run's, and each change's."""

    run: Price | None = None  #: None: nobody has looked
    by_change: dict[int, Price] = attrs.field(factory=dict)  #: by their numbers; 0: until the first

    def as_run(self, generations: Generations) -> dict[str, object] | None:
        """Return the run's as it stands in ``run.json``, with the lives of old generations; None: nobody looked."""
        if self.run is None:
            return None
        replaced = [each for each in generations.all if each.replaced_ns]
        lived_on = [{"number": each.number, "lived_on_us": _us(each.lived_on_ns)} for each in replaced]
        return {**self.run.as_run(), "old_generations": lived_on}

    def spent(self, looks: Sequence[Spent], change: int) -> None:
        """Note what was seen; `change` is the latest that was requested, 0: none yet."""
        for spent in looks:
            if self.run is None:
                self.run = Price.since(spent)
            window = self.by_change.get(change)
            if window is None:
                last = next(reversed(self.by_change.values()), None)
                window = self.by_change[change] = Price.since(last.after if last is not None else spent)
            window.add(spent)
            self.run.add(spent)


def _us(duration_ns: int | None) -> int | None:
    return None if duration_ns is None else duration_ns // NS_PER_US

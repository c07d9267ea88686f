"""Plays a scenario: each step at its time."""

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from proxyreload.plan.operations import Operations
from proxyreload.plan.scenario import Scenario
from proxyreload.system.clock import ClockNs, seconds

#: Without an end of its own, a run looks this often whether it is over.
_FOREVER_S = 86_400.0


@attrs.define(eq=False)
class Play:
    """One scenario being played."""

    reactor: IReactorTime
    clock_ns: ClockNs
    scenario: Scenario
    operations: Operations | None  #: None: somebody else makes the changes
    done: int = attrs.field(default=0, init=False)  #: how many steps are over
    _start_ns: int = attrs.field(default=0, init=False)
    _stopped: bool = attrs.field(default=False, init=False)

    async def run(self, start_ns: int) -> None:
        """Play it to its end; cancelling stops it where it is, whatever a plugin makes of that."""
        self._start_ns = start_ns
        for step in self.scenario.steps:
            if self._stopped:
                return
            if step.at_s is not None:
                await self._until(step.at_s)
            if step.action == "pause":
                await deferLater(self.reactor, step.pause_s)
            else:
                assert self.operations is not None  # noqa: S101
                await self.operations.carry_out(step.action, step.instance)
            self.done += 1
        await self._until(self.scenario.duration_s)

    def stop(self) -> None:
        """Make no step any more."""
        self._stopped = True

    def undone(self) -> list[str]:
        """Return the changes that have not been made."""
        return [step.name for step in self.scenario.steps[self.done :] if step.action != "pause"]

    def ahead(self, elapsed_s: float) -> str:
        """Say what comes next."""
        if self.done < len(self.scenario.steps):
            step = self.scenario.steps[self.done]
            if step.at_s is not None and step.at_s > elapsed_s:
                return f"{step.name} in {step.at_s - elapsed_s:.0f} s"
            return step.name
        left_s = self.scenario.duration_s - elapsed_s
        return f"ends in {max(0, left_s):.0f} s" if left_s != float("inf") else "Ctrl-C ends"

    async def _until(self, at_s: float) -> None:
        while not self._stopped and (left_s := at_s - seconds(self.clock_ns() - self._start_ns)) > 0:
            await deferLater(self.reactor, min(left_s, _FOREVER_S))

"""Plays a scenario: each step at its time."""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from proxyreload.history.events import Change, Phase, Unproved
from proxyreload.history.interfaces import Sink
from proxyreload.plan.operations import Operations
from proxyreload.plan.scenario import Scenario, Step
from proxyreload.system.clock import ClockNs, seconds
from proxyreload.system.waiting import until

#: Without an end of its own, a run looks this often whether it is over.
_FOREVER_S = 86_400.0
#: The traffic has so long to show a change before the next one is made, or the run ends.
PROOF_LIMIT_S = 10.0


@attrs.define(eq=False)
class Play:
    """One scenario being played."""

    reactor: IReactorTime
    clock_ns: ClockNs
    scenario: Scenario
    operations: Operations | None  #: None: somebody else makes the changes
    sink: Sink
    proved: Callable[[int], bool]  #: whether the change with this number is seen in the traffic
    afterwards: str = attrs.field(default="", init=False)  #: what is waited for when it is over
    done: int = attrs.field(default=0, init=False)  #: how many steps are over
    _start_ns: int = attrs.field(default=0, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _unproved: Change | None = attrs.field(default=None, init=False)  # the last change, while nobody has seen it
    _over_ns: int = attrs.field(default=0, init=False)  # when it was over

    async def run(self, start_ns: int) -> None:
        """Play it to its end; cancelling stops it where it is, whatever a plugin makes of that.

        No change is made before the one before it is proved or has had its time for that, but where the scenario says
        when: pauses count from the proof.
        """
        self._start_ns = start_ns
        for step in self.scenario.steps:
            if self._stopped:
                return
            if step.at_s is not None:
                await self._until(step.at_s)
            else:
                await self._proof()
            if step.action == "pause":
                await deferLater(self.reactor, step.pause_s)
            else:
                await self._change(step)
            self.done += 1
        await self._until(self.scenario.duration_s)
        if not self._stopped:
            await self._proof()

    async def _change(self, step: Step) -> None:
        assert self.operations is not None  # noqa: S101
        change = await self.operations.carry_out(step.action, step.instance)
        self._unproved = change if change.phase is Phase.APPLIED else None
        self._over_ns = change.at_ns

    async def _proof(self) -> None:
        """Wait until the last change is seen in the traffic, or has had `PROOF_LIMIT_S` for that, which is said."""
        change = self._unproved
        if change is None:
            return

        async def seen() -> bool:
            return self._stopped or self.proved(change.number)

        left_s = PROOF_LIMIT_S - seconds(self.clock_ns() - self._over_ns)
        if not await until(self.reactor, seen, max(0.0, left_s)):
            self.sink.publish(Unproved(change.number, change.name, PROOF_LIMIT_S, self.clock_ns()))
        self._unproved = None

    def stop(self) -> None:
        """Make no step any more."""
        self._stopped = True

    def skipped(self) -> list[str]:
        """Return the changes that have not been made."""
        return [step.name for step in self.scenario.steps[self.done :] if step.action != "pause"]

    def ahead(self, elapsed_s: float) -> str:
        """Say what comes next."""
        if self.afterwards:
            return self.afterwards
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

"""Plays a scenario: each step at its time, each change through the proxy plugin."""

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from proxyreload.bus import EventBus
from proxyreload.clock import ClockNs, seconds
from proxyreload.errors import ProxyreloadError
from proxyreload.events import Change, Phase
from proxyreload.proxy.interfaces import IProxy
from proxyreload.proxy.upstream import Upstream
from proxyreload.scenario import Scenario, Step
from proxyreload.untrusted import WORDS_LIMIT, one_line
from proxyreload.waiting import LateError, within

#: A change that takes longer has failed.
CHANGE_TIMEOUT_S = 60.0
#: Without an end of its own, a run looks this often whether it is over.
_FOREVER_S = 86_400.0


@attrs.define(eq=False)
class Play:
    """One scenario being played."""

    reactor: IReactorTime
    clock_ns: ClockNs
    bus: EventBus
    scenario: Scenario
    proxy: IProxy | None
    upstreams: dict[int, Upstream]
    mechanism: str
    _start_ns: int = attrs.field(default=0, init=False)
    _done: int = attrs.field(default=0, init=False)
    _changes: int = attrs.field(default=0, init=False)

    async def run(self, start_ns: int) -> None:
        """Play it to its end; cancelling stops it where it is."""
        self._start_ns = start_ns
        for step in self.scenario.steps:
            if step.at_s is not None:
                await self._until(step.at_s)
            if step.action == "pause":
                await deferLater(self.reactor, step.pause_s)
            else:
                await self._change(step)
            self._done += 1
        await self._until(self.scenario.duration_s)

    def undone(self) -> list[str]:
        """Return the changes that have not been made."""
        return [_name(step) for step in self.scenario.steps[self._done :] if step.action != "pause"]

    def ahead(self, elapsed_s: float) -> str:
        """Say what comes next."""
        if self._done < len(self.scenario.steps):
            step = self.scenario.steps[self._done]
            if step.at_s is not None and step.at_s > elapsed_s:
                return f"{_name(step)} in {step.at_s - elapsed_s:.0f} s"
            return _name(step)
        left_s = self.scenario.duration_s - elapsed_s
        return f"ends in {max(0, left_s):.0f} s" if left_s != float("inf") else "Ctrl-C ends"

    async def _until(self, at_s: float) -> None:
        while (left_s := at_s - seconds(self.clock_ns() - self._start_ns)) > 0:
            await deferLater(self.reactor, min(left_s, _FOREVER_S))

    async def _change(self, step: Step) -> None:
        assert self.proxy is not None  # noqa: S101
        number = self._changes = self._changes + 1

        def publish(phase: Phase, message: str = "") -> None:
            self.bus.publish(
                Change(number, step.action, str(step.instance), self.mechanism, phase, self.clock_ns(), message)
            )

        upstream = self.upstreams[step.instance]
        method = self.proxy.add_backend if step.action == "add" else self.proxy.remove_backend
        publish(Phase.REQUESTED)

        async def carry_out() -> None:
            await method(upstream)

        try:
            await within(self.reactor, carry_out(), CHANGE_TIMEOUT_S)
        except CancelledError:
            raise  # the run is ended; the change is not made
        except LateError:
            publish(Phase.FAILED, f"not done within {CHANGE_TIMEOUT_S:g} s")
        except ProxyreloadError as error:
            publish(Phase.FAILED, one_line(str(error), WORDS_LIMIT))
        except Exception as error:  # noqa: BLE001  (a plugin is somebody else's code)
            publish(Phase.FAILED, one_line(f"{type(error).__name__}: {error}", WORDS_LIMIT))
        else:
            publish(Phase.APPLIED)


def _name(step: Step) -> str:
    return step.action if step.action == "pause" else f"{step.action} backend {step.instance}"

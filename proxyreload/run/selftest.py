"""Tests the instrument: a proxy injects faults that it counts, and the run has to find every one and no other."""

import attrs
from twisted.internet.defer import Deferred

from proxyreload.errors import StartError
from proxyreload.history.events import Ending
from proxyreload.history.failures import UNSOLICITED
from proxyreload.proxy.interfaces import BACK_CHANGED, FRONT_CHANGED, STRAGGLERS, IFaultInjector
from proxyreload.run.run import Run
from proxyreload.system.waiting import until
from proxyreload.verdict.judgement import Judgement
from proxyreload.verdict.observation import Observation

#: A test that takes longer has failed.
LIMIT_S = 300.0


@attrs.frozen
class Finding:
    """How often something was done to the clients, and how often the instrument says so."""

    name: str
    injected: int
    found: int


@attrs.frozen
class SelfTest:
    """What came of it."""

    findings: tuple[Finding, ...]
    exchanges: int
    requests: int  #: as the proxy counted them
    complete: bool  #: all faults were injected and enough exchanges made
    judgement: Judgement

    @property
    def exact(self) -> bool:
        """Whether everything was found and nothing invented."""
        same = all(finding.injected == finding.found for finding in self.findings)
        return same and self.complete


async def execute(run: Run, exchanges: int) -> SelfTest:
    """Run until every fault is injected and there are that many exchanges, and compare; raises `StartError`."""
    injector: list[IFaultInjector] = []

    async def done() -> bool:
        if not injector and IFaultInjector.providedBy(run.proxy):
            injector.append(IFaultInjector(run.proxy))
        return bool(injector) and injector[0].finished.called and run.observation.counts.total >= exchanges

    async def end() -> bool:
        in_time = await until(run.reactor, done, LIMIT_S, interval_s=0.2)
        run.interrupt()
        return in_time

    ending = Deferred.fromCoroutine(end())
    try:
        judgement = await run.execute()
    except BaseException:
        ending.cancel()
        ending.addErrback(lambda _reason: None)
        raise
    if not injector:
        msg = "the proxy injects no faults"
        raise StartError(msg)
    complete = ending.called and await ending
    return SelfTest(
        findings=tuple(_compare(injector[0], run.observation)),
        exchanges=run.observation.counts.total,
        requests=injector[0].requests,
        complete=complete,
        judgement=judgement,
    )


def _compare(injector: IFaultInjector, observation: Observation) -> list[Finding]:
    counts = observation.counts
    windows = (observation.before, *(change.closures for change in observation.changes))
    unsolicited = sum(closures.front.get(Ending.UNSOLICITED, 0) for closures in windows)
    found = {
        **counts.by_failure,
        UNSOLICITED: unsolicited,
        FRONT_CHANGED: counts.front_changed,
        BACK_CHANGED: counts.back_changed,
        STRAGGLERS: sum(change.stragglers for change in observation.changes),
    }
    names = sorted(set(found) | set(injector.expected))
    return [Finding(name, injector.expected.get(name, 0), found.get(name, 0)) for name in names]

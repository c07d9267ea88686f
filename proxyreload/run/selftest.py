"""Tests the instrument: a proxy injects faults that it counts, and the run has to find every one and no other.

The proxy also knows what became of every request, and the run's ledger has to come to the same.
"""

from collections import Counter
from collections.abc import Mapping

import attrs
from twisted.internet.defer import Deferred

from proxyreload.errors import StartError
from proxyreload.history.events import Ending
from proxyreload.history.failures import TURNED_AWAY, UNSOLICITED
from proxyreload.ledger.ledger import Ledger
from proxyreload.proxy.interfaces import BACK_CHANGED, FRONT_CHANGED, STRAGGLERS, IFaultInjector
from proxyreload.run.run import Run
from proxyreload.system.waiting import until
from proxyreload.traffic.identity import PLAIN_KIND
from proxyreload.verdict.judgement import Judgement
from proxyreload.verdict.observation import Observation

#: A test that takes longer has failed.
LIMIT_S = 600.0


@attrs.frozen
class Finding:
    """How often something was done to the clients of one kind, or befell their requests, and what the instrument says.

    ``name`` is a failure class, how a connection ended, or a fate as ``run.json`` has it.
    """

    kind: str
    name: str
    injected: int
    found: int

    @property
    def right(self) -> bool:
        """Whether it says so every time, and at no other."""
        return self.injected == self.found


@attrs.frozen
class SelfTest:
    """What came of it."""

    findings: tuple[Finding, ...]  #: by failure class, or ending
    fates: tuple[Finding, ...]  #: of all requests
    exchanges: int
    by_kind: Mapping[str, int]  #: exchanges
    requests: int  #: as the proxy counted them
    complete: bool  #: all faults were injected and enough exchanges made
    judgement: Judgement

    @property
    def exact(self) -> bool:
        """Whether everything was found and nothing invented."""
        same = all(finding.right for finding in (*self.findings, *self.fates))
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
        fates=tuple(compare_fates(injector[0], run.observation.ledger)),
        exchanges=run.observation.counts.total,
        by_kind={kind: tally.exchanges for kind, tally in run.observation.kinds.by_kind.items()},
        requests=injector[0].requests,
        complete=complete,
        judgement=judgement,
    )


#: How connections end with no request on them, as it is shown; one that is cut has lost a request, and is told by that.
_ENDINGS = {
    Ending.ANNOUNCED: "closed, announced",
    Ending.IDLE: "closed at rest, unannounced",
    Ending.UNSOLICITED: UNSOLICITED,
}
_SHOWN = {ending.value: name for ending, name in _ENDINGS.items()}


def _compare(injector: IFaultInjector, observation: Observation) -> list[Finding]:
    counts = observation.counts
    found: Counter[tuple[str, str]] = Counter()
    for kind, tally in observation.kinds.by_kind.items():
        found.update({(kind, failure): number for failure, number in tally.failures.items()})
        found.update({(kind, ending.value): tally.front.get(ending, 0) for ending in _ENDINGS})
        found[kind, TURNED_AWAY] += tally.turned_away
    found[PLAIN_KIND, FRONT_CHANGED] = counts.front_changed
    found[PLAIN_KIND, BACK_CHANGED] = counts.back_changed
    found[PLAIN_KIND, STRAGGLERS] = sum(change.stragglers for change in observation.changes)
    keys = sorted(key for key in {*found, *injector.expected} if found[key] or injector.expected.get(key))
    return [
        Finding(kind, _SHOWN.get(name, name), injector.expected.get((kind, name), 0), found[kind, name])
        for kind, name in keys
    ]


def compare_fates(injector: IFaultInjector, ledger: Ledger) -> list[Finding]:
    """Compare what became of all requests, also of those to which nothing was done."""
    injected = injector.fates
    found = {(kind, fate.value): number for kind, counts in ledger.counts.items() for fate, number in counts.items()}
    return [
        Finding(kind, fate, injected.get((kind, fate), 0), found.get((kind, fate), 0))
        for kind, fate in sorted({*injected, *found})
        if injected.get((kind, fate)) or found.get((kind, fate))
    ]

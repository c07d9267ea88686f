"""Tests the instrument: a proxy injects faults that it counts, and the run has to find every one and no other.

The proxy also knows what became of every request, and the run's ledger has to come to the same. Two more runs are over
TLS: one proxy takes another certificate, one only says so.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import Deferred

from proxyreload.errors import StartError
from proxyreload.history.actions import ROTATE
from proxyreload.history.events import Ending
from proxyreload.history.failures import TURNED_AWAY, UNSOLICITED
from proxyreload.ledger.ledger import Ledger
from proxyreload.proxy.interfaces import BACK_CHANGED, FRONT_CHANGED, STRAGGLERS, IFaultInjector
from proxyreload.run.run import Run
from proxyreload.system.waiting import until
from proxyreload.traffic.identity import PLAIN_KIND
from proxyreload.verdict.judgement import Judgement, is_effective
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.windows import ObservedChange

#: A test that takes longer has failed.
LIMIT_S = 800.0
#: Over TLS, what a change of the certificate came to, and how many connections have to show it.
SHOWN, STAYS = "another certificate, shown", "a certificate that stays"
SHOWN_BY = 5


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
    over_tls: tuple[Finding, ...] = ()  #: of certificates

    @property
    def exact(self) -> bool:
        """Whether everything was found and nothing invented."""
        return all(finding.right for finding in self.all_findings) and self.complete

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return (*self.findings, *self.fates, *self.over_tls)


@attrs.define(eq=False)
class Course:
    """A selftest from its beginning to its end: the run with faults, and then those over TLS."""

    faults: Run
    shows: Run  #: whose proxy takes another certificate
    stays: Run  #: whose proxy only says so
    exchanges: int  #: of the first, at least
    _current: Run | None = attrs.field(default=None, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)

    async def execute(self) -> SelfTest:
        """Make one run after another, and compare; raises `StartError`."""
        self._current = self.faults
        test = await execute(self.faults, self.exchanges)
        complete, found = test.complete, list[Finding]()
        for run in (self.shows, self.stays):
            if self._interrupted or not complete:
                return attrs.evolve(test, complete=False)
            self._current = run
            findings, complete = await _execute_over_tls(run, stays=run is self.stays)
            found += findings
        return attrs.evolve(test, complete=complete, over_tls=tuple(found))

    def interrupt(self) -> None:
        """End it early: in order, and a second time without waiting."""
        self._interrupted = True
        if self._current is not None:
            self._current.interrupt()


async def execute(run: Run, exchanges: int) -> SelfTest:
    """Run until every fault is injected and there are that many exchanges, and compare; raises `StartError`."""
    injector: list[IFaultInjector] = []

    async def done() -> bool:
        if not injector and IFaultInjector.providedBy(run.proxy):
            injector.append(IFaultInjector(run.proxy))
        return bool(injector) and injector[0].finished.called and run.observation.counts.total >= exchanges

    judgement, complete = await _until(run, done)
    if not injector:
        msg = "the proxy injects no faults"
        raise StartError(msg)
    return SelfTest(
        findings=tuple(_compare(injector[0], run.observation)),
        fates=tuple(compare_fates(injector[0], run.observation.ledger)),
        exchanges=run.observation.counts.total,
        by_kind={kind: tally.exchanges for kind, tally in run.observation.kinds.by_kind.items()},
        requests=injector[0].requests,
        complete=complete,
        judgement=judgement,
    )


async def _until(run: Run, done: Callable[[], Awaitable[bool]]) -> tuple[Judgement, bool]:
    """Run until that holds; returns the judgement, and whether it came to hold."""

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
    return judgement, ending.called and await ending


async def _execute_over_tls(run: Run, *, stays: bool) -> tuple[list[Finding], bool]:
    """Run until connections show what became of the certificate; returns that, and whether they came to."""

    async def done() -> bool:
        return any(is_shown(change) for change in run.observation.changes)

    _judgement, complete = await _until(run, done)
    return compare_certificates(run.observation, stays=stays), complete and not run.observation.broken


def is_shown(change: ObservedChange) -> bool:
    """Whether enough connections were opened to tell what became of a certificate, or it was refused."""
    rotation = change.rotation
    if rotation is None or not change.over:
        return False
    return bool(change.refused) or rotation.shown + rotation.old_shown >= SHOWN_BY


def compare_certificates(observation: Observation, *, stays: bool) -> list[Finding]:
    """Compare what became of one that was to be changed, by an honest proxy but that its certificate may stay."""
    found: Counter[tuple[str, str]] = Counter()
    for change in observation.changes:
        effective, _why_not = is_effective(change)
        rotation = change.rotation
        found[ROTATE, SHOWN] += effective
        found[ROTATE, STAYS] += rotation is not None and bool(rotation.old_shown) and not effective
    for kind, tally in observation.kinds.by_kind.items():
        found.update({(kind, failure): number for failure, number in tally.failures.items()})
    done = (ROTATE, STAYS if stays else SHOWN)
    return [Finding(*key, int(key == done), found[key]) for key in sorted({done, *found}) if found[key] or key == done]


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

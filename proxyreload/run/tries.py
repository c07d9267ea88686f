"""Each kind of traffic once through the proxy, before there is any load: which a configuration does not carry."""

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred

from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.load import Load
from proxyreload.client.request import PreparedRequest
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange
from proxyreload.history.failures import ABORTED, MESSAGES, OWN_LIMIT, RESET_MID_RESPONSE, TRUNCATED, WRONG_BODY
from proxyreload.plan.settings import Target
from proxyreload.plan.traffic import Group
from proxyreload.run.crowds import Crowds
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import QUOTE_LIMIT, printable
from proxyreload.system.waiting import LateError
from proxyreload.traffic.identity import BASELINE_MARK
from proxyreload.traffic.interfaces import Expectation

#: How often a kind that fails is tried: what fails by chance does not do so each time.
TIMES = 2
#: A kind that has come to nothing after so many of the clients' time-outs is left to the traffic.
_TIMEOUTS = 4
#: Of one exchange that has many pieces or messages.
_PIECES_AT_MOST = 1000
#: What the first bytes of ``HTTP/1.1`` look like to who expects a frame of HTTP/2 (RFC 9113, 4.1).
_OF_HTTP_1 = f"a frame of {int.from_bytes(b'HTT', 'big')} bytes"
#: What is no refusal: an answer that was begun, or that is not what it should be, and what was our own doing.
_NO_REFUSALS = frozenset({WRONG_BODY, TRUNCATED, RESET_MID_RESPONSE, *MESSAGES, OWN_LIMIT, ABORTED})


@attrs.frozen
class Tries:
    """Tries kinds through the front. No exchange of these is told of to the history: none is of the run's traffic."""

    reactor: IReactor
    clock_ns: ClockNs
    connector: HTTP11Connector
    target: Target
    prepared: PreparedRequest
    expectation: Expectation
    timeout_s: float

    async def refused(self, groups: Sequence[Group]) -> dict[str, str]:
        """Return by `Group.sort` which of them fail each time they are tried, and in which words.

        What is answered like any small GET is not tried: the proxy has answered one by now.
        """
        asked = {each.sort: each for each in groups if each.kind.backend is not None or each.over_http2}
        words: dict[str, str] = {}
        for _time in range(TIMES):
            if not asked:
                break
            outcomes = await self._once([_soon_over(each) for each in asked.values()])
            words = {sort: _words(outcome) for sort, outcome in zip(asked, outcomes, strict=True) if _refuses(outcome)}
            asked = {sort: asked[sort] for sort in words}
        return words

    async def _once(self, groups: Sequence[Group]) -> list[Exchange | None]:
        """Have one exchange of each, all at once; return what they came to, None for what came to nothing."""
        first: dict[int, Exchange] = {}
        every: Deferred[None] = Deferred()

        def exchanged(exchanges: Sequence[Exchange]) -> None:
            for each in exchanges:
                first.setdefault(each.client, each)
            if len(first) == len(groups) and not every.called:
                every.callback(None)

        bus = EventBus()
        bus.subscribe(Exchange, exchanged)
        crowds = Crowds(self.connector, self.target)
        load = Load(
            reactor=self.reactor,
            clock_ns=self.clock_ns,
            sink=bus,
            connectors=[self.connector],
            prepared=self.prepared,
            expectation=self.expectation,
            clients=0,
            timeout_s=self.timeout_s,
            mark=BASELINE_MARK,
            crowds=await crowds.of(groups),
        )
        bus.start(self.reactor)
        load.start()
        try:
            await every.addTimeout(_TIMEOUTS * self.timeout_s, self.reactor)
            await load.stop()
        except LateError:
            pass
        finally:
            load.abort()
            load.close()
            crowds.close()
            bus.stop()
        return [first.get(number) for number in range(len(groups))]


def _soon_over(group: Group) -> Group:
    """Return one client of a group, close by, whose exchange is as much as theirs and over sooner."""
    values = {**group.values, **group.kind.brief}
    every_s, length_s = group.values.get("every"), group.values.get("length")
    if isinstance(every_s, int | float) and isinstance(length_s, int | float):  # as many pieces, one upon the other
        soon_s = group.kind.keys["every"].bound.lowest
        values |= {"every": soon_s, "length": soon_s * min(max(length_s / every_s, 1), _PIECES_AT_MOST)}
    return attrs.evolve(group, clients=1, values=values, rate_per_s=None, rtt_s=0.0)


def _refuses(outcome: Exchange | None) -> bool:
    return outcome is not None and outcome.lost and outcome.failure not in _NO_REFUSALS


def _words(outcome: Exchange | None) -> str:
    """Say what came, and who said it where that was a backend."""
    assert outcome is not None  # noqa: S101
    who = f"backend {outcome.instance}: " if outcome.instance else ""
    message = outcome.message.replace(_OF_HTTP_1, "an answer in HTTP/1")
    what = f"{outcome.failure}: {message}" if message else outcome.failure
    return printable(f"this configuration does not carry it: {who}{what}", QUOTE_LIMIT)

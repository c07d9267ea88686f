"""Notices that nobody is answered any more, and finds out who is to blame: the proxy, or a backend."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater

from proxyreload.client.agent import AgentConnection, OneConnectionAgent
from proxyreload.client.connector import HTTP11Connector
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Change, Exchange, Phase
from proxyreload.history.failures import TIMEOUT
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs, seconds
from proxyreload.system.reactor import IReactor

#: A backend that is asked straight has so long to answer; as long the clients have to prove that nothing hangs.
ASK_S = 1.0


@attrs.frozen
class Asking:
    """Asks backends straight, without the proxy."""

    reactor: IReactor
    connectors: Mapping[str, HTTP11Connector]  #: by the backend's number
    url: str

    async def silent(self, instances: Iterable[str]) -> list[str]:
        """Return those that do not answer, `ASK_S` later."""
        asked = [instance for instance in sorted(instances) if instance in self.connectors]
        asking = [Deferred.fromCoroutine(self._answers(instance)) for instance in asked]
        waiting: Deferred[None] = deferLater(self.reactor, ASK_S)
        answers = await DeferredList(asking)
        await waiting
        return [instance for instance, (_done, answered) in zip(asked, answers, strict=True) if not answered]

    async def _answers(self, instance: str) -> bool:
        connector = attrs.evolve(self.connectors[instance], connection=AgentConnection)
        agent = OneConnectionAgent(self.reactor, connector, ASK_S)
        try:
            await agent.request(b"GET", self.url.encode("ascii"))
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  (whatever it is, it is no answer)
            return False
        finally:
            agent.close()
        return True


@attrs.define(eq=False)
class HangWatch:
    """Publishes `Broken` when requests time out and nobody has had an answer for as long as a time-out takes.

    A proxy has no answer to give where its backends give none: they are asked before it is blamed, and it has until
    then to prove that it does not hang.
    """

    bus: EventBus
    sink: Sink  #: takes the news
    clock_ns: ClockNs
    timeout_ns: int
    silent: Callable[[Iterable[str]], Coroutine[Deferred[Any], Any, list[str]]]  #: asks those backends, returns who is
    behind: set[str]  #: the backends behind the proxy
    _last_answer_ns: int = attrs.field(default=0, init=False)
    _asking: Deferred[None] | None = attrs.field(default=None, init=False)
    _over: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Watch the bus."""
        self.bus.subscribe(Exchange, self.exchanged, "hang watch")
        self.bus.subscribe(Change, self.changed, "hang watch")

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Look at a batch."""
        for exchange in exchanges:
            if exchange.status:
                self._last_answer_ns = exchange.ended_ns
            elif exchange.failure == TIMEOUT and exchange.ended_ns - self._last_answer_ns >= self.timeout_ns:
                self._suspect()

    def changed(self, events: Sequence[Change]) -> None:
        """Note who is behind the proxy: who is added from the request on, who is removed until that is applied."""
        for event in events:
            if event.action == "add" and event.phase is Phase.REQUESTED:
                self.behind.add(event.instance)
            elif event.action == "remove" and event.phase is Phase.APPLIED:
                self.behind.discard(event.instance)

    def stop(self) -> None:
        """Suspect nobody any more."""
        self._over = True
        if self._asking is not None:
            self._asking.cancel()

    def _suspect(self) -> None:
        if not self._over and self._asking is None:
            asking = self._asking = Deferred.fromCoroutine(self._find_out())
            asking.addErrback(lambda reason: reason.trap(CancelledError) and None)

    async def _find_out(self) -> None:
        suspected_ns = self._last_answer_ns
        silent = await self.silent(self.behind)
        self._asking = None
        if not silent and self._last_answer_ns > suspected_ns:
            return  # a backend that is silent is no less so because others answer
        self._over = True
        self.sink.publish(Broken(self._reason(silent), self.clock_ns()))

    def _reason(self, silent: Sequence[str]) -> str:
        what = f"not one answer to any client for {seconds(self.timeout_ns):g} s"
        if not silent:
            return f"the proxy hangs: {what}" + (", though its backends, asked straight, answer" if self.behind else "")
        who = f"backend {silent[0]} does" if len(silent) == 1 else f"backends {', '.join(silent)} do"
        return f"{who} not answer, asked straight without the proxy: {what}"

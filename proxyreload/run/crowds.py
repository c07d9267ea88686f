"""The clients of every kind that a run has beside those of ``--clients``."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import attrs
from twisted.internet.interfaces import IReactorTime

from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.delayline import DelayLine
from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.load import Crowd
from proxyreload.client.request import HTTP2Request, KindRequest, prepare
from proxyreload.history.events import FarKept
from proxyreload.plan.settings import Target
from proxyreload.plan.traffic import Group
from proxyreload.system.clock import ns
from proxyreload.traffic.identity import KIND_FIELD
from proxyreload.traffic.registry import field_of


@attrs.define(eq=False)
class Crowds:
    """Makes them, and keeps the delay lines of those that are far away: one for each distance."""

    connector: HTTP11Connector
    target: Target
    lines: dict[float, DelayLine] = attrs.field(factory=dict)

    async def of(self, groups: Sequence[Group]) -> list[Crowd]:
        """Return what the groups ask for."""
        return [await self._crowd(group) for group in groups]

    def kept(self) -> list[FarKept]:
        """Say how well each distance was kept, the nearest first."""
        return [line.kept() for _rtt_s, line in sorted(self.lines.items())]

    def close(self) -> None:
        """Give the lines back."""
        for line in self.lines.values():
            line.close()

    async def _crowd(self, group: Group) -> Crowd:
        kind, values = group.kind, group.values
        end = kind.client(values)
        field = field_of(kind, values)
        headers = [*end.fields, *([(KIND_FIELD, field)] if field else [])]
        if end.streams:
            others = [(name.encode("ascii"), value.encode("ascii")) for name, value in self.target.fields.items()]
            request = HTTP2Request.of(end.method, self.target.url, [*others, *headers], end.path)
            return self._made(group, request, attrs.evolve(self._connector(group.rtt_s), connection=HTTP2Connection))
        fields = {name.decode("ascii"): [value.decode("ascii")] for name, value in headers}
        prepared = await prepare(end.method, self.target.url, headers={**self.target.fields, **fields})
        return self._made(group, KindRequest(prepared, end.body, end.own_fields), self._connector(group.rtt_s))

    def _made(self, group: Group, prepared: KindRequest | HTTP2Request, connector: HTTP11Connector) -> Crowd:
        ends = partial(group.kind.client, group.values)
        return Crowd(group.kind.name, group.clients, ends, prepared, connector, group.rate_per_s)

    def _connector(self, rtt_s: float) -> HTTP11Connector:
        if not rtt_s:
            return attrs.evolve(self.connector, careful=True)
        line = self.lines.get(rtt_s)
        if line is None:
            reactor = cast(IReactorTime, self.connector.reactor)
            line = self.lines[rtt_s] = DelayLine(reactor, self.connector.clock_ns, ns(rtt_s / 2), self.connector.group)
        return attrs.evolve(self.connector, line=line)

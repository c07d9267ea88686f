"""Whether a request through the front is answered."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import CancelledError
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from proxyreload.client.agent import AgentConnection, OneConnectionAgent
from proxyreload.client.connector import HTTP11Connector
from proxyreload.proxy.route import Route
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.get import OK
from proxyreload.traffic.identity import INSTANCE_FIELD

_TIMEOUT_S = 1.0


@attrs.frozen
class Readiness:
    """Asks through the front, over a connection of its own each time."""

    reactor: IReactor
    connector: HTTP11Connector
    url: str
    from_ours: bool  #: the answer must come from a backend of ours
    fields: Mapping[str, str] = attrs.field(factory=dict, repr=False)  #: of the request's head, besides the usual

    async def answers(self) -> bool:
        """Ask once; raises `CancelledError` alone: the run is ended."""
        response = await self._asked(self.url)
        if response is None:
            return False
        return response.code == OK and (not self.from_ours or response.headers.hasHeader(INSTANCE_FIELD))

    async def why_not_edited(self, route: Route) -> str:
        """Ask for a route once, and say how it was answered in place of as edited; empty: as edited."""
        response = await self._asked(urlsplit(self.url)._replace(path=route.path).geturl())
        if response is None:
            return f"the edited route {route.path} was not answered"
        return route.why_not(response.code, response.headers.getRawHeaders("Location", []))

    async def _asked(self, url: str) -> IResponse | None:
        """Return the answer to one request, None if there is none."""
        connector = attrs.evolve(self.connector, connection=AgentConnection)
        agent = OneConnectionAgent(self.reactor, connector, _TIMEOUT_S)
        headers = Headers({name: [value] for name, value in self.fields.items()})
        try:
            return await agent.request(b"GET", url.encode("ascii"), headers)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  (whatever it is, it is no answer yet)
            return None
        finally:
            agent.close()

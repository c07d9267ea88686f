"""Whether a request through the front is answered."""

from collections.abc import Mapping

import attrs
from twisted.internet.defer import CancelledError
from twisted.web.http_headers import Headers

from proxyreload.client.agent import AgentConnection, OneConnectionAgent
from proxyreload.client.connector import HTTP11Connector
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
        connector = attrs.evolve(self.connector, connection=AgentConnection)
        agent = OneConnectionAgent(self.reactor, connector, _TIMEOUT_S)
        headers = Headers({name: [value] for name, value in self.fields.items()})
        try:
            response = await agent.request(b"GET", self.url.encode("ascii"), headers)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  (whatever it is, it is no answer yet)
            return False
        finally:
            agent.close()
        return response.code == OK and (not self.from_ours or response.headers.hasHeader(INSTANCE_FIELD))

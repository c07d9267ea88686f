"""What a backend answers, as a `twisted.web` resource."""

import attrs
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from proxyreload.client.request import ID_HEADER
from proxyreload.traffic.get import numbered_body

#: A request's id is echoed up to this length; whoever sends a longer one is not ours.
ID_LIMIT = 64
_TEXT = b"text/plain; charset=utf-8"


@attrs.frozen
class Answer:
    """One whole answer."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


class BackendResource(Resource):
    """Answers every request under it with its number, the proxy's port, the request's own id, and a body of them."""

    isLeaf = True

    def __init__(self, instance: int) -> None:
        """Answer as the backend with this number."""
        super().__init__()
        self.instance = b"%d" % instance

    def answer(self, request_id: bytes, source_port: int) -> Answer:
        """Return what a request with this id, from this port of the proxy, is answered.

        The id may only stand in it as it is: a carrier asks once for all ids of a length.
        """
        return Answer(
            (
                (b"Content-Type", _TEXT),
                (b"Backend-Id", self.instance),
                (b"Source-Port", b"%d" % source_port),
                (ID_HEADER, request_id),
            ),
            numbered_body(self.instance, request_id),
        )

    def render(self, request: IRequest) -> bytes:
        """Answer under a `twisted.web.server.Site`."""
        request_id = (request.getHeader(ID_HEADER) or b"")[:ID_LIMIT]
        answer = self.answer(request_id, request.getClientAddress().port)
        for name, value in answer.fields:
            request.setHeader(name, value)
        return answer.body

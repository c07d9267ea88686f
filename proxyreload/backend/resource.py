"""What a backend answers, as a `twisted.web` resource."""

import attrs
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from proxyreload.traffic.get import answer_fields, numbered_body
from proxyreload.traffic.identity import ID_FIELD, ID_LIMIT


@attrs.frozen
class WholeAnswer:
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

    def answer(self, request_id: bytes, source_port: int) -> WholeAnswer:
        """Return what a request with this id, from this port of the proxy, is answered.

        The id may only stand in it as it is: a carrier asks once for all ids of a length.
        """
        return WholeAnswer(
            answer_fields(self.instance, request_id, source_port), numbered_body(self.instance, request_id)
        )

    def render(self, request: IRequest) -> bytes:
        """Answer under a `twisted.web.server.Site`."""
        request_id = (request.getHeader(ID_FIELD) or b"")[:ID_LIMIT]
        answer = self.answer(request_id, request.getClientAddress().port)
        for name, value in answer.fields:
            request.setHeader(name, value)
        return answer.body

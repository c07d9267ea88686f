"""The roles around one client connection."""

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from proxyreload.history.events import Ending


class IConnection(Interface):
    """One TCP connection to the front, with at most one exchange under way.

    After `IConnectionOwner.answered` its attributes describe the answer, until the next `send`.
    """

    local_port: int = Attribute("its own TCP port")
    connect_ns: int = Attribute("how long the TCP (and TLS) connection took to open")
    carried: int = Attribute("how many requests it has carried, the one under way included")
    written_ns: int = Attribute("when the request was written to the socket")
    first_byte_ns: int = Attribute("when the first bytes of the answer were read, 0 if none were")
    last_byte_ns: int = Attribute("when the end of the answer was read")
    status: int = Attribute("status code, 0 if there is none")
    instance: bytes = Attribute("Backend-Id of the answer")
    back_port: bytes = Attribute("Source-Port of the answer")
    echoed_id: bytes = Attribute("request id of the answer")
    body: bytes = Attribute("body of the answer, its first bytes where it is longer than is kept")
    keep_alive: bool = Attribute("whether the answer lets the connection persist")

    def send(payload: bytes, request_id: bytes) -> None:
        """Write one whole request, once; `request_id` is the id in it, empty if it has none.

        If the proxy has closed or written to the idle connection before, nothing is written, and the owner hears
        `IConnectionOwner.closed`.
        """

    def close() -> None:
        """Close in order; the owner hears nothing more."""

    def abort() -> None:
        """Close at once with a reset; the owner hears nothing more."""


class IConnectionOwner(Interface):
    """Who hears what became of a connection."""

    def answered(connection: IConnection) -> None:
        """Take the whole answer to the request under way."""

    def broken(connection: IConnection, failure: str, message: str) -> None:
        """Take the failure (a class of `history.failures`) of the request under way; the connection is gone."""

    def closed(connection: IConnection, ending: Ending, message: str) -> None:
        """Learn that the connection went away while no request was under way (`message`: what is odd about it)."""


class IConnector(Interface):
    """Opens connections of one class: HTTP/1.1 in the clear, over TLS, one day HTTP/2."""

    def connect(owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        """Open one connection; fails with the reasons of `twisted.internet.error`."""

"""The roles around one client connection."""

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from proxyreload.client.parting import Parting
from proxyreload.client.pending import Pending
from proxyreload.history.events import Ending, Shown


class IConnection(Interface):
    """One TCP connection to the front, with room for one exchange at a time (HTTP/1.1) or for many (HTTP/2).

    What becomes of an exchange is written into the `Pending` that was sent, which the owner gets back in the end.
    """

    local_port: int = Attribute("its own TCP port")
    connect_ns: int = Attribute("how long the TCP (and TLS) connection took to open")
    carried: int = Attribute("how many requests it has carried, those under way included")
    room: int = Attribute("how many more exchanges it can carry now")
    shown: Shown | None = Attribute("over TLS: by which certificate it stands")

    def send(payload: bytes, pending: Pending) -> None:
        """Write one whole request, once.

        If the proxy has closed or written to the idle connection before, nothing is written, and the owner hears
        `IConnectionOwner.closed`.
        """

    def more(payload: bytes) -> None:
        """Write more of the request under way, which is known to come in pieces."""

    def has_come() -> bool:
        """Whether something has come that has not been read yet, as far as can be known here."""

    def rest() -> None:
        """Read nothing until `read_on`."""

    def read_on() -> None:
        """Go on reading."""

    def close() -> None:
        """Close in order; the owner hears nothing more."""

    def abort() -> None:
        """Close at once with a reset; the owner hears nothing more."""


class IConnectionOwner(Interface):
    """Who hears what became of a connection and of each exchange on it."""

    def answered(connection: IConnection, pending: Pending) -> None:
        """Take the whole answer to a request."""

    def broken(connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        """Take the failure (a class of `history.failures`) of a request that was under way; the connection is gone.

        One with room for many tells it of each that was.
        """

    def closed(connection: IConnection, ending: Ending, message: str) -> None:
        """Learn that the connection went away while no request was under way (`message`: what is odd about it)."""


class IManyOwner(IConnectionOwner):
    """Who hears of a connection with room for many.

    ``closed`` comes once, behind ``broken`` for each exchange that was under way, and tells with `Ending.CUT` that
    there were some. An exchange that the connection was given and has not written (``written_ns`` is 0) is told of by
    neither: it is the owner's again, as it is behind a GOAWAY.
    """

    def parting(connection: IConnection, parting: Parting) -> None:
        """Learn of a GOAWAY: nothing more is sent on this connection.

        Exchanges that it turns away are told of one by one, behind it.
        """

    def begun(connection: IConnection, pending: Pending) -> None:
        """Learn that a request which ``continues`` has been written as far as it goes: the rest of it can follow."""

    def drained(connection: IConnection) -> None:
        """Learn that a connection which was told to go has ended all that was on it, and is closed from here."""


class IConnector(Interface):
    """Opens connections of one class: HTTP/1.1 in the clear or over TLS, or HTTP/2."""

    def connect(owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        """Open one connection; fails with the reasons of `twisted.internet.error`."""

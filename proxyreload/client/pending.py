"""One request under way, and in the end its answer."""

from collections.abc import Callable, Mapping, Sequence

from proxyreload.system.tcpinfo import LastState


class Pending:
    """One exchange that is not over: its id, its stamps, its deadline and as much of an answer as there is.

    It belongs to the client that sent it and is lent to the connection that carries it, which may carry others besides.
    What is 0 or empty has not happened. A plain class: one is made for each request, and only what differs is set.
    """

    number = 0  #: of the request among the client's
    request_id = b""
    due_ns = 0  #: 0: when it is written
    begun_ns = 0  #: when a connection for it was begun, 0 if there was one
    deadline_ns = 0  #: 0: its client's time-out after it was written
    carried = 0  #: how many requests the connection had carried before
    written_ns = 0  #: when it was written to the socket
    first_byte_ns = 0  #: when the first bytes of the answer were read
    last_byte_ns = 0  #: when the end of the answer was read
    unsent = False  #: whether a part of the request was not sent yet when its answer was there
    status = 0  #: status code
    instance = b""  #: who answered, as it says itself
    back_port = b""  #: the proxy's port towards it, as it says itself
    echoed_id = b""  #: the request's id as the answer has it
    body = b""  #: its first bytes where it is longer than is kept
    content = b""  #: of HTTP/2: the request's body, or its beginning
    continues = False  #: of HTTP/2: whether more of the body is still to come
    trailers: "Sequence[tuple[bytes, bytes, bool]]" = ()  #: of HTTP/2: behind the body, or the head itself
    take: "Callable[[bytes], None] | None" = None  #: takes the body as it comes; None: it is short, `body` is all of it
    #: is told when the proxy has switched to the protocol that the request asks for, with the fields of that answer by
    #: their names in lower case; from there on `take` has all that comes. None: it asks for none.
    switch: "Callable[[Mapping[bytes, bytes]], None] | None" = None
    switched_ns = 0  #: when it did
    parting = ""  #: with which words of that protocol the other side has ended it
    heard_ns = 0  #: when the latest bytes of the answer were read, if not all came at once
    added = 0  #: bytes of the request that were written after its first ones
    last_state: LastState | None = None  #: what the kernel knew of its connection, where that ended with it under way
    keep_alive = True  #: whether the answer lets the connection persist

    def __init__(self, number: int, request_id: bytes, due_ns: int = 0) -> None:
        """Begin the client's request `number`."""
        self.number = number
        self.request_id = request_id
        if due_ns:
            self.due_ns = due_ns

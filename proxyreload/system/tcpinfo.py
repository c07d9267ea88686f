"""What the kernel knows of a connection that has ended (``TCP_INFO``, Linux; tcp(7)).

Each segment of a peer's, its FIN too, acknowledges all that had come to the peer's host before it was sent (RFC 9293,
3.4). So what a FIN leaves unacknowledged had not come there. Of a RST the kernel does not look at that; and a host may
acknowledge what it has taken a while later: bytes that a RST leaves unacknowledged may have come.
"""

import fcntl
import socket
import struct
import sys
import termios

import attrs

_INT = struct.Struct("@i")
#: Of ``struct tcp_info``: the state is its first byte, and this one of the states.
_CLOSED = 7


@attrs.frozen
class LastState:
    """How things stood when the end of a connection was read."""

    fin: bool  #: the peer's FIN had come
    gone: bool  #: the kernel had given the connection up: by a RST, after the FIN if there was one
    unacknowledged: int  #: bytes that were sent and that the peer's host had not acknowledged


def last_state(handle: socket.socket, *, fin: bool) -> LastState | None:
    """Ask the kernel, before the socket is closed; `fin`: it has been read to its end. None where nobody can tell."""
    if sys.platform != "linux":
        return None
    try:
        state = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        (unacknowledged,) = _INT.unpack(fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    except (OSError, ValueError, AttributeError):  # no TCP, closed already, or a system of another kind
        return None
    return LastState(fin, state == _CLOSED, unacknowledged)

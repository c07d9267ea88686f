"""Ports: whether one is free, who has it, and which one may be had."""

import errno
import socket

import psutil

from proxyreload.errors import StartError, UsageError

PORT_MAX = 65535


def holder(port: int) -> str:
    """Return `` by NAME (pid N)`` for whoever listens on `port`, empty if that cannot be told."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def require_free(host: str, port: int, what: str) -> None:
    """Raise `StartError` if `port`, wanted for `what`, cannot be listened on."""
    if not 0 < port <= PORT_MAX:
        msg = f"{port} is not a port ({what})"
        raise UsageError(msg)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As every server does: a connection that lingers from the run before is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                msg = f"port {port} ({what}) is in use{holder(port)}"
            else:
                msg = f"port {port} ({what}) cannot be listened on: {error.strerror}"
            raise StartError(msg) from error


def free_port(host: str) -> int:
    """Return a port that nobody listens on, for a proxy's own use; ask for it just before it is listened on.

    Raises `StartError` if that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            msg = f"no port of {host} is free: {error.strerror}"
            raise StartError(msg) from error
        port: int = probe.getsockname()[1]
        return port

"""Tells twistd of ``twistd proxyreload``."""

from twisted.application.service import ServiceMaker

proxyreload = ServiceMaker(
    "proxyreload",
    "proxyreload.command.tap",
    "Change a reverse proxy's backends under load and show what that did to every request",
    "proxyreload",
)

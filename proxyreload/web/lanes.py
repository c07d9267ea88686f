"""Which clients the page draws, and what each one's strip is called."""

from collections.abc import Iterable, Mapping

from proxyreload.plan.settings import LoadSettings
from proxyreload.traffic.identity import PLAIN_KIND

#: Strips on the page, and of each of several groups of clients.
STRIPS_AT_MOST = 60
_OF_A_GROUP = 10


def lanes(load: LoadSettings) -> Mapping[int, str]:
    """Return the clients that are drawn, in order, with the names of their strips; some of each kind of traffic."""
    if not load.groups:
        return {client: str(client) for client in range(min(load.clients, STRIPS_AT_MOST))}
    drawn: dict[int, str] = {}
    groups = list(_groups(load))
    first = 0
    for kind, clients, rtt_s in groups:
        # The distance is told where it makes a difference.
        away = _away(rtt_s) if sum(kind == other for other, _clients, _rtt in groups) > 1 else ""
        for client in range(first, first + min(clients, _OF_A_GROUP)):
            if len(drawn) < STRIPS_AT_MOST:
                drawn[client] = f"{kind} {client}{away}"
        first += clients
    return drawn


def kinds(load: LoadSettings) -> Iterable[str]:
    """Return the kinds that are sent, but the probe's."""
    return dict.fromkeys(kind for kind, _clients, _rtt_s in _groups(load))


def _away(rtt_s: float) -> str:
    return f" {rtt_s * 1000:g} ms away" if rtt_s else ""


def _groups(load: LoadSettings) -> Iterable[tuple[str, int, float]]:
    yield PLAIN_KIND, load.clients, 0.0
    for group in load.groups:
        yield group.kind.name, group.clients, group.rtt_s

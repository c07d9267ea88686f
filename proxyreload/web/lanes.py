"""Which clients the page draws, and what each one's strip is called."""

from collections.abc import Iterable, Mapping, Sequence

from proxyreload.plan.traffic import Group

#: Strips on the page, and of each of several groups of clients.
STRIPS_AT_MOST = 60
_OF_A_GROUP = 10


def lanes(groups: Sequence[Group]) -> Mapping[int, str]:
    """Return the clients that are drawn, in order, with the names of their strips; some of each kind of traffic."""
    if len(groups) == 1:
        return {client: str(client) for client in range(min(groups[0].clients, STRIPS_AT_MOST))}
    drawn: dict[int, str] = {}
    names = [group.kind.name for group in groups]
    first = 0
    for group, name in zip(groups, names, strict=True):
        # The distance is told where it makes a difference.
        away = f" {group.rtt_s * 1000:g} ms away" if group.rtt_s and names.count(name) > 1 else ""
        for client in range(first, first + min(group.clients, _OF_A_GROUP)):
            if len(drawn) < STRIPS_AT_MOST:
                drawn[client] = f"{name} {client}{away}"
        first += group.clients
    return drawn


def kinds(groups: Iterable[Group]) -> Iterable[str]:
    """Return the kinds that are sent, but the probe's."""
    return dict.fromkeys(group.kind.name for group in groups)

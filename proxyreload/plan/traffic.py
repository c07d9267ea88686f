"""Who sends what: ``--traffic``, and the tables ``[[traffic]]`` of a scenario."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.system import bounds
from proxyreload.system.untrusted import printable
from proxyreload.traffic.h2 import HTTP2
from proxyreload.traffic.identity import PLAIN_KIND
from proxyreload.traffic.interfaces import Kind, Values
from proxyreload.traffic.registry import kind_named, kinds, values_of

#: Groups of one run; the report has a colour for each.
GROUPS_LIMIT = 24
#: The word for a quiet mix of every kind.
ALL = "all"
#: In a mix, how far away everybody is but the clients that were asked for by number.
MIX_RTT_S = 0.02
#: And so many clients of `get` that far away.
MIX_FAR_CLIENTS = 10
#: What a kind that says of itself no brief settings sends meanwhile.
BRIEF_RATE_PER_S = 10.0
_KEYS = ("kind", "clients", "rate", "rtt")


@attrs.frozen
class Group:
    """Clients of one kind, with the same settings."""

    kind: Kind
    clients: int
    values: Values = attrs.field(factory=dict)
    rate_per_s: float | None = None  #: over all of them; None: each as its kind does
    rtt_s: float = 0.0  #: how far away they are, there and back
    mixed: bool = False  #: of the quiet mix: left out where a mechanism cannot carry it
    refused: str = ""  #: why the user's configuration does not carry it; empty: it does, or was not tried

    @property
    def quiet_s(self) -> float:
        """How long at most nothing comes or goes by its clients' own doing: between requests, or pieces of one."""
        end = self.kind.client(self.values)
        rest_s = end.rest_s[1] if end.rest_s is not None else 0.0
        paced_s = self.clients / self.rate_per_s if self.rate_per_s else 0.0
        return max(end.quiet_s, rest_s, paced_s)

    @property
    def over_http2(self) -> bool:
        """Whether its clients speak HTTP/2."""
        return bool(self.kind.client(self.values).streams)

    @property
    def sort(self) -> str:
        """Its kind, and whether that goes over HTTP/2: what a proxy carries or does not."""
        return f"{self.kind.name} over HTTP/2" if self.over_http2 else self.kind.name

    @property
    def needs(self) -> str:
        """What a proxy must speak for it beyond HTTP/1.1, empty for nothing."""
        return self.kind.needs or (HTTP2 if self.over_http2 else "")

    @property
    def lasts_s(self) -> float:
        """How long an exchange takes by itself."""
        return self.kind.client(self.values).lasts_s

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return {
            "kind": self.kind.name,
            "clients": self.clients,
            "rate": self.rate_per_s,
            "rtt_ms": self.rtt_s * 1000,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in self.values.items()},
        }


def group(kind: Kind, clients: int, rtt_s: float = 0.0) -> Group:
    """Return clients of a kind with its own settings."""
    return Group(kind, clients, values_of(kind, ()), rtt_s=rtt_s)


def quiet_mix(*, hosted: bool) -> tuple[Group, ...]:
    """Return a few clients of every kind, 20 ms away; without backends of ours, of those that anyone answers."""
    mixed = [
        Group(kind, kind.quiet[0], values_of(kind, kind.quiet[1].items()), rtt_s=MIX_RTT_S, mixed=True)
        for kind in kinds().values()
        if kind.quiet[0] and (hosted or kind.anyone)
    ]
    return (group(kind_named(PLAIN_KIND), MIX_FAR_CLIENTS, MIX_RTT_S), *mixed)


def brief(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return a client of each kind among them but `get`, with settings with which it is soon over."""
    found = {each.kind.name: each.kind for each in groups if each.kind.name != PLAIN_KIND}
    return tuple(
        Group(kind, 1, values_of(kind, kind.brief.items()), None if kind.brief else BRIEF_RATE_PER_S)
        for kind in found.values()
    )


def spoken(groups: Iterable[Group], *, tls: bool = False) -> str:
    """Return ``get=10; 20 ms away: idle=40, post=2; over TLS``: what a verdict stands for."""
    by_rtt_s: dict[float, list[str]] = {}
    for each in groups:
        by_rtt_s.setdefault(each.rtt_s, []).append(f"{each.kind.name}={each.clients}")
    told = [(f"{rtt_s * 1000:g} ms away: " if rtt_s else "") + ", ".join(words) for rtt_s, words in by_rtt_s.items()]
    return "; ".join([*told, *(["over TLS"] if tls else [])])


def beside(
    asked: tuple[Group, ...] | None, of_the_scenario: tuple[Group, ...] | None, *, ours: bool, hosted: bool
) -> tuple[Group, ...]:
    """Return the groups of a run: those asked for, or where nobody says, the quiet mix if the changes are `ours`.

    Raises `UsageError` for one that cannot be sent.
    """
    if asked is None and of_the_scenario is None:
        return quiet_mix(hosted=hosted) if ours else ()
    return checked([*(asked or ()), *(of_the_scenario or ())], hosted=hosted)


def parsed(text: str, rtt_s: float, *, hosted: bool) -> tuple[int | None, tuple[Group, ...]]:
    """Return how many clients ``get`` has, if that is said, and the other groups; raises `UsageError`.

    ``KIND=CLIENTS[,KIND=CLIENTS…]``, or ``all``; ``get`` alone is as many as ``--clients`` says.
    """
    plain: int | None = None
    groups: list[Group] = []
    for word in text.split(","):
        name, equals, number = word.strip().partition("=")
        if name == ALL and not equals:
            groups += quiet_mix(hosted=hosted)
            continue
        kind = kind_named(name)
        if not equals and kind.name == PLAIN_KIND and not rtt_s:
            continue
        if not equals:
            msg = f"--traffic takes KIND=CLIENTS, a comma between two, or {ALL}, not {printable(repr(word), 40)}"
            raise UsageError(msg)
        clients = bounds.CLIENTS.parse(f"--traffic {name}", number)
        if kind.name == PLAIN_KIND and plain is None and not rtt_s:
            plain = clients
        else:
            groups.append(group(kind, clients, rtt_s))
    return plain, checked(groups, hosted=hosted)


def from_table(table: Mapping[str, Any]) -> Group:
    """Return one group: ``kind``, ``clients``, ``rate``, ``rtt`` (ms) and the kind's own keys; raises `UsageError`."""
    if not isinstance(table.get("kind"), str):
        msg = f"kind must be one of: {', '.join(kinds())}"
        raise UsageError(msg)
    kind = kind_named(table["kind"])
    own = [(key, value) for key, value in table.items() if key not in _KEYS or key in kind.keys]
    unknown = [key for key, _value in own if key not in kind.keys]
    if unknown:
        there_are = ", ".join([*_KEYS, *(key for key in kind.keys if key not in _KEYS)])
        msg = f"unknown key {printable(repr(unknown[0]), 40)}; {kind.name} has: {there_are}"
        raise UsageError(msg)
    rate = table.get("rate") if "rate" not in kind.keys else None
    return Group(
        kind,
        bounds.CLIENTS.of("clients", table.get("clients", kind.clients)),
        values_of(kind, own),
        None if rate is None else bounds.RATE_PER_S.of("rate", rate),
        bounds.RTT_MS.of("rtt", table.get("rtt", 0)) / 1000,
    )


def checked(groups: Iterable[Group], *, hosted: bool) -> tuple[Group, ...]:
    """Return groups that can be sent; raises `UsageError` for one that cannot."""
    made = tuple(groups)
    if len(made) > GROUPS_LIMIT:
        msg = f"{len(made)} groups of traffic are too many: {GROUPS_LIMIT} at most"
        raise UsageError(msg)
    for each in made:
        if not hosted and not each.kind.anyone:
            msg = f"traffic {each.kind.name} needs backends of ours, which know it: it does not go with --no-backends"
            raise UsageError(msg)
    return made

"""What ``run.json`` tells of what lives long: drains, old processes, ends of connections, messages of streams."""

from collections.abc import Mapping

import attrs

from proxyreload.history.events import CLOSE_FRAME, GOAWAY, RESET
from proxyreload.record.jsonfile import LARGEST, Table

#: Generations, looks at one, and paces that a file is believed to have.
_GENERATIONS_AT_MOST, _LOOKS_AT_MOST, _PACES_AT_MOST, _SLICES_AT_MOST = 20_000, 1_000, 5_000, 1_000
_PROTOCOLS = (GOAWAY, CLOSE_FRAME, RESET)

#: One of a client's connections: the client's number, and its own.
Which = tuple[int, int]


@attrs.frozen
class DrainTold:
    """What had begun at a removed backend; times in µs since the clients started."""

    at_us: int | None  #: None: some of it was left when the run ended
    under_way: Mapping[str, int]  #: by kind of traffic
    failed: int
    left: Mapping[str, int]  #: by kind


@attrs.frozen
class GenerationTold:
    """The proxy's processes between two reloads or upgrades, likewise."""

    number: int
    change: int | None  #: that began it
    since_us: int
    replaced_us: int | None
    until_us: int | None  #: None: it lived when the run ended
    on_it: tuple[tuple[int, Mapping[str, int]], ...]  #: once it was replaced: when, and clients by kind
    connections: frozenset[Which]


@attrs.frozen
class PaceTold:
    """How many messages of one exchange came in each slice of time."""

    client: int
    connection: int
    since_us: int
    slice_us: int
    messages: tuple[int, ...]


def drain_told(change: Table) -> DrainTold | None:
    """Return a change's drain, None if it has none; raises `UsageError`."""
    table = change.table("drained")
    if not table.content:
        return None
    return DrainTold(
        table.number_or_none("at_us"), table.counts("under_way"), table.number("failed"), table.counts("left")
    )


def generations_told(summary: Table) -> tuple[GenerationTold, ...]:
    """Return the generations, none in a file that knows none; raises `UsageError`."""
    told = tuple(map(_generation, summary.tables("generations", _GENERATIONS_AT_MOST)))
    if [each.number for each in told] != list(range(len(told))):
        raise summary.wrong(key="generations", message="are not numbered from 0")
    return told


def closed_by_told(summary: Table) -> dict[Which, tuple[int, str]]:
    """Return when connections ended by a word of their protocol, and by which; raises `UsageError`."""
    told = {}
    for each in summary.list("closed_by"):
        if not isinstance(each, list) or len(each) != 4 or each[3] not in _PROTOCOLS:  # noqa: PLR2004
            raise summary.wrong(key="closed_by", message="are not clients, connections, µs and ends")
        client, connection, at_us = _whole(summary, "closed_by", each[:3])
        told[client, connection] = (at_us, str(each[3]))
    return told


def goaways_told(summary: Table) -> tuple[tuple[int, int], ...]:
    """Return which client was told GOAWAY, and when in µs; raises `UsageError`."""
    return tuple((each.number("client"), each.number("time_us")) for each in summary.tables("goaways"))


def paces_told(summary: Table) -> tuple[PaceTold, ...]:
    """Return when the messages of long exchanges came; raises `UsageError`."""
    return tuple(map(_pace, summary.tables("paces", _PACES_AT_MOST)))


def _generation(table: Table) -> GenerationTold:
    pairs = [_whole(table, "connections", each, 2) for each in table.list("connections")]
    return GenerationTold(
        table.number("number"),
        table.number_or_none("change"),
        table.number("since_us"),
        table.number_or_none("replaced_us"),
        table.number_or_none("until_us"),
        tuple((look.number("at_us"), look.counts("clients")) for look in table.tables("on_it", _LOOKS_AT_MOST)),
        frozenset((client, connection) for client, connection in pairs),
    )


def _pace(table: Table) -> PaceTold:
    messages = _whole(table, "messages", table.list("messages", _SLICES_AT_MOST))
    slice_us = table.number("slice_us")
    if not slice_us:
        raise table.wrong(key="slice_us", message="is no length of time")
    return PaceTold(table.number("client"), table.number("connection"), table.number("since_us"), slice_us, messages)


def _whole(table: Table, key: str, told: object, length: int | None = None) -> tuple[int, ...]:
    """Return whole numbers from 0, of which there are `length` if that is told."""
    if (
        not isinstance(told, list)
        or (length is not None and len(told) != length)
        or not all(isinstance(each, int) and 0 <= each <= LARGEST for each in told)
    ):
        raise table.wrong(key=key, message="are not whole numbers")
    return tuple(told)

"""What ``data.csv`` tells of a request: its own row, and those of the same connection before and after it."""

from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path

import attrs

from proxyreload.record.csvlines import Cells, read_rows_of
from proxyreload.system.untrusted import of_cell, printable

_COLUMNS = (
    *(
        "time",
        "client",
        "status",
        "instance",
        "front port",
        "request",
        "written",
        "first byte",
        "connect",
        "connection",
    ),
    *("announced", "failure"),
)
#: How many are kept before and after it.
AROUND = 3


@attrs.frozen
class RequestRow:
    """One request; times in µs since the clients' start, None where there is none."""

    time_us: int
    client: int
    status: str
    instance: str
    front_port: int | None
    number: int
    written_us: int | None
    first_byte_us: int | None
    connect_us: int | None  #: how long the connection took to open, where it was opened for this request
    connection: int | None
    announced: bool
    failure: str

    @property
    def opened_us(self) -> int | None:
        """When its connection was asked for, where that was for this request."""
        if self.connect_us is None or self.written_us is None:
            return None
        return max(0, self.written_us - self.connect_us)


@attrs.define
class Passage:
    """A request, and what its client sent around it."""

    row: RequestRow
    first: RequestRow | None  #: of the connection; None: it is this one
    before: tuple[RequestRow, ...]  #: over the same connection, `AROUND` at most
    number: str  #: of the connection, as it stands
    after: list[RequestRow] = attrs.field(factory=list)  #: likewise
    elsewhere: RequestRow | None = None  #: the first that its client sent over another connection later

    @property
    def follows(self) -> bool:
        """Whether more of the same connection is of interest."""
        return len(self.after) < AROUND


@attrs.define
class _Connection:
    """The one that a client has just now, its rows not looked into yet."""

    number: str
    first: Cells
    latest: deque[Cells] = attrs.field(factory=lambda: deque(maxlen=AROUND))


def read_passages(path: Path, wanted: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], Passage]:
    """Return those of the requests `wanted`, by client and number, that the file has; raises `UsageError`."""
    found: dict[tuple[int, int], Passage] = {}
    now: dict[str, _Connection] = {}
    of_client: dict[str, list[Passage]] = {}
    sought = {(str(client), str(number)) for client, number in wanted}
    for cells in read_rows_of(path, _COLUMNS, {client for client, _number in wanted}):
        client, number = cells.text("client"), cells.text("connection")
        for passage in of_client.get(client, ()):
            if passage.elsewhere is None and (passage.follows or number != passage.number):
                _went_on(passage, _request(cells))
        connection = now.get(client)
        if connection is None or connection.number != number or not number:
            connection = now[client] = _Connection(number, cells)
        if (client, cells.text("request")) in sought:
            sought.remove((client, cells.text("request")))  # whose second row is none
            row = _request(cells)
            first = _request(connection.first) if connection.first is not cells else None
            passage = Passage(row, first, tuple(map(_request, connection.latest)), number)
            found[row.client, row.number] = passage
            of_client.setdefault(client, []).append(passage)
        connection.latest.append(cells)
    return found


def _went_on(passage: Passage, row: RequestRow) -> None:
    """Note what the client has sent next."""
    if row.connection is None or row.connection != passage.row.connection:
        passage.elsewhere = row
    else:
        passage.after.append(row)


def _request(cells: Cells) -> RequestRow:
    return RequestRow(
        time_us=cells.number("time"),
        client=cells.number("client"),
        status=printable(of_cell(cells.text("status"))),
        instance=printable(of_cell(cells.text("instance")), 60),
        front_port=cells.number_or_none("front port"),
        number=cells.number("request"),
        written_us=cells.number_or_none("written"),
        first_byte_us=cells.number_or_none("first byte"),
        connect_us=cells.number_or_none("connect"),
        connection=cells.number_or_none("connection"),
        announced=cells.text("announced") == "yes",
        failure=printable(of_cell(cells.text("failure")), 60),
    )

"""``losses.csv``: one row for each request that was lost, or carried out other than once."""

import re
from collections.abc import Sequence

import attrs

from proxyreload.history.bus import EventBus
from proxyreload.ledger.loss import Loss
from proxyreload.record.wholerows import WholeRows, quoted
from proxyreload.system.clock import NS_PER_US
from proxyreload.system.untrusted import WORDS_LIMIT, as_cell, one_line, printable
from proxyreload.traffic.identity import PROBE_MARK

COLUMNS = (
    *("time", "client", "kind", "request", "failure", "front port", "connection", "carried", "idle us"),
    *("fate", "generation", "cause", "change", "since change us", "evidence"),
)
#: What failed where no client saw a failure.
CARRIED_OUT_TWICE = "carried out twice"

_ID = re.compile(rf"{PROBE_MARK.decode('ascii')}?(\d{{1,9}})-(\d{{1,18}})", re.ASCII)


@attrs.define(eq=False)
class LossFile(WholeRows):
    """Writes every loss."""

    columns = COLUMNS
    what = "losses"

    def subscribe(self, bus: EventBus) -> None:
        """Write what `bus` brings."""
        self._take(bus, Loss, self.lost)

    def lost(self, losses: Sequence[Loss]) -> None:
        """Write a batch of rows."""
        rows = "".join(quoted(self._row(loss)) for loss in losses)
        self._write(rows.encode("utf-8"), len(losses))

    def _row(self, loss: Loss) -> tuple[object, ...]:
        """Return a row's cells; what is not known, or does not apply, is empty."""
        exchange = loss.exchange
        client, number = whose(loss)
        return (
            (loss.at_ns - self._start_ns) // NS_PER_US,
            client,
            as_cell(printable(loss.kind)),
            as_cell(number),
            as_cell(failure_of(loss)),
            exchange.front_port or "" if exchange is not None else "",
            exchange.connection if exchange is not None and exchange.connection >= 0 else "",
            exchange.carried if exchange is not None else "",
            loss.rested_ns // NS_PER_US if loss.rested_ns else "",
            loss.fate.value if loss.fate is not None else "",
            loss.generation if loss.generation is not None else "",
            loss.cause.value,
            loss.change or "",
            _cell(since_change_us(loss)),
            as_cell(one_line(loss.evidence, WORDS_LIMIT)),
        )


def whose(loss: Loss) -> tuple[int | str, int | str]:
    """Return the client's number and the request's; where a backend was told no such id, what it was told."""
    if loss.exchange is not None:
        return loss.exchange.client, loss.exchange.number
    found = _ID.fullmatch(loss.request_id)
    return (int(found[1]), int(found[2])) if found is not None else ("", printable(loss.request_id))


def failure_of(loss: Loss) -> str:
    """Return what failed, as its client saw it; what it did not see, by the fate."""
    if loss.exchange is not None and loss.exchange.failure:
        return loss.exchange.failure
    return CARRIED_OUT_TWICE if loss.fate is not None and loss.fate.twice else ""


def since_change_us(loss: Loss) -> int | None:
    """Return how long after its change was requested it was written, or should have been; None without a change.

    Without a failure of its client's: when it was done again.
    """
    at_ns = loss.exchange.sent_ns if loss.exchange is not None and loss.exchange.failure else loss.at_ns
    return (at_ns - loss.change_ns) // NS_PER_US if loss.change else None


def _cell(number: int | None) -> int | str:
    return "" if number is None else number

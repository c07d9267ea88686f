"""Puts a run's story together from its files."""

from collections.abc import Sequence

from proxyreload.explanation.causegroups import grouped
from proxyreload.explanation.moments import Case
from proxyreload.explanation.passages import Passage, read_passages
from proxyreload.explanation.screen import Told
from proxyreload.explanation.sources import Sources
from proxyreload.record.lossrows import LossRow, read_losses

_US_PER_MS = 1000
_NO_ROWS = "Its rows (data.csv) are not beside it: what went before is not told."


def tell(sources: Sources, helps: str = "") -> Told:
    """Return all that a story is made of, with an example of each cause; raises `UsageError` for a broken file."""
    losses = grouped(read_losses(sources.losses), sources.named)
    aimed = {name for name, kind in sources.record.kinds.items() if kind.aimed}
    examples = {group.cause: group.example(aimed) for group in losses.groups}
    known = cases(sources, list(examples.values()))
    return Told(
        sources.record,
        losses,
        {cause: known[example.number] for cause, example in examples.items()},
        helps,
        _NO_ROWS if sources.rows is None and losses.groups else "",
    )


def cases(sources: Sources, losses: Sequence[LossRow]) -> dict[int, Case]:
    """Return all that is known around these losses, by their numbers; raises `UsageError`."""
    wanted = {key for loss in losses if (key := loss.key) is not None}
    found = read_passages(sources.rows, wanted) if sources.rows is not None and wanted else {}
    return {loss.number: _case(sources, loss, found.get(loss.key) if loss.key else None) for loss in losses}


def _case(sources: Sources, loss: LossRow, passage: Passage | None) -> Case:
    change = next((change for change in sources.record.changes if change.number == loss.change), None)
    sent = sources.sent(loss.client)
    away_us = 0 if sent is None else round(sent.rtt_ms * _US_PER_MS / 2)
    return Case(loss, passage, change, away_us)

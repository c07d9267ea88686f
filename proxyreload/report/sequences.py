"""An example of each cause of a loss, as a sequence in time between client, proxy and backend."""

from collections.abc import Iterator, Mapping, Sequence

import attrs

from proxyreload.explanation.causegroups import CauseGroup
from proxyreload.explanation.causewords import cause_words, section
from proxyreload.explanation.moments import Lane, moments
from proxyreload.explanation.quantity import shares, since
from proxyreload.explanation.screen import Told, whose
from proxyreload.ledger.fatewords import fate_words

#: The rarer ones have their numbers in the sentence above.
CAUSES_AT_MOST = 8
#: Where the lanes are, across a drawing that is `WIDTH` wide.
LANES = {"client": 40, "proxy": 160, "backend": 280}
WIDTH = 320
#: From where to where it points; what points nowhere happens there.
_FROM_TO = {
    Lane.CLIENT: ("client", "client"),
    Lane.PROXY: ("proxy", "proxy"),
    Lane.BACKEND: ("backend", "backend"),
    Lane.ASKED: ("client", "proxy"),
    Lane.TOLD: ("proxy", "client"),
    Lane.PASSED: ("proxy", "backend"),
}


@attrs.frozen
class Line:
    """One moment of it."""

    time: str  #: from the change's request, empty where it is not known
    text: str
    begins: int  #: across the drawing
    ends: int
    lost: bool = False  #: on its way

    @property
    def stays(self) -> bool:
        """Whether it happens in one place."""
        return self.begins == self.ends


@attrs.frozen
class CauseTold:
    """An example of one cause, and what is said of all that it cost."""

    cause: str
    figures: str
    what: str
    cure: str
    page: str
    whose: str
    lines: Sequence[Line]
    since_change: bool  #: what times are counted from; or else since it was sent
    lanes: Mapping[str, int] = LANES


def sequences(told: Told) -> list[CauseTold]:
    """Return one for each cause, the most frequent first."""
    return [_sequence(told, group) for group in told.losses.groups[:CAUSES_AT_MOST]]


def _sequence(told: Told, group: CauseGroup) -> CauseTold:
    case, words = told.cases[group.cause], cause_words(group.cause)
    kinds = shares({kind or "unknown": number for kind, number in group.kinds.items()})
    fates = "; ".join(f"{number:,} {fate_words(fate).some}" for fate, number in group.fates.most_common())
    return CauseTold(
        cause=group.cause,
        figures=f"{group.number:,} of {told.losses.total:,} ({kinds}): {fates}",
        what=words.what,
        cure=words.cure,
        page=section(group.cause),
        whose=f"loss {case.loss.number}, {whose(case)}" + (f", over {case.over}" if case.over else ""),
        lines=list(_lines(told, group)),
        since_change=case.change is not None,
    )


def _lines(told: Told, group: CauseGroup) -> Iterator[Line]:
    case = told.cases[group.cause]
    for moment in moments(case):
        time = since(moment.at_us - case.zero_us) if moment.timed else ""
        if moment.lane is Lane.NOWHERE:
            middle = (LANES["proxy"] + LANES["backend"]) // 2
            yield Line(time, moment.text, LANES["proxy"], middle, lost=True)
        else:
            begins, ends = (LANES[name] for name in _FROM_TO[moment.lane])
            yield Line(time, moment.text, begins, ends)

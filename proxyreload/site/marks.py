"""Marks of verdicts: each a shape of its own, for whoever sees no colours."""

from collections.abc import Iterable

import attrs

from proxyreload.site.edition import CANNOT, NOT_RUN

_CROSS = "M3 3 13 13M13 3 3 13"
_TRIANGLE = "M8 2 15 14H1Z"
_DIAMOND = "M8 1 15 8 8 15 1 8Z"
_CIRCLE = "M2 8a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z"


@attrs.frozen
class VerdictMark:
    """How a verdict is drawn, within 16 by 16, and what it means."""

    verdict: str
    tone: str  #: its colour: ``good``, ``fair``, ``bad``, ``unsure`` or ``faint``
    path: str  #: of SVG
    means: str
    filled: bool = False

    @property
    def name(self) -> str:
        """What it goes by in a page."""
        return self.verdict.replace(" ", "-")


#: The worst first.
MARKS = (
    VerdictMark("lossy", "bad", _CROSS, "requests were lost: how many"),
    VerdictMark("racy", "bad", _TRIANGLE, "none was lost here, but resting connections were closed unannounced"),
    VerdictMark("invalid", "unsure", _DIAMOND, "the run itself is not valid", filled=True),
    VerdictMark("ineffective", "unsure", _DIAMOND, "the change was not seen in the traffic"),
    VerdictMark("graceful", "fair", _CIRCLE, "none was lost; connections were closed, each announced"),
    VerdictMark("seamless", "good", _CIRCLE, "none was lost, and no connection closed", filled=True),
    VerdictMark(CANNOT, "faint", "M2 8H14", "the mechanism cannot do it, or does not carry the kind"),
    VerdictMark(
        NOT_RUN, "faint", "M7 8a1 1 0 1 0 2 0a1 1 0 1 0 -2 0Z", "it was not run, or nothing was sent", filled=True
    ),
)
_BY_VERDICT = {mark.verdict: mark for mark in MARKS}
_SEVERITY = {mark.verdict: place for place, mark in enumerate(MARKS)}


def mark_of(verdict: str) -> VerdictMark:
    """Return a verdict's mark; of a word that is no verdict, the last one's."""
    return _BY_VERDICT.get(verdict, MARKS[-1])


def worst_of(verdicts: Iterable[str]) -> str:
    """Return the worst of these verdicts, ``not run`` if there is none."""
    return min((mark_of(verdict).verdict for verdict in verdicts), key=_SEVERITY.__getitem__, default=NOT_RUN)

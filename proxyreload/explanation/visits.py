"""What a loss's evidence says: which process held the connection, which backends had the request, which were gone."""

import re

import attrs

_VISIT = re.compile(r"backend (\S{1,60}): (answered|carried out|received in part)(, given up)?")
_GONE = re.compile(r"backend (\S{1,60}) was (removed, and gone|gone) for (\d{1,9}(?:\.\d{1,9})?) s")
_HELD = re.compile(r"held by generation (\d{1,9}), the newest was (\d{1,9})")
_AGAIN = re.compile(r"carried out again, at (.{1,80})")
_NONE = "no backend received it"

_HOW_FAR = {
    "answered": "carries it out and answers",
    "carried out": "carries it out",
    "received in part": "receives part of it",
}


@attrs.frozen
class Visits:
    """The evidence, as far as it is understood."""

    none: bool  #: no backend had it
    told: tuple[str, ...]  #: what each that had it did
    gone: tuple[tuple[str, int], ...]  #: what is said of each that was gone, and for how many µs
    again: str  #: where it was carried out once more
    held: str = ""  #: by which generation its connection was held, where there was a newer one


def visits_of(evidence: str) -> Visits:
    """Return what the parts of it say, each understood by itself or not at all."""
    none, again, held, told, gone = False, "", "", [], []
    for part in evidence.split("; "):
        if part == _NONE:
            none = True
        elif found := _VISIT.fullmatch(part):
            given_up = "; the proxy gives it up there" if found[3] else ""
            told.append(f"backend {found[1]} {_HOW_FAR[found[2]]}{given_up}")
        elif found := _GONE.fullmatch(part):
            removed = ", removed before, leaves" if found[2] != "gone" else " is gone"
            gone.append((f"backend {found[1]}{removed}", round(float(found[3]) * 1_000_000)))
        elif found := _HELD.fullmatch(part):
            held = f"generation {found[1]} has the connection, the newest is {found[2]}"
        elif found := _AGAIN.fullmatch(part):
            again = found[1]
    return Visits(none, tuple(told), tuple(gone), again, held)

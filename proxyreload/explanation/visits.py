"""What a loss's evidence says: which backends had the request, which were gone, what kernel and proxy say of it."""

import re

import attrs

_VISIT = re.compile(r"backend (\S{1,60}): (answered|carried out|received in part)(, given up)?")
_GONE = re.compile(r"backend (\S{1,60}) was (removed, and gone|gone) for (\d{1,9}(?:\.\d{1,9})?) s(?: by its end)?")
_HELD = re.compile(r"held by generation (\d{1,9}), the newest was (\d{1,9})")
_AGAIN = re.compile(r"carried out again, at (.{1,80})")
_KERNEL = re.compile(r"(?:FIN was sent before|FIN came, and|no FIN came, and) [a-zA-Z0-9, ]{1,80}")
_SAID = re.compile(r"(\d{1,9}\.\d) ms (before|after) the proxy said: (.{1,400})")
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
    kernel: str = ""  #: what the kernel knew of the connection's end
    said: tuple[tuple[str, int], ...] = ()  #: what the proxy said, and how many µs after the loss


def visits_of(evidence: str) -> Visits:
    """Return what the parts of it say, each understood by itself or not at all."""
    none, again, held, kernel, told, gone, said = False, "", "", "", [], [], []
    for part in evidence.split("; "):
        if part == _NONE:
            none = True
        elif found := _VISIT.fullmatch(part):
            given_up = "; the proxy gives it up there" if found[3] else ""
            told.append(f"backend {found[1]} {_HOW_FAR[found[2]]}{given_up}")
        elif found := _GONE.fullmatch(part):
            removed = ", which has been removed, stops" if found[2] != "gone" else " is gone"
            gone.append((f"backend {found[1]}{removed}", round(float(found[3]) * 1_000_000)))
        elif found := _HELD.fullmatch(part):
            held = f"generation {found[1]} has the connection, the newest is {found[2]}"
        elif _KERNEL.fullmatch(part):
            kernel = part
        elif found := _SAID.fullmatch(part):
            after_us = round(float(found[1]) * 1000)
            said.append((found[3], after_us if found[2] == "after" else -after_us))
        elif found := _AGAIN.fullmatch(part):
            again = found[1]
    return Visits(none, tuple(told), tuple(gone), again, held, kernel, tuple(said))

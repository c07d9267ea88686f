"""Counts by backend, however many backends somebody says there are.

Who answered is what an answer says of itself (``Backend-Id``): a proxy that is odd, or hostile, may name another one in
each.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

#: So many different ones are counted each by itself, and the rest together.
KNOWN_AT_MOST = 1024
#: The name of those.
OTHERS = "others"


def bounded(batch: Counter[str], known: AbstractSet[str], always: Collection[str]) -> Counter[str]:
    """Return counts to be added to those that are `known`: of those that there is no room for the sum.

    For ``always`` there is room.
    """
    room = KNOWN_AT_MOST - len(known)
    if len(batch) <= room or batch.keys() <= known:
        return batch
    counted: Counter[str] = Counter()
    for name, number in batch.items():
        if name in known or name in always:
            counted[name] += number
        elif room > 0:
            counted[name] += number
            room -= 1
        else:
            counted[OTHERS] += number
    return counted


def shown(counts: Mapping[str, int], most: int, always: Collection[str] = ()) -> dict[str, int]:
    """Return the counts by name, numbered ones by number; of more than `most` the highest, and ``7 others`` summed up.

    Those in ``always`` are shown beside them.
    """
    theirs = {name: number for name, number in counts.items() if name not in always}
    chosen = sorted(theirs, key=lambda name: (name == OTHERS, -theirs[name]))[:most]
    names = sorted({name for name in counts if name in always}.union(chosen), key=by_number)
    told = {name: counts[name] for name in names}
    rest = theirs.keys() - told.keys()
    if rest:
        many = "others" if len(rest) > 1 else "other"
        more = "more than " if OTHERS in rest else ""
        told[f"{more}{len(rest - {OTHERS})} {many}"] = sum(theirs[name] for name in rest)
    return told


def by_number(name: str) -> tuple[int, str]:
    """Return by what names of backends are sorted: numbers by their size."""
    return len(name), name

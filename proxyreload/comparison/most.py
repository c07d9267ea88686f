"""Counts of several, and the most of each."""

from collections.abc import Iterable, Mapping


def most_of_each(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the most of each name, those that have none left out."""
    most: dict[str, int] = {}
    for each in counts:
        most.update({name: max(number, most.get(name, 0)) for name, number in each.items() if number})
    return most

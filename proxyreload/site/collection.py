"""All editions of a site: each mechanism's newest state, and how it came there."""

from collections.abc import Iterable, Sequence

import attrs

from proxyreload.site.edition import Edition, RowTold
from proxyreload.site.marks import worst_of
from proxyreload.sources.version import Version


@attrs.frozen
class Subject:
    """One mechanism over all editions."""

    name: str
    rows: tuple[RowTold, ...]  #: the newest edition first, in it the newest version, then the conditions in their order

    @property
    def plugin(self) -> str:
        """The proxy."""
        return self.rows[0].plugin

    @property
    def address(self) -> str:
        """Its page in the site."""
        return f"mechanism/{self.rows[0].anchor}.html"

    @property
    def newest(self) -> tuple[RowTold, ...]:
        """The rows of the newest version in the newest edition, one for each condition."""
        first = self.rows[0]
        return tuple(row for row in self.rows if (row.edition, row.version) == (first.edition, first.version))

    @property
    def leaving(self) -> tuple[RowTold, ...]:
        """Those of the newest in which removed backends leave; all where there are no others.

        What one that is killed takes with it is lost with any proxy, and tells none from another.
        """
        return tuple(row for row in self.newest if not row.killed) or self.newest

    @property
    def verdict(self) -> str:
        """The worst of these."""
        return worst_of(row.verdict for row in self.leaving)

    @property
    def states(self) -> list[tuple[RowTold, ...]]:
        """The rows of each edition and version together, likewise the newest first."""
        together: dict[tuple[str, str], list[RowTold]] = {}
        for row in self.rows:
            together.setdefault((row.edition, row.version), []).append(row)
        return [tuple(rows) for rows in together.values()]


@attrs.frozen
class Collection:
    """Everything that a site shows."""

    editions: tuple[Edition, ...]  #: the newest first

    @classmethod
    def of(cls, editions: Iterable[Edition]) -> "Collection":
        """Put them in the order of time, each of them once."""
        once = {edition.id: edition for edition in editions}
        return cls(tuple(sorted(once.values(), key=lambda each: (each.started or each.day, each.id), reverse=True)))

    def edition(self, name: str) -> Edition:
        """Return one by its id."""
        return next(each for each in self.editions if each.id == name)

    @property
    def subjects(self) -> list[Subject]:
        """Every mechanism, those of a proxy together, in the order in which the newest edition has them."""
        rows: dict[str, list[RowTold]] = {}
        for edition in self.editions:
            for row in sorted(edition.rows, key=lambda row: _order(row.version), reverse=True):
                rows.setdefault(row.mechanism, []).append(row)
        named = {row.mechanism: None for edition in self.editions for row in edition.rows}
        plugins: dict[str, list[Subject]] = {}
        for name in named:
            subject = Subject(name, tuple(rows[name]))
            plugins.setdefault(subject.plugin, []).append(subject)
        return [subject for together in plugins.values() for subject in together]


def kinds_of(rows: Iterable[RowTold]) -> list[str]:
    """Return the kinds of traffic of these rows, by their names, as everywhere."""
    return sorted({tally.kind for row in rows for tally in row.kinds})


def conditions_of(subjects: Sequence[Subject]) -> list[str]:
    """Return under which conditions their newest rows are."""
    return list({row.condition: None for subject in subjects for row in subject.newest})


def _order(version: str) -> tuple[bool, Version]:
    """Return what versions are sorted by; what is none comes before those that are."""
    try:
        return True, Version.of(version)
    except ValueError:
        return False, Version((0,))

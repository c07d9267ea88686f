"""What all sources of one program have: which versions there are, and which one is meant."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from proxyreload.errors import FetchError
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.store import Offer, already_there, as_plain, folder_of, of_plain
from proxyreload.sources.version import Span, Version, is_version
from proxyreload.system.standard import say
from proxyreload.system.wholefile import read_some, write_whole

#: A source is asked again after that.
FRESH = timedelta(days=1)
_LISTED = "releases.json"
_LIST_LIMIT = 4 * 1024 * 1024


@attrs.frozen
class Listing:
    """What there is, the oldest first, and in a line each what could not be asked."""

    offers: Sequence[Offer]
    unasked: Sequence[str]


@attrs.frozen
class Catalogue:
    """The versions of one program; `tell` is called with a line about what takes a while."""

    program: str
    sources: Sequence[ISource]
    tell: Callable[[str], None] = say

    def listing(self) -> Listing:
        """Return all that can be had, and what has been fetched, whoever offers it today."""
        found: dict[tuple[str, str], Offer] = {}
        unasked = []
        for source in self.sources:
            try:
                releases = self._releases(source)
            except FetchError as error:
                releases = ()
                unasked.append(str(error))
            found |= {(source.name, each.name): Offer(source, each) for each in releases}
        for offer in already_there(self.sources):
            found.setdefault((offer.source.name, offer.release.name), offer)
        return Listing(sorted(found.values(), key=self._order), unasked)

    def meant(self, asked: str) -> Offer:
        """Return the newest that begins with a version; raises `FetchError` if there is none.

        Nobody is asked for one that is in the cache by all its numbers. Where several sources have a version, one that
        is in the cache is taken, else the first source's.
        """
        wanted = Version.of(asked)
        exact = [offer for offer in already_there(self.sources) if str(offer.version) == asked]
        if exact:
            return max(exact, key=self._order)
        listing = self.listing()
        fitting = [offer for offer in listing.offers if offer.version.begins_with(wanted)]
        whole = [offer for offer in fitting if str(offer.version) == asked]
        fitting = whole or [offer for offer in fitting if offer.version.is_final]
        for line in listing.unasked:
            if fitting:
                self.tell(line)
        if not fitting:
            raise FetchError(self._none(asked, listing))
        newest = max(offer.version for offer in fitting)
        return self._first([offer for offer in fitting if offer.version == newest])

    def newest(self) -> Offer:
        """Return the newest that is taken unasked; raises `FetchError` if there is none."""
        listing = self.listing()
        settled = [offer for offer in listing.offers if offer.release.settled]
        if not settled:
            raise FetchError(self._none("", listing))
        newest = max(offer.version for offer in settled)
        return self._first([offer for offer in settled if offer.version == newest])

    def within(self, span: Span) -> list[Offer]:
        """Return those of a range, the oldest first; raises `FetchError` if there is none."""
        listing = self.listing()
        by_version: dict[Version, list[Offer]] = {}
        for offer in listing.offers:
            by_version.setdefault(offer.version, []).append(offer)
        chosen = span.of_these(list(by_version.values()), lambda offers: offers[0].version)
        found = [self._first(offers) for offers in chosen]
        for line in listing.unasked:
            self.tell(line)
        if not found:
            raise FetchError(self._none(str(span), listing))
        return found

    def program_of(self, asked: str) -> Path:
        """Return the program of a version, fetched if it is not there; raises `FetchError`."""
        return self.program_in(self.meant(asked))

    def program_in(self, offer: Offer) -> Path:
        """Return an offer's program, fetched if it is not there; raises `FetchError`."""
        if offer.program is None:
            self.tell(f"fetching {self.program} {offer.version} ({offer.origin})")
        return offer.fetched()

    def _first(self, offers: Sequence[Offer]) -> Offer:
        """Return which of several with one version is taken: one that is there, else by the order of the sources."""
        places = {source.name: place for place, source in enumerate(self.sources)}
        return min(offers, key=lambda offer: (offer.program is None, places[offer.source.name]))

    def _order(self, offer: Offer) -> tuple[Version, str, str]:
        return offer.version, offer.source.name, offer.release.name

    def _releases(self, source: ISource) -> Sequence[Release]:
        known = folder_of(source) / _LISTED
        with suppress(OSError, ValueError):
            if datetime.fromtimestamp(known.stat().st_mtime, UTC) > datetime.now(UTC) - FRESH:
                content = json.loads(read_some(known, _LIST_LIMIT))
                return [of_plain(each) for each in content] if isinstance(content, list) else []
        self.tell(f"asking {source.name} which versions there are")
        releases = source.releases()
        with suppress(OSError):  # then it is asked again
            known.parent.mkdir(parents=True, exist_ok=True)
            write_whole(known, json.dumps([as_plain(each) for each in releases]))
        return releases

    def _none(self, asked: str, listing: Listing) -> str:
        there = ", ".join(str(each) for each in sorted({offer.version for offer in listing.offers}, reverse=True)[:20])
        what = f"no {self.program} {asked}".rstrip()
        if not self.sources:
            return f"{what}: its plugin names no source of versions"
        return "; ".join([f"{what} can be had; there are: {there or 'none'}", *listing.unasked])


def asks_for_version(asked: str | None, sources: Sequence[ISource]) -> bool:
    """Whether what is asked for is a version of something that has sources, not a path or a program's name."""
    return asked is not None and bool(sources) and is_version(asked)

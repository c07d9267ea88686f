"""``proxyreload versions``: which versions of a proxy's program can be had, and from where."""

import json
import sys
from collections.abc import Iterator

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Mechanisms
from proxyreload.errors import ExitStatus, FetchError, ProxyreloadError, UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.named import Named
from proxyreload.proxy.registry import installed, load
from proxyreload.sources.catalogue import Listing
from proxyreload.sources.store import Offer
from proxyreload.system.untrusted import line_of

#: Into a file or a pipe no line is broken.
_WIDE = 200
#: Changes with a note in the changelog.
FORMAT = 1


class VersionsOptions(Options):
    """proxyreload versions."""

    synopsis = "proxyreload versions [options] PLUGIN[@VERSION] … | --get --missing"
    longdesc = (
        "Lists the versions of a proxy that can be had, from where, and which are in the cache: those that "
        "PLUGIN[:MECHANISM]@VERSION takes. With --get it fetches: of PLUGIN@3.2 the newest that begins with 3.2, of "
        "PLUGIN the newest release. What is fetched is checked by the hashes and signatures of its registry, and "
        "nothing of it is run. Lists are asked for once a day. Exit status: 0, or 3 if something could not be had."
    )
    examples = ("proxyreload versions haproxy", "proxyreload versions --get haproxy@3.0 nginx@1.26")
    optFlags = [  # noqa: RUF012
        ["get", None, "Fetch them, and print where each program is"],
        ["missing", None, "With --get: of each plugin whose program is not installed, but what has to be built"],
        ["json", None, "Print the list as JSON"],
    ]
    compData = usage.Completions(extraActions=[Mechanisms(repeat=True)])

    def parseArgs(self, *names: str) -> None:
        """Take the plugins; raises `UsageError`."""
        self["names"] = names
        if bool(names) == bool(self["missing"]):
            msg = "name the plugins, or say --get --missing (--help says more)"
            raise usage.UsageError(msg)
        if self["missing"] and not self["get"]:
            msg = "--missing fetches: it goes with --get"
            raise usage.UsageError(msg)


@attrs.frozen
class Wanted:
    """One program, and the version of it that was named, if one was."""

    plugin: str
    binary: Binary
    version: str | None = None


def list_versions(words: list[str]) -> int:
    """Print what there is, or fetch it."""
    options = VersionsOptions()
    options.parseOptions(words)
    wanted = list(_missing()) if options["missing"] else [_wanted(name) for name in options["names"]]
    if options["get"]:
        return _get(wanted)
    listings = {each.plugin: each.binary.catalogue.listing() for each in wanted}
    if options["json"]:
        print(json.dumps(_as_json(listings), indent=2))  # noqa: T201
    else:
        _print(listings)
    return ExitStatus.LOSSLESS if all(listing.offers for listing in listings.values()) else ExitStatus.INVALID


def _wanted(name: str) -> Wanted:
    named = Named.of(name)
    plugin = named.choice.plugin
    if plugin.binary is None or not plugin.binary.sources:
        msg = f"plugin {plugin.name} names no source of versions"
        raise UsageError(msg)
    if named.program is not None and not plugin.binary.is_version(named.program):
        msg = f"{name}: {named.program} is no version"
        raise UsageError(msg)
    return Wanted(plugin.name, plugin.binary, named.program)


def _missing() -> Iterator[Wanted]:
    """Yield the programs that are nowhere, of those that a source has ready; the others are told."""
    for point in installed().values():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            print(line_of(str(error)), file=sys.stderr)  # noqa: T201
            continue
        if plugin.binary is not None and plugin.binary.sources:
            try:
                plugin.binary.find()
            except ProxyreloadError:
                if all(source.builds for source in plugin.binary.sources):
                    print(line_of(f"{plugin.name} has to be built: proxyreload versions --get {plugin.name}"))  # noqa: T201
                else:
                    yield Wanted(plugin.name, plugin.binary)


def _get(wanted: list[Wanted]) -> int:
    """Fetch them one after another; one that cannot be had keeps no other."""
    status = ExitStatus.LOSSLESS
    for each in wanted:
        catalogue = each.binary.catalogue
        try:
            offer = catalogue.meant(each.version) if each.version is not None else catalogue.newest()
            path = catalogue.program_in(offer)
        except FetchError as error:
            print(line_of(f"proxyreload: {error}"), file=sys.stderr)  # noqa: T201
            status = ExitStatus.INVALID
            continue
        print(line_of(f"{each.plugin} {offer.version}: {path}"))  # noqa: T201
    return status


def _print(listings: dict[str, Listing]) -> None:
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)
    for plugin, listing in listings.items():
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for title in (plugin, "from", "in the cache"):
            table.add_column(title, overflow="fold")
        for offer in reversed(listing.offers):
            there = "" if offer.program is None else "yes"
            table.add_row(*(Text(line_of(text)) for text in (str(offer.version), offer.origin, there)))
        console.print(table)
        for line in listing.unasked:
            console.print(Text(line_of(line)), soft_wrap=True)


def _as_json(listings: dict[str, Listing]) -> dict[str, object]:
    return {
        "format": FORMAT,
        "plugins": {
            plugin: {
                "versions": [_offer(offer) for offer in reversed(listing.offers)],
                "not_asked": list(listing.unasked),
            }
            for plugin, listing in listings.items()
        },
    }


def _offer(offer: Offer) -> dict[str, object]:
    release = offer.release
    return {
        "version": str(release.version),
        "source": offer.source.name,
        "where": release.where or None,
        "release": release.name,
        "unasked": release.settled,
        "program": None if offer.program is None else str(offer.program),
    }

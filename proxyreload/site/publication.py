"""Publishes comparisons: reads them, puts their evidence into the site, and makes all its pages anew."""

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.record.jsonfile import read_content, table_of
from proxyreload.schemas.published import schemas
from proxyreload.site.collection import Collection
from proxyreload.site.compared import edition_of
from proxyreload.site.edition import Edition
from proxyreload.site.evidence import Evidence, Wanted, evidence_in, folder_of, put_evidence
from proxyreload.site.sitefolder import INDEX, SiteFolder, comparison_of, site_folder
from proxyreload.site.sitepages import Pages
from proxyreload.site.toolindex import tool_index
from proxyreload.system.wholefile import read_some

#: What a page shows of a configuration's file.
_TEXT_LIMIT = 50_000


@attrs.frozen
class Published:
    """What came of it."""

    collection: Collection
    pages: int
    left_out: tuple[str, ...]  #: evidence that could not be put in, and why, a line each


def publish(folder: Path, comparisons: Sequence[Path], wanted: Wanted) -> Published:
    """Put comparisons into a site, with those that it has; the same ones make the same site.

    Raises `UsageError` where a comparison is not what it should be, where the folder is no site of ours or cannot be
    written: then what is there stays.
    """
    read = [_read(path) for path in comparisons]  # before anything is made
    with site_folder(folder) as site:
        before = site.editions()
        left_out: list[str] = []
        for path, content, edition in read:
            site.write(comparison_of(edition.id), content)
            left_out += _evidence_of(site, path, edition, wanted)
        collection = Collection.of([*before, *(edition for _path, _content, edition in read)])
        if not collection.editions:
            msg = f"{folder}: nothing to be published"
            raise UsageError(msg)
        evidence = {
            row.part: tuple(_found(site, edition, number))
            for edition in collection.editions
            for number, row in enumerate(edition.rows)
        }
        schemas_told = published_schemas()
        read_text = partial(_text, site)
        pages = Pages(collection, collection.subjects, evidence, read_text, sorted(schemas_told))
        count = 0
        for address, text in pages.all():
            site.write(address, text)
            count += 1
        for name, text in schemas_told.items():
            site.write(name, text)
        site.write(INDEX, tool_index(collection, evidence, sorted(schemas_told)))
        site.put_in_place()
    return Published(collection, count, tuple(left_out))


def published_schemas() -> dict[str, str]:
    """Return the schemas that a site has, by their addresses in it."""
    own = files("proxyreload.site").joinpath("schemas", "site.schema.json").read_text(encoding="utf-8")
    return {f"schemas/{name}.schema.json": text for name, text in {**schemas(), "site": own}.items()}


def _read(path: Path) -> tuple[Path, bytes, Edition]:
    content = read_content(path)
    return path, content, edition_of(table_of(path, content), content)


def _evidence_of(site: SiteFolder, path: Path, edition: Edition, wanted: Wanted) -> Iterator[str]:
    for row in edition.rows:
        for trial in row.trials:
            yield from put_evidence(path, trial, site.aside / folder_of(row, trial), wanted)


def _found(site: SiteFolder, edition: Edition, number: int) -> Iterator[Evidence]:
    row = edition.rows[number]
    for trial in row.trials:
        folder = folder_of(row, trial)
        found = evidence_in(site.where(folder), folder, trial.round)
        if found.all:
            yield found


def _text(site: SiteFolder, name: str) -> str:
    """Return the text of a file of the site, its beginning where it is long."""
    path = site.where(name.rpartition("/")[0]) / name
    text = read_some(path, _TEXT_LIMIT).decode("utf-8", "replace")
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )

"""What a site has, for other people's tools: ``index.json``."""

import json
from collections.abc import Mapping
from typing import Any

from proxyreload.site.collection import Collection
from proxyreload.site.edition import Edition, RowTold
from proxyreload.site.evidence import Evidence
from proxyreload.site.sitefolder import FORMAT, SITE, comparison_of


def tool_index(collection: Collection, evidence: Mapping[str, tuple[Evidence, ...]], schemas: list[str]) -> str:
    """Return the index: `evidence` by the rows' parts of addresses, `schemas` by where they are in the site.

    Its addresses are relative to the folder that it is in.
    """
    content = {
        "format": FORMAT,
        "site": SITE,
        "schemas": schemas,
        "editions": [_edition(edition) for edition in collection.editions],
        "mechanisms": [
            {
                "mechanism": subject.name,
                "plugin": subject.plugin,
                "address": subject.address,
                "verdict": subject.verdict,
                "edition": subject.rows[0].edition,
                "version": subject.rows[0].version or None,
            }
            for subject in collection.subjects
        ],
        "cells": [
            _cell(row, edition, evidence.get(row.part, ())) for edition in collection.editions for row in edition.rows
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _edition(edition: Edition) -> dict[str, Any]:
    return {
        "id": edition.id,
        "day": edition.day,
        "started": edition.started or None,
        "what": edition.what,
        "proxyreload": edition.proxyreload or None,
        "versions": list(edition.versions),
        "conditions": [
            {"name": each.name, "rtt_ms": each.rtt_ms, "removed": each.removed or None} for each in edition.conditions
        ],
        "address": edition.address,
        "compare": comparison_of(edition.id),
    }


def _cell(row: RowTold, edition: Edition, evidence: tuple[Evidence, ...]) -> dict[str, Any]:
    return {
        "mechanism": row.mechanism,
        "version": row.version or None,
        "proxy_version": row.proxy_version or None,
        "edition": edition.id,
        "day": edition.day,
        "condition": row.condition,
        "verdict": row.verdict,
        "why": row.why or None,
        "cure": {"advice": row.advice, "link": row.link or None} if row.advice else None,
        "exchanges": row.exchanges,
        "changes": row.changes,
        "causes": dict(row.causes),
        "command": list(row.command),
        "address": row.address,
        "kinds": {
            tally.kind: {
                "verdict": tally.verdict or None,
                "why": tally.why or None,
                "exchanges": tally.exchanges,
                "failures": tally.lost,
                "aimed": tally.aimed,
                "address": f"{row.address}#{tally.anchor}",
            }
            for tally in row.kinds
        },
        "runs": [_run(each) for each in evidence],
    }


def _run(evidence: Evidence) -> dict[str, Any]:
    def there(name: str) -> str | None:
        return f"{evidence.folder}/{name}" if name else None

    return {
        "round": evidence.round,
        "run": there(evidence.run),
        "rows": there(evidence.rows),
        "losses": there(evidence.losses),
        "report": there(evidence.report),
        "log": there(evidence.log),
        "configuration": [f"{evidence.folder}/{name}" for name in evidence.configuration],
    }

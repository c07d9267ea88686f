"""Losses as they are written, of runs with the proxies that a script can start."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from proxyreload.record.lossfile import COLUMNS

from .written import change, run_content, write_run

FIRST_PORT, FRONT_PORT = 1030, 8080


def loss(**told: object) -> Mapping[str, object]:
    """Return a request that was lost by the race, 12 ms after change 1 was asked for, but for what is told."""
    row: dict[str, object] = {
        "time": 2_013_000,
        "client": 3,
        "kind": "get",
        "request": 7,
        "failure": "closed before response, reused",
        "front port": 40003,
        "connection": 0,
        "carried": 7,
        "idle us": 5000,
        "fate": "lost_never_arrived",
        "generation": "",
        "cause": "keep-alive race",
        "change": 1,
        "since change us": 12_000,
        "evidence": "no backend received it",
    }
    row |= {name.replace("_", " "): value for name, value in told.items()}
    assert set(row) == set(COLUMNS)
    return row


#: What is lost over a connection that rested across a removal, three seconds after it: the backend had gone after one.
STALE = loss(
    time=8_000_000,
    kind="idle",
    failure="status 503",
    idle_us=4_000_000,
    cause="stale generation",
    since_change_us=3_000_000,
)


def write_losses(path: Path, rows: Iterable[Mapping[str, object]] = (), columns: Iterable[str] = COLUMNS) -> Path:
    """Write them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def run_of(mechanism: str, *, action: str = "add", instance: str = "2", **more: object) -> dict[str, Any]:
    """Return the run file's content of a run in which `mechanism` made one change."""
    made = change(1, 2_000_000, action=action, instance=instance, mechanism=mechanism)
    plugin, _colon, name = mechanism.partition(":")
    told = {
        "plugin": plugin,
        "mechanism": name,
        "url": f"http://proxyreload.test:{FRONT_PORT}/",
        "options": {
            "losses": "losses.csv",
            "first_port": FIRST_PORT,
            "timeout": 5.0,
            "stop_removed": 1.0,
            "kill_removed": None,
        },
        "traffic": [{"kind": "get", "clients": 10, "rate": None, "rtt_ms": 0.0}],
        "proxy_version": f"{plugin} 1.2",
        "command": ["--plugin", mechanism],
        "changes": [made],
        **more,
    }
    return run_content({"verdict": "lossy", "reasons": ["1 failure"]}, **told)


def write_lossy_run(folder: Path, content: Mapping[str, Any], rows: Iterable[Mapping[str, object]] = (loss(),)) -> Path:
    """Write a run file with its losses beside it."""
    write_losses(folder / "losses.csv", rows)
    return write_run(folder / "run.json", dict(content))

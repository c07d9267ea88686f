"""Runs as they are written: rows and run files for the tests of what reads them."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from proxyreload.record.csvfile import COLUMNS
from proxyreload.record.lossfile import COLUMNS as LOSS_COLUMNS

Row = Mapping[str, object]


def row(time: int, client: int = 0, **more: object) -> Row:
    """Return one exchange: a success of backend 0 that took 300 µs, but for what is told."""
    told: dict[str, object] = {
        "time": time,
        "client": client,
        "status": 200,
        "instance": "0",
        "front port": 40000 + client,
        "back port": 50000,
        "request": 0,
        "due": max(0, time - 300),
        "written": max(0, time - 300),
        "first byte": time,
        "connect": "",
        "connection": 0,
        "carried": 0,
        "announced": "",
        "failure": "",
        "kind": "get",
    }
    told |= {name.replace("_", " "): value for name, value in more.items()}
    assert set(told) == set(COLUMNS)
    return told


def lost(time: int, client: int = 0, failure: str = "reset before response, reused", **more: object) -> Row:
    """Return one failed exchange."""
    told = {"status": failure, "instance": "", "back_port": "", "first_byte": "", "failure": failure, **more}
    return row(time, client, **told)


def write_rows(path: Path, rows: Iterable[Row], columns: Iterable[str] = COLUMNS, end: str = "\n") -> Path:
    """Write them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    return path


def latency(count: int = 10) -> dict[str, object]:
    """Return the percentiles of some latencies."""
    return {"count": count, "p50_us": 100, "p99_us": 200, "p999_us": 300, "max_us": 400}


def baseline() -> dict[str, object]:
    """Return what the clients measured without the proxy."""
    return {"exchanges": 10, "rate_per_s": 10.0, "failures": {}, "latency": latency()}


def change(number: int, requested_us: int, **more: object) -> dict[str, object]:
    """Return an added backend that answered 2 ms later."""
    return {
        "number": number,
        "action": "add",
        "instance": "2",
        "mechanism": "it:reload",
        "error": None,
        "requested_us": requested_us,
        "applied_us": requested_us + 1000,
        "effective_us": requested_us + 2000,
        "verdict": "seamless",
        "reasons": [],
        "exchanges": 5,
        "failures": {},
        **more,
    }


def run_content(summary: Mapping[str, object] | None = None, **more: object) -> dict[str, Any]:
    """Return a run file's content."""
    return {
        "format": 2,
        "finished": True,
        "plugin": "it",
        "mechanism": "reload",
        "url": "http://it.test:8080/",
        "options": {"clients": 2, "rate": None, "duration": 6.0, "csv": "data.csv", "seed": 0, "first_port": 1030},
        "scenario": {
            "title": "add 2",
            "backends": [0, 1],
            "steps": [{"action": "add", "instance": 2, "at_s": 1.5}, {"action": "pause", "pause_s": 0.5}],
        },
        "proxy_version": "it 1.0",
        "versions": {"proxyreload": "0.1.0", "proxy": "it 1.0"},
        "machine": {"system": "Linux", "processors": 2},
        "changes": [change(1, 2_000_000)],
        "summary": {
            "verdict": "seamless",
            "exit_status": 0,
            "reasons": [],
            "exchanges": 0,
            "success": 0,
            "failure": 0,
            "front_changed": 0,
            "back_changed": 0,
            "failures": {},
            "detection_limit": "nothing is known",
            "duration_us": 6_000_000,
            "latency": {"before": latency()},
            "stall_max_us": 7,
            "baseline": baseline(),
            "floor": baseline(),  # its name before
            **(summary or {}),
        },
        **more,
    }


def write_run(path: Path, content: Mapping[str, object]) -> Path:
    """Write a run file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def loss_row(cause: str = "keep-alive race", **more: object) -> Row:
    """Return one loss: a request of client 0 that no backend received, over change 1 of `run_content`."""
    told: dict[str, object] = {
        "time": 2_101_000,
        "client": 0,
        "kind": "get",
        "request": 7,
        "failure": "closed before response, reused",
        "front port": 40000,
        "connection": 0,
        "carried": 7,
        "idle us": 80_000,
        "fate": "lost_never_arrived",
        "generation": "",
        "cause": cause,
        "change": 1,
        "since change us": 100_000,
        "evidence": "it had carried 7 and rested for 80.0 ms; no backend received it",
    }
    told |= {name.replace("_", " "): value for name, value in more.items()}
    assert set(told) == set(LOSS_COLUMNS)
    return told

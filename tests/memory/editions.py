"""Comparisons as ``compare`` writes them, with the files of their runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proxyreload.plan.scenario import rolling
from proxyreload.plan.settings import Settings, Target

CONDITIONS = (
    {"name": "near, leaving", "rtt_ms": 0, "removed": "leaving"},
    {"name": "near, killed", "rtt_ms": 0, "removed": "killed"},
    {"name": "far, leaving", "rtt_ms": 20, "removed": "leaving"},
    {"name": "far, killed", "rtt_ms": 20, "removed": "killed"},
)
RAN = Settings(Target.front(8080), rolling(4, 0.5, 4)).as_run()
LINK = "https://docs.haproxy.org/2.8/configuration.html#4.2-option%20redispatch"
ADVICE = "option redispatch 1, as in haproxy:reload-redispatch"


def kind(verdict: str = "seamless", exchanges: int = 40, failures: int = 0, **told: Any) -> dict[str, Any]:
    """Return what a kind of traffic came to."""
    causes = {"keep-alive race": failures} if failures else {}
    disruption = {"new_ms": 0, "reused_ms": 12.5 * failures, "without_success_ms": 100}
    return {
        "verdict": verdict,
        "exchanges": exchanges,
        "failures": failures,
        "why": None,
        "causes": causes,
        "disruption": disruption,
        "aimed": False,
        **told,
    }


#: Kinds with which nothing was lost, by which mechanisms differ in a few.
QUIET = {
    "get": kind(exchanges=3700),
    "fresh": kind(exchanges=85),
    "idle": kind("graceful", 90),
    "post": kind(),
    "websocket": kind("graceful", 40),
    "grpc": kind("cannot", 0, why="its plugin does not say that it speaks gRPC"),
    "aimed": kind("graceful", 700, aimed=True),
}
LOSING = {
    **QUIET,
    "get": kind("lossy", 3700, 18),
    "websocket": kind("lossy", 40, 3),
    "idle": kind("racy", 90),
    "aimed": kind("lossy", 700, 175, aimed=True),
}


def row(
    mechanism: str,
    condition: str = "",
    kinds: Mapping[str, Any] = QUIET,
    *,
    verdict: str = "graceful",
    says: str = "HAProxy version 2.8.25-5cf5d0683 2026/06/26",
    **told: Any,
) -> dict[str, Any]:
    """Return a row, its run in a folder that is called as it is."""
    lost = sum(each["failures"] for each in kinds.values())
    name = f"{mechanism} {condition}".replace(":", "-").replace(", ", "-").replace(" ", "-").strip("-")
    return {
        "mechanism": mechanism,
        "version": None,
        "proxy_version": says,
        "verdict": verdict,
        "why": None,
        "condition": condition,
        "command": ["proxyreload", "compare", mechanism, "--repeat", "4"],
        "cure": {"advice": ADVICE, "link": LINK} if verdict == "lossy" else None,
        "exchanges": sum(each["exchanges"] for each in kinds.values()),
        "changes": 8 if kinds else 0,
        "failures": {"closed before response, reused": lost} if lost else {},
        "kinds": kinds,
        "carries_not": {},
        "causes": {"keep-alive race": lost} if lost else {},
        "decision": None,
        "proof": None,
        "per_change": {
            "changes": 8,
            "lossy": 4,
            "failures": 2.6,
            "low": 1.2,
            "high": 4.0,
            "failures_per_million": 530.0,
        },
        "front_closed": {"idle": 64},
        "back_closed": 2,
        "stragglers": 0,
        "undrained": 0,
        "applied_ms": 254.8,
        "effective_ms": 235.4,
        "drained_ms": None,
        "p99_steady_us": 6931,
        "p99_around_us": 249087,
        "p99_baseline_us": 11799,
        "p99_floor_us": 11799,
        "price": {
            "processes": 4,
            "resident_bytes": 60_000_000,
            "cpu_s_per_change": 0.125,
            "old_generations": 8,
            "lived_on_ms": 5400,
            "left": 1,
            "on_old": {"idle": 3, "stream": 1},
        },
        "disruption": {"new_ms": 0, "reused_ms": 37.5 if lost else 0, "connections_opened_100ms": 64},
        "wall_s": 30.5,
        "trials": [{"round": 1, "verdict": verdict, "why": None, "run": f"runs/{name}/run.json"}],
        **told,
    }


def rows() -> list[dict[str, Any]]:
    """Return HAProxy's defaults and cures, one that cannot, and another proxy, under each condition."""
    told = []
    for name in (str(each["name"]) for each in CONDITIONS):
        told += [
            row("haproxy:reload", name, LOSING, verdict="lossy"),
            row("haproxy:reload-redispatch", name),
            row("haproxy:runtime", name, {**QUIET, "websocket": kind()}, verdict="seamless"),
            row("haproxy:old", name, {}, verdict="cannot", why="cannot upgrade: it has no way", trials=[], price=None),
            row("nginx:reload", name, LOSING, verdict="lossy", says="nginx version: nginx/1.31.3"),
        ]
    return sorted(told, key=lambda each: [one["mechanism"] for one in told].index(each["mechanism"]))


def comparison(
    told: Sequence[Mapping[str, Any]] | None = None, started: str = "2026-11-28T11:54:09+00:00", **others: Any
) -> dict[str, Any]:
    """Return a comparison's content."""
    content = {
        "format": 1,
        "what": "add a backend, remove one: 4 times, the quiet mix",
        "started": started,
        "versions": ["haproxy: HAProxy version 2.8.25", "nginx: nginx/1.31.3"],
        "proxyreload": "0.1.0",
        "machine": {"system": "Linux", "processors": 2, "memory_bytes": 8_000_000_000},
        "command": ["proxyreload", "compare", "--all", "--repeat", "4"],
        "conditions": list(CONDITIONS),
        "rounds": 1,
        "traffic": RAN["traffic"],
        "options": RAN["options"],
        "scenario": RAN["scenario"],
        "scoreboard": [],
        "wall_s": 600.5,
        "rows": list(rows() if told is None else told),
    }
    return {**content, **others}


#: What is left by a run, by its path within the run's folder.
LEFT = {
    "run.json": '{"format": 2}',
    "data.csv": "time,client,status\n1,0,200\n",
    "losses.csv": "time,client,kind\n",
    "report.html": "<!DOCTYPE html>\n<title>report</title><p>the report</p>",
    "proxy.log": "[NOTICE] loading success\n",
    "configuration/haproxy.cfg": "defaults\n  mode http\n# <script>alert(1)</script>\n",
    "configuration/maps/routes.map": "/ pool\n",
}


def write_comparison(folder: Path, content: Mapping[str, Any], left: Mapping[str, str] = LEFT) -> Path:
    """Write a comparison, and what is left by each of its runs; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "compare.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    for each in content["rows"]:
        for trial in each["trials"]:
            for name, text in left.items():
                file = folder / Path(trial["run"]).parent / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    return path

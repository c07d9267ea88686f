"""What was found of each mechanism, as JSON for other programs."""

import json
from collections.abc import Sequence

from proxyreload.capacity.measurement import ERROR, Capacity
from proxyreload.capacity.step import Step

#: Changes with a note in the changelog.
FORMAT = 1


def as_json(found: Sequence[Capacity], measured: dict[str, object]) -> str:
    """Return all figures; `measured` says what was asked."""
    content = {"format": FORMAT, **measured, "error": ERROR, "mechanisms": [_capacity(each) for each in found]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _capacity(capacity: Capacity) -> dict[str, object]:
    kept, beyond = capacity.kept, capacity.beyond
    return {
        "mechanism": capacity.name,
        "proxy_version": capacity.proxy_version or None,
        "kept_per_s": None if kept is None else kept.rate_per_s,
        "at_least": kept is not None and capacity.at_least,
        "failed_per_s": None if beyond is None else beyond.rate_per_s,
        "signs": [] if beyond is None else [sign.value for sign in beyond.signs],
        "known": capacity.known,
        "cannot": capacity.cannot,
        "why": capacity.why or None,
        "steps": [_step(step) for step in capacity.steps],
        "grown": [_step(step) for step in capacity.grown],
    }


def _step(step: Step) -> dict[str, object]:
    ends_ms = step.ends_ms
    return {
        "changes_per_s": step.rate_per_s,
        "backends": step.backends,
        "kept": step.kept,
        "signs": [sign.value for sign in step.signs],
        "why": step.why or None,
        "changes": step.changes,
        "lost": step.lost,
        "refused": step.refused,
        "late": step.late,
        "lag_ms": step.lag_ms,
        "worst_lag_ms": step.worst_lag_ms,
        "first_lag_ms": None if ends_ms is None else ends_ms[0],
        "last_lag_ms": None if ends_ms is None else ends_ms[1],
        "p99_us": step.p99_us,
        "processes": step.processes,
        "resident_bytes": step.resident_bytes,
        "cpu_s_per_change": step.cpu_s,
        "runs": [str(trial.run_file) for trial in step.trials],
    }

"""``run.json``: what ran, each change with its times, the summary with the verdict."""

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import attrs
import psutil

import proxyreload
from proxyreload.errors import StartError, UsageError
from proxyreload.history.events import FarKept, OldGeneration, ScheduleKept, WentAway
from proxyreload.ledger.fate import Fate
from proxyreload.system.claim import Claim
from proxyreload.system.clock import NS_PER_MS, NS_PER_US
from proxyreload.verdict.backends import shown
from proxyreload.verdict.baseline import Baseline
from proxyreload.verdict.certificates import Rotation
from proxyreload.verdict.draining import Drain
from proxyreload.verdict.generations import Generation
from proxyreload.verdict.judgement import Judgement, detection_limit, judge_change, judge_kind, judge_kinds
from proxyreload.verdict.latency import Told
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.price import Price
from proxyreload.verdict.race import race_of
from proxyreload.verdict.tally import Tallies
from proxyreload.verdict.threshold import Decision
from proxyreload.verdict.windows import Closures, ObservedChange

#: Changes with a note in the changelog.
FORMAT = 2
#: Those that can be read: the first had no kinds of traffic.
FORMATS = (1, 2)
#: Backends that are told by name, besides our own.
_STRANGERS = 64


@attrs.define(eq=False)
class RunFile:
    """Writes the file twice: at the start, without a summary, and whole at the end."""

    path: Path
    content: dict[str, object] = attrs.field(factory=dict)
    _claim: Claim | None = attrs.field(default=None, init=False)

    def claim(self) -> None:
        """Claim the file, and leave what is there; raises `UsageError` if it cannot be written."""
        try:
            self._claim = Claim.of(self.path, whole=True)
        except OSError as error:
            raise UsageError(self._cannot(error)) from error

    def open(self, ran: Mapping[str, object]) -> None:
        """Write what is to run, claimed or not yet; raises `UsageError` if the file cannot be written."""
        begun = {"format": FORMAT, "finished": False, "started": datetime.now(UTC).isoformat(timespec="seconds")}
        self.content = {**begun, **ran, "versions": _versions(ran), "machine": machine()}
        if self._claim is None:
            self.claim()
        try:
            self._write()
        except OSError as error:
            raise UsageError(self._cannot(error)) from error

    def sends(self, traffic: object) -> None:
        """Write down that this is sent in place of what was to be; raises `StartError` if that fails."""
        self.content["traffic"] = traffic
        self._rewrite()

    def finish(self, observation: Observation, judgement: Judgement, decision: Decision | None = None) -> None:
        """Write it whole, with what was decided by it; raises `StartError` if that fails, and leaves what is there."""
        self.content["finished"] = True
        prices, service_us = observation.prices.by_change, _service_us(observation)
        self.content["changes"] = [
            change_as_run(
                change,
                observation.started_ns,
                service_us,
                hosted=observation.ledger.hosted,
                price=prices.get(change.number),
            )
            for change in observation.changes
        ]
        self.content["summary"] = _summary(observation, judgement, decision or Decision(judgement.verdict.exit_status))
        self._rewrite()

    def close(self) -> None:
        """Let go of the file."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _rewrite(self) -> None:
        try:
            self._write()
        except OSError as error:
            raise StartError(self._cannot(error)) from error

    def _write(self) -> None:
        assert self._claim is not None  # noqa: S101
        self._claim.replace(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n")

    def _cannot(self, error: OSError) -> str:
        return f"{self.path} cannot be written: {error.strerror}"


def _versions(ran: Mapping[str, object]) -> dict[str, object]:
    packages = {name: version(name) for name in ("twisted", "treq", "httptools", "jh2")}
    return {
        "proxyreload": proxyreload.__version__,
        "python": platform.python_version(),
        **packages,
        "proxy": ran.get("proxy_version", ""),
    }


def machine() -> dict[str, object]:
    """Return what the machine is, as it stands in ``run.json``."""
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _since_us(at_ns: int, start_ns: int) -> int | None:
    return (at_ns - start_ns) // NS_PER_US if at_ns else None


def _service_us(observation: Observation) -> int:
    """Return how long an answer takes, in the median, away from the changes."""
    return observation.steady_and_around()[0].percentile_us(50)


def change_as_run(
    change: ObservedChange, start_ns: int, service_us: int = 0, *, hosted: bool, price: Price | None = None
) -> dict[str, object]:
    """Return a change as it stands in the file; `hosted`: backends of ours tell what they see."""
    race = race_of(change, service_us)
    judgement = judge_change(change)
    judgements = {kind: judge_kind(tally) for kind, tally in change.kinds.by_kind.items()}
    return {
        "number": change.number,
        "action": change.action,
        "instance": change.instance,
        "mechanism": change.mechanism,
        "requested_us": _since_us(change.requested_ns, start_ns),
        "applied_us": _since_us(change.applied_ns, start_ns),
        "effective_us": _since_us(change.effective_ns, start_ns),
        "drained_us": _since_us(change.drained_ns, start_ns),
        "drained": _drained(change.drain, start_ns),
        "error": change.refused or None,
        "verdict": judgement.verdict.value,
        "reasons": list(judgement.reasons),
        "exchanges": change.exchanges,
        "failures": change.failures,
        "turned_away": sum(tally.turned_away for tally in change.kinds.by_kind.values()),
        "stragglers": change.stragglers,
        "outdated": change.outdated,
        **_closures(change.closures),
        "race": race.as_run() if race is not None else None,
        "certificate": _rotation(change.rotation, start_ns),
        "route": change.route or None,
        "price": price.as_run() if price is not None else None,
        "disruption": change.disruption.as_run(),
        "kinds": {
            kind: {**told, "ledger": change.kinds.by_kind[kind].ledger() if hosted else None}
            for kind, told in _kinds(change.kinds, judgements).items()
        },
    }


def _rotation(rotation: Rotation | None, start_ns: int) -> dict[str, object] | None:
    """Return what new connections were shown of a change of the certificate."""
    if rotation is None:
        return None
    return {
        "number": rotation.number or None,
        "serial": rotation.serial or None,
        "shown": rotation.shown,
        "shown_us": _since_us(rotation.shown_ns, start_ns),
        "old_shown": rotation.old_shown,
        "old_shown_us": _since_us(rotation.old_shown_ns, start_ns),
        "old_resumed": rotation.old_resumed,
    }


def kinds_as_run(observation: Observation) -> dict[str, dict[str, object]]:
    """Return what became of each kind, with how many of its requests arrived at a backend; null: nobody knows."""
    told = _kinds(observation.kinds, judge_kinds(observation))
    arrivals, ledger = observation.arrivals_by_kind, observation.ledger
    for kind, each in told.items():
        each["arrivals"] = arrivals.get(kind, 0) if arrivals else None
        each["ledger"] = _ledger(ledger.counts.get(kind, Counter())) if ledger.hosted else None
    return told


def _kinds(tallies: Tallies, judgements: Mapping[str, Judgement]) -> dict[str, dict[str, object]]:
    """Return each kind's verdict and what it rests on."""
    told: dict[str, dict[str, object]] = {}
    for kind, tally in tallies.by_kind.items():
        judgement = judgements[kind]
        told[kind] = {
            "verdict": judgement.verdict.value,
            "reasons": list(judgement.reasons),
            "exchanges": tally.exchanges,
            "failures": tally.failures,
            "turned_away": tally.turned_away,
            "aimed": kind in tallies.aimed,
            "front_closed": {ending.value: number for ending, number in tally.front.items()},
        }
    return told


def _drained(drain: Drain | None, start_ns: int) -> dict[str, object] | None:
    """Return until when what had begun at a removed backend went on there, and what that was."""
    if drain is None:
        return None
    return {
        "at_us": _since_us(drain.drained_ns, start_ns),
        "under_way": dict(drain.kinds),
        "failed": drain.failed,
        "left": dict(drain.left),
    }


def _ledger(counts: Counter[Fate]) -> dict[str, int]:
    """Return how many requests had which fate."""
    return {fate.value: counts[fate] for fate in Fate}


def _closures(closures: Closures) -> dict[str, object]:
    return {
        "front_closed": {ending.value: number for ending, number in closures.front.items()},
        "back_closed": closures.back,
    }


def _latency(latency: Told) -> dict[str, int]:
    return {
        "count": latency.count,
        "p50_us": latency.percentile_us(50),
        "p99_us": latency.percentile_us(99),
        "p999_us": latency.percentile_us(99.9),
        "max_us": latency.max_us,
    }


def _baseline(baseline: Baseline | None) -> dict[str, object] | None:
    if baseline is None:
        return None
    return {
        "exchanges": baseline.exchanges,
        "rate_per_s": round(baseline.rate_per_s, 1),
        "failures": dict(baseline.failures),
        "latency": {**_latency(baseline.latency), "percentiles": baseline.latency.percentiles()},
        "kinds": {
            kind: {"exchanges": each.exchanges, "failures": dict(each.failures), "latency": _latency(each.latency)}
            for kind, each in baseline.kinds.items()
        },
    }


def _schedule(schedule: ScheduleKept | None) -> dict[str, object] | None:
    if schedule is None:
        return None
    return {
        "requests": schedule.requests,
        "kept": schedule.kept,
        "slipped": schedule.slipped,
        "slip_max_us": schedule.slip_peak_ns // NS_PER_US,
        "never_sent": schedule.never_sent,
        "late": {str(client): late for client, late in schedule.late.items()},
        "late_max_us": schedule.late_peak_ns // NS_PER_US,
    }


def _far(kept: FarKept) -> dict[str, object]:
    return {
        "rtt_ms": kept.rtt_ns / NS_PER_MS,
        "times": kept.times,
        "late_mean_us": round(kept.late_mean_us),
        "late_p50_us": kept.late_percentile_us(50),
        "late_p99_us": kept.late_percentile_us(99),
        "late_max_us": kept.late_percentile_us(100),
        "kept": kept.kept,
    }


def _goaway(event: WentAway, start_ns: int) -> dict[str, object]:
    """Return a GOAWAY as it stands in the file."""
    return {
        "time_us": _since_us(event.at_ns, start_ns),
        "client": event.client,
        "kind": event.kind,
        "connection": event.connection,
        "front_port": event.front_port,
        "last_stream": event.last_stream,
        "code": event.code,
        "open": event.open,
        "turned_away": event.turned_away,
        "message": event.message,
    }


def _old_generation(old: OldGeneration | None) -> dict[str, object] | None:
    """Return how long the run went on for the proxy's old processes, and how many were left."""
    if old is None:
        return None
    return {
        "processes": old.first,
        "waited_us": old.waited_ns // NS_PER_US,
        "left": old.left,
        "unknown": old.unknown or None,
    }


def _generation(generation: Generation, start_ns: int) -> dict[str, object]:
    """Return since when and until when some processes of the proxy lived, and whose connections they held."""
    return {
        "number": generation.number,
        "change": generation.change or None,
        "since_us": (generation.since_ns - start_ns) // NS_PER_US,
        "replaced_us": _since_us(generation.replaced_ns, start_ns),
        "until_us": _since_us(generation.until_ns, start_ns),
        "on_it": [{"at_us": _since_us(at_ns, start_ns), "clients": dict(kinds)} for at_ns, kinds in generation.on_it],
        "connections": [[holding.client, holding.connection] for holding in generation.connections],
    }


def _rates(observation: Observation) -> dict[str, object]:
    """Return the rates that were set while the clients were sending, if there were any."""
    rates = [
        {"at_us": _since_us(each.at_ns, observation.started_ns), "rate": each.rate_per_s} for each in observation.rates
    ]
    return {"rates": rates} if rates else {}


def _unknown(observation: Observation) -> dict[str, object]:
    """Return of which backend it is not known what it saw, from when to when, if there is one."""
    start_ns = observation.started_ns
    unknown = [
        {
            "instance": each.instance,
            "since_us": _since_us(each.since_ns, start_ns),
            "until_us": _since_us(each.at_ns, start_ns),
        }
        for each in observation.lost_records
    ]
    return {"unknown": unknown} if unknown else {}


def _summary(observation: Observation, judgement: Judgement, decision: Decision) -> dict[str, object]:
    counts, repetition, proof = observation.counts, observation.repetition, observation.proof
    baseline = _baseline(observation.baseline)
    return {
        "verdict": judgement.verdict.value,
        "exit_status": int(decision.status),
        "decision": decision.as_run(),
        "reasons": list(judgement.reasons),
        "exchanges": counts.total,
        "success": counts.success,
        "failure": counts.failure,
        "turned_away": counts.turned_away,
        "front_changed": counts.front_changed,
        "back_changed": counts.back_changed,
        "failures": counts.by_failure,
        "kinds": kinds_as_run(observation),
        "ledger": _ledger(observation.ledger.total) if observation.ledger.hosted else None,
        "causes": {cause.value: number for cause, number in observation.causes.most_common()},
        "detection_limit": detection_limit(observation.kinds.rated.exchanges) if not counts.failure else None,
        "per_change": repetition.as_run() if repetition is not None else None,
        "proof": proof.as_run() if proof is not None else None,
        **_rates(observation),
        **_unknown(observation),
        "duration_us": _since_us(observation.ended_ns, observation.started_ns),
        "answers_by_instance": shown(observation.answers_by_instance, _STRANGERS, observation.arrivals_by_instance),
        "arrivals_by_instance": observation.arrivals_by_instance,
        "before_changes": _closures(observation.before),
        "tls": observation.certificates.as_run(),
        "closed_idle": [
            [closed.client, closed.connection, _since_us(closed.closed_ns, observation.started_ns)]
            for closed in observation.kept.closed_idle
        ],
        "goaways": [_goaway(each, observation.started_ns) for each in observation.kept.goaways],
        "closed_by": [
            [closed.client, closed.connection, _since_us(closed.closed_ns, observation.started_ns), closed.how]
            for closed in observation.kept.closed_by
        ],
        "paces": [
            {
                "client": pace.client,
                "connection": pace.connection,
                "request": pace.number,
                "since_us": _since_us(pace.begun_ns, observation.started_ns),
                "slice_us": pace.slice_ns // NS_PER_US,
                "messages": list(pace.counts),
            }
            for pace in observation.kept.paces
        ],
        "generations": [_generation(each, observation.started_ns) for each in observation.generations.all],
        "price": observation.prices.as_run(observation.generations),
        "baseline": baseline,
        "floor": baseline,  # its name before; scripts may read it
        "old_generation": _old_generation(observation.old_generation),
        "left_undone": [
            {"what": each.what, "reason": each.reason, "at_us": _since_us(each.at_ns, observation.started_ns)}
            for each in observation.left_undone
        ],
        "stall_max_us": observation.stall_ns // NS_PER_US,
        "schedule": _schedule(observation.schedule),
        "far": [_far(kept) for kept in observation.far],
        "latency": {phase.name: _latency(phase.latency) for phase in observation.phases},
    }

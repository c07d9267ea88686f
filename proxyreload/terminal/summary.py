"""The summary at the end of a run, for people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from proxyreload.history.events import SLIP_NS, FarKept, RecordLost, ScheduleKept
from proxyreload.system.clock import NS_PER_MS, seconds
from proxyreload.terminal.fates import fate_lines
from proxyreload.verdict.backends import shown
from proxyreload.verdict.certificates import Rotation
from proxyreload.verdict.disruption import Disruption
from proxyreload.verdict.judgement import (
    Judgement,
    Verdict,
    by_class,
    counted,
    detection_limit,
    judge_change,
    judge_kinds,
)
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.race import race_of
from proxyreload.verdict.threshold import Decision
from proxyreload.verdict.windows import ObservedChange

#: A stall from here on is worth a line.
WORTH_SAYING_NS = 100 * NS_PER_MS
#: Backends that are named.
_BACKENDS = 16


def summary_lines(
    observation: Observation,
    judgement: Judgement,
    what: str,
    written: Sequence[str] = (),
    helps: str = "",
    cannot: Mapping[str, str] | None = None,
    shows: str = "",
    decision: Decision | None = None,
) -> Iterator[str]:
    """Yield the lines that say what happened, what was `written`, what `helps`; the last is the verdict.

    Behind it stands the `decision`, where somebody has said what it is to be made by.

    `shows` is what makes the proxy show another certificate.
    """
    yield ""
    yield what
    repetition = observation.repetition
    if repetition is None:
        service_us = observation.steady_and_around()[0].percentile_us(50)
        for change in observation.changes:
            yield from _change_lines(change)
            race = race_of(change, service_us)
            if race is not None:
                yield f"    {race.line()}"
    else:
        yield from _repetition_lines(observation.changes)
        yield repetition.line() + ("; all this but what was aimed" if observation.proof is not None else "")
    yield from _kind_lines(observation)
    yield from (f"{kind}  cannot: {why}" for kind, why in (cannot or {}).items())
    yield from filter(None, [observation.certificates.words])
    yield from _latency_lines(observation)
    yield from _own_lines(observation)
    for unproved in observation.unproved:
        yield (
            f"change {unproved.number}, {unproved.name}, was not seen in the traffic within {unproved.waited_s:g} s: "
            "the run went on without its proof"
        )
    yield from (f"left undone: {undone.what}: {undone.reason}" for undone in observation.left_undone)
    old = observation.old_generation
    yield from filter(None, [old.words if old is not None else ""])
    yield from _price_lines(observation)
    yield from _answer_lines(observation)
    yield from map(_lost_record_line, observation.lost_records)
    yield from written
    counts = observation.counts
    rated, proof = observation.kinds.rated, observation.proof
    if rated.lost:
        yield f"failures: {rated.lost} of {counted(rated.exchanges, 'exchange')}: {by_class(rated.failures)}"
    elif counts.success:
        yield detection_limit(rated.exchanges)
    if proof is not None:
        yield proof.line()
    yield from fate_lines(observation)
    if helps and judgement.verdict is Verdict.LOSSY:
        yield f"what helps: {helps}"
    if shows and any(map(_stayed, observation.changes)):
        yield f"what makes it show another certificate: {shows}"
    yield f"verdict: {judgement.verdict.value}" + (f" ({'; '.join(judgement.reasons)})" if judgement.reasons else "")
    yield from filter(None, [decision.words if decision is not None else ""])


def _change_lines(change: ObservedChange) -> Iterator[str]:
    judgement = judge_change(change)
    yield f"change {change.number}, {change.name}: {judgement.verdict.value}"
    if change.applied_ns:
        times = [f"applied after {_ms(change.applied_ns - change.requested_ns)}"]
        effective_ns = change.effective_ns
        if change.rotation is not None:
            times += _shown_times(change.rotation, change.requested_ns)
        elif change.action != "remove" and effective_ns:
            first = "first answer" if change.instance else "first answer over a new connection"
            first = "the edited route answered" if change.route else first
            times.append(f"{first} after {_ms(effective_ns - change.requested_ns)}")
        if change.action == "remove" and judgement.verdict is not Verdict.INEFFECTIVE:
            last = f"last answer after {_ms(effective_ns - change.requested_ns)}" if effective_ns else "no answer after"
            times.append(last)
            times.append(counted(change.stragglers, "straggler"))
            times += _drain_words(change)
        yield f"    {', '.join(times)}"
    for reason in judgement.reasons:
        yield f"    {reason}"
    yield from (f"    {line}" for line in _disruption_lines(change.disruption))
    if not change.failures:
        yield f"    0 failures in {counted(change.exchanges, 'exchange')}"


def _disruption_lines(disruption: Disruption) -> Iterator[str]:
    """Yield for how long the kinds that lost something were not served, and how many clients connected at once."""
    hit = {kind: told for kind, told in disruption.kinds.items() if told.disrupted}
    if not hit:
        return
    silent = ", ".join(f"{kind} {_ms(told.silent_ns)}" for kind, told in hit.items())
    new_ns, reused_ns = (max(getattr(told, sort).longest_ns for told in hit.values()) for sort in ("new", "reused"))
    longest = {"new": new_ns, "reused": reused_ns}
    outages = [f"{sort} connections failed for {_ms(ns)}" for sort, ns in longest.items() if ns]
    yield f"longest without a success: {silent}; {', '.join(outages)}"
    yield f"{counted(disruption.storm, 'connection')} opened in the busiest 100 ms"


def _drain_words(change: ObservedChange) -> Iterator[str]:
    """Say until when what had begun at a removed backend went on there; nothing if nothing had."""
    drain = change.drain
    if drain is None or not drain.kinds:
        return
    if drain.left:
        yield f"not drained when the run ended: {by_class(drain.left)} left"
    else:
        failed = f", {counted(drain.failed, 'failure')}" if drain.failed else ""
        yield f"drained after {_ms(drain.drained_ns - change.requested_ns)} ({by_class(drain.kinds)}{failed})"


def _stayed(change: ObservedChange) -> bool:
    """Whether the certificate was to be another one, the proxy has said that it is, and it was never shown."""
    return change.rotation is not None and bool(change.applied_ns and change.rotation.why_not)


def _shown_times(rotation: Rotation, requested_ns: int) -> Iterator[str]:
    """Yield when the new certificate was first shown, and what became of the one before."""
    if rotation.shown_ns:
        yield f"certificate {rotation.number} first shown after {_ms(rotation.shown_ns - requested_ns)}"
    if rotation.old_shown_ns:
        yield f"the one before last shown after {_ms(rotation.old_shown_ns - requested_ns)}"
    if rotation.old_resumed:
        yield f"{counted(rotation.old_resumed, 'session')} of it resumed after that was applied"


def _repetition_lines(changes: Sequence[ObservedChange]) -> Iterator[str]:
    """Yield what is worth a line of many changes: those that were not seamless, and how long all took."""
    for change in changes:
        judgement = judge_change(change)
        if judgement.verdict is not Verdict.SEAMLESS:
            yield f"change {change.number}, {change.name}: {judgement.verdict.value} ({'; '.join(judgement.reasons)})"
    verdicts = Counter(judge_change(change).verdict for change in changes)
    yield f"changes: {', '.join(f'{number} {verdict.value}' for verdict, number in verdicts.items())}"
    applied = [change.applied_ns - change.requested_ns for change in changes if change.applied_ns]
    effective = [change.effective_ns - change.requested_ns for change in changes if change.effective_ns]
    drains = [(change, change.drain) for change in changes if change.drain is not None and change.drain.kinds]
    drained = [drain.drained_ns - change.requested_ns for change, drain in drains if not drain.left]
    for word, times_ns in (("applied", applied), ("effective", effective), ("drained", drained)):
        if times_ns:
            yield f"{word} after {_ms(round(median(times_ns)))} (median; at most {_ms(max(times_ns))})"
    yield f"stragglers: {sum(change.stragglers for change in changes)}"
    left = sum(bool(drain.left) for _change, drain in drains)
    if left:
        yield f"not drained when the run ended: {counted(left, 'removed backend')}"


def _kind_lines(observation: Observation) -> Iterator[str]:
    """Yield what became of each kind, where there is more than the clients asked for by number and the probe."""
    tallies = observation.kinds.by_kind
    if not observation.kinds.several:
        return
    width = max(map(len, tallies))
    for kind, judgement in judge_kinds(observation).items():
        reasons = f" ({'; '.join(judgement.reasons)})" if judgement.reasons else ""
        yield f"{kind:<{width}}  {judgement.verdict.value}, {counted(tallies[kind].exchanges, 'exchange')}{reasons}"


def _latency_lines(observation: Observation) -> Iterator[str]:
    steady, around = observation.steady_and_around()
    for name, latency in (("steady", steady), ("around the changes", around)):
        if latency.count:
            p50, p99 = latency.percentile_us(50), latency.percentile_us(99)
            yield f"latency {name}: p50 {p50} µs, p99 {p99} µs, max {latency.max_us} µs ({latency.count} exchanges)"
    baseline = observation.baseline
    if baseline is not None and baseline.latency.count:
        p50, p99 = baseline.latency.percentile_us(50), baseline.latency.percentile_us(99)
        others = sum(each.exchanges for each in baseline.kinds.values())
        beside = f"; {counted(others, 'exchange')} of other kinds" if others else ""
        yield f"baseline, straight to the backends: p50 {p50} µs, p99 {p99} µs ({baseline.rate_per_s:.0f}/s{beside})"


def _own_lines(observation: Observation) -> Iterator[str]:
    """Yield how exact the instrument was."""
    yield from _schedule_lines(observation.schedule)
    yield from map(_far_line, observation.far)
    if observation.stall_ns > WORTH_SAYING_NS:
        yield f"proxyreload itself stood still for {_ms(observation.stall_ns)}: latencies around that are its own"


def _schedule_lines(schedule: ScheduleKept | None) -> Iterator[str]:
    if schedule is None:
        return
    if schedule.slipped:
        kept = "" if schedule.kept else "THE SCHEDULE SLIPPED, latencies include that: "
        yield (
            f"{kept}{schedule.slipped} of {schedule.requests} requests were made due more than "
            f"{SLIP_NS // NS_PER_MS} ms late by proxyreload itself, at most {_ms(schedule.slip_peak_ns)}"
        )
    if schedule.never_sent:
        yield f"{schedule.never_sent} of {counted(schedule.requests, 'request')} that were due were never sent"
    if schedule.late:
        clients = ", ".join(f"client {client}: {late}" for client, late in schedule.late.items())
        yield f"fell behind, waiting for answers: {clients}; at most {_ms(schedule.late_peak_ns)}"


def _far_line(kept: FarKept) -> str:
    """Say how exact a distance was: it is marked where that was too little."""
    mark = "" if kept.kept else f"NOT KEPT within {kept.limit_us / 1000:g} ms, proxyreload or the machine is too busy: "
    p99_ms, most_ms = kept.late_percentile_us(99) / 1000, kept.late_percentile_us(100) / 1000
    late = f"p99 {p99_ms:.2f} ms, at most {most_ms:.2f} ms"
    return f"distance {kept.rtt_ns / NS_PER_MS:g} ms: {mark}longer each way by {late}"


def _price_lines(observation: Observation) -> Iterator[str]:
    """Yield what the proxy took of its host."""
    run = observation.prices.run
    if run is None:
        return
    before = run.before
    lived = [each.lived_on_ns for each in observation.generations.all if each.lived_on_ns is not None]
    on = f"; replaced ones lived on for {seconds(max(lived)):.1f} s at most" if lived else ""
    yield (
        f"price: at most {_process_words(run.processes, run.resident_bytes)}, before the changes "
        f"{_process_words(before.processes, before.resident_bytes)}; {seconds(run.cpu_ns):.1f} s of CPU in "
        f"{seconds(run.lasted_ns):.1f} s{on}"
    )


def _process_words(number: int, resident_bytes: int) -> str:
    return f"{number} {'process' if number == 1 else 'processes'} with {resident_bytes / 1_000_000:.0f} MB"


def _answer_lines(observation: Observation) -> Iterator[str]:
    answers, arrivals = observation.answers_by_instance, observation.arrivals_by_instance
    told = shown({name: answers.get(name, 0) for name in answers.keys() | arrivals.keys()}, _BACKENDS)
    if told:
        # Of those that have no name here it is told together what was lost.
        unanswered = {name: arrivals.get(name, 0) - answers.get(name, 0) for name in arrivals}
        rest = sum(max(0, number) for name, number in unanswered.items() if name not in told)
        parts = []
        for name, number in told.items():
            lost = unanswered.get(name, 0 if name in answers else rest)
            part = f"{name}: {number}"
            parts.append(f"{part} (and {lost} that arrived but were not answered to a client)" if lost > 0 else part)
        yield f"answers by backend: {', '.join(parts)}"
    if observation.ended_ns and observation.started_ns:
        duration_s = seconds(observation.ended_ns - observation.started_ns)
        total = observation.counts.total
        yield f"{total} exchanges in {duration_s:.1f} s, {total / duration_s:.0f}/s"


def _lost_record_line(lost: RecordLost) -> str:
    lasted = _ms(lost.at_ns - lost.since_ns)
    return f"what backend {lost.instance} saw in its last {lasted} is not known: it died before it had told"


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / NS_PER_MS:.1f} ms"

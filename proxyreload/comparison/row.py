"""All of a contender's trials in one row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import attrs

from proxyreload.comparison.cell import label
from proxyreload.comparison.condition import UNCHANGED, Condition
from proxyreload.comparison.most import most_of_each
from proxyreload.comparison.trial import Trial, TrialDisruption, TrialPrice
from proxyreload.errors import ExitStatus
from proxyreload.ledger.cause import Cause
from proxyreload.proxy.interfaces import Cure
from proxyreload.proxy.named import parted
from proxyreload.sources.version import is_version
from proxyreload.system.clock import NS_PER_MS, NS_PER_S
from proxyreload.verdict.judgement import Verdict, worst
from proxyreload.verdict.latency import Latency, Packed
from proxyreload.verdict.proof import Proof, together
from proxyreload.verdict.repetition import Repetition, repetition
from proxyreload.verdict.threshold import Decision, Measured, Outcome, Thresholds, decide


@attrs.frozen
class Row:
    """What a contender's trials came to; ``why`` says what kept it from coming to anything, or spoilt it."""

    name: str
    trials: tuple[Trial, ...]
    verdict: Verdict | None  #: the worst of the trials; None if none came to one
    cannot: bool
    why: str
    cure: Cure | None
    condition: Condition = UNCHANGED

    @property
    def label(self) -> str:
        """Its name, and the condition that it was run under."""
        return label(self.name, self.condition)

    @property
    def mechanism(self) -> str:
        """``plugin:mechanism``, and ``+file`` if it had one, without the version or the program that was named."""
        mechanism, program = parted(self.name)
        _program, plus, file = (program or "").partition("+")
        return f"{mechanism}{plus}{file}"

    @property
    def version(self) -> str:
        """The version that was asked for, empty if none was."""
        program = (parted(self.name)[1] or "").partition("+")[0]
        return program if is_version(program) else ""

    @property
    def proxy_version(self) -> str:
        """As the program told it."""
        return next((trial.proxy_version for trial in self.trials if trial.proxy_version), "")

    @property
    def exchanges(self) -> int:
        """In all trials."""
        return sum(trial.exchanges for trial in self.trials)

    @property
    def failures(self) -> Counter[str]:
        """By class, in all trials."""
        return sum((trial.failures for trial in self.trials), Counter())

    @property
    def kinds(self) -> dict[str, tuple[int, int]]:
        """Of each kind of traffic exchanges and failures, in all trials."""
        total: dict[str, tuple[int, int]] = {}
        for trial in self.trials:
            for kind, (exchanges, failures) in trial.kinds.items():
                before = total.get(kind, (0, 0))
                total[kind] = (before[0] + exchanges, before[1] + failures)
        return total

    @property
    def carries_not(self) -> dict[str, str]:
        """The kinds of traffic that the user's configuration did not carry, and why."""
        return {kind: why for trial in self.trials for kind, why in trial.carries_not.items()}

    @property
    def cannot_carry(self) -> dict[str, str]:
        """The kinds of traffic that the mechanism, or the user's configuration, does not carry, and why."""
        return {kind: why for trial in self.trials for kind, why in trial.left_out.items()}

    @property
    def aimed(self) -> frozenset[str]:
        """The kinds that were sent when connections were being closed, for proof."""
        return frozenset().union(*(trial.aimed for trial in self.trials))

    @property
    def price(self) -> TrialPrice | None:
        """What it cost at most in a trial, and what each change and each old generation did; None: nobody looked."""
        told = [trial.price for trial in self.trials if trial.price is not None]
        if not told:
            return None
        return TrialPrice(
            max(each.processes for each in told),
            max(each.resident_bytes for each in told),
            tuple(cpu_ns for each in told for cpu_ns in each.cpu_ns),
            tuple(lived_on_ns for each in told for lived_on_ns in each.lived_on_ns),
            sum(each.replaced for each in told),
            sum(each.left for each in told),
            most_of_each(each.on_old for each in told),
        )

    @property
    def disruptions(self) -> dict[str, TrialDisruption]:
        """For how long each kind of traffic was not served, at most."""
        told: dict[str, TrialDisruption] = {}
        for trial in self.trials:
            for kind, each in trial.disruptions.items():
                before = told.get(kind, each)
                told[kind] = TrialDisruption(
                    max(before.silent_ns, each.silent_ns),
                    _most([before.new_ns, each.new_ns]),
                    _most([before.reused_ns, each.reused_ns]),
                )
        return told

    @property
    def new_ms(self) -> float | None:
        """For how long what was sent first over a connection failed at most; None if there was no change."""
        return in_ms(_most(each.new_ns for each in self.disruptions.values()))

    @property
    def reused_ms(self) -> float | None:
        """For how long what was sent over a connection that had carried something failed at most, likewise."""
        return in_ms(_most(each.reused_ns for each in self.disruptions.values()))

    @property
    def storm(self) -> int | None:
        """How many connections were opened in the busiest 100 ms after a change; None if there was none."""
        return _most(trial.storm for trial in self.trials)

    @property
    def wall_s(self) -> float:
        """How long all trials took."""
        return sum(trial.wall_ns for trial in self.trials) / NS_PER_S

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The worst verdict of each kind of traffic, in all trials."""
        told: dict[str, Verdict] = {}
        for trial in self.trials:
            for kind, verdict in trial.verdicts.items():
                told[kind] = worst([told.get(kind, verdict), verdict])
        return told

    @property
    def causes(self) -> dict[str, Counter[Cause]]:
        """Why requests were lost, by their kind, in all trials."""
        return summed(trial.causes for trial in self.trials)

    def decision(self, thresholds: Thresholds) -> Decision:
        """Decide by thresholds; what a mechanism cannot do counts for nothing."""
        if self.verdict is None:
            status = ExitStatus.LOSSLESS if self.cannot else ExitStatus.INVALID
            return Decision(status, Outcome.NOT_JUDGED if thresholds else None, why=self.why)
        aimed = self.proof.lost if self.proof is not None else 0
        failures = self.failures.total() - aimed
        return decide(thresholds, Measured(self.verdict, self.verdicts, failures, len(self.losses), aimed))

    @property
    def proof(self) -> Proof | None:
        """What aimed kinds lost, in all trials; None if there were none."""
        return together(trial.proof for trial in self.trials)

    @property
    def losses(self) -> list[int]:
        """The failures in the window of each change, but those of aimed kinds."""
        return [loss for trial in self.trials for loss in trial.losses]

    @property
    def repetition(self) -> Repetition | None:
        """Failures per change and per million; None if there were too few changes."""
        return repetition(self.losses, sum(trial.in_windows for trial in self.trials))

    @property
    def front_closed(self) -> Counter[str]:
        """By ending, in all trials."""
        return sum((trial.front_closed for trial in self.trials), Counter())

    @property
    def back_closed(self) -> int:
        """Backend connections replaced beyond need, in all trials."""
        return sum(trial.back_closed for trial in self.trials)

    @property
    def stragglers(self) -> int:
        """In all trials."""
        return sum(trial.stragglers for trial in self.trials)

    @property
    def applied_ms(self) -> float | None:
        """The median, from a change's request."""
        return _median_ms([time_ns for trial in self.trials for time_ns in trial.applied_ns])

    @property
    def effective_ms(self) -> float | None:
        """The median, from a change's request."""
        return _median_ms([time_ns for trial in self.trials for time_ns in trial.effective_ns])

    @property
    def drained_ms(self) -> float | None:
        """The median, from a removal's request."""
        return _median_ms([time_ns for trial in self.trials for time_ns in trial.drained_ns])

    @property
    def undrained(self) -> int:
        """Removed backends at which something was left, in all trials."""
        return sum(trial.undrained for trial in self.trials)

    @property
    def steady_p99_us(self) -> int | None:
        """The 99th percentile away from the changes."""
        return _p99_us([trial.steady for trial in self.trials])

    @property
    def around_p99_us(self) -> int | None:
        """The 99th percentile around the changes."""
        return _p99_us([trial.around for trial in self.trials])

    @property
    def baseline_p99_us(self) -> int | None:
        """The 99th percentile without the proxy."""
        return _p99_us([trial.baseline for trial in self.trials])


def row_of(
    name: str,
    trials: Sequence[Trial],
    cures: Mapping[Verdict, Cure | None] | None = None,
    why: str = "",
    condition: Condition = UNCHANGED,
) -> Row:
    """Make a row of a contender's trials, with what is known to help against a verdict; `why` it has none."""
    judgements = [trial.judgement for trial in trials if trial.judgement is not None]
    verdict = worst([judgement.verdict for judgement in judgements]) if judgements else None
    whys = [why, *(trial.why for trial in trials)]
    whys += ["; ".join(each.reasons) for each in judgements if each.verdict in (Verdict.INVALID, Verdict.INEFFECTIVE)]
    whys += [f"it refused a change: {words}" for trial in trials for words in trial.refusals[:1]]
    return Row(
        name,
        tuple(trials),
        verdict,
        cannot=any(trial.cannot for trial in trials),
        why=next(filter(None, whys), ""),
        cure=(cures or {}).get(verdict) if verdict is not None else None,
        condition=condition,
    )


def _median_ms(times_ns: Sequence[int]) -> float | None:
    return median(times_ns) / NS_PER_MS if times_ns else None


def _most(numbers: Iterable[int | None]) -> int | None:
    """Return the largest of those that are known; None if none is."""
    return max((number for number in numbers if number is not None), default=None)


def in_ms(duration_ns: int | None) -> float | None:
    """Return a time in ms, None as it is."""
    return None if duration_ns is None else duration_ns / NS_PER_MS


def _p99_us(latencies: Sequence[Packed]) -> int | None:
    whole = Latency()
    for packed in latencies:
        whole.add_packed(packed)
    return whole.percentile_us(99) if whole.count else None


def summed(causes: Iterable[Mapping[str, Counter[Cause]]]) -> dict[str, Counter[Cause]]:
    """Return the causes of several together, by kind."""
    total: dict[str, Counter[Cause]] = {}
    for each in causes:
        for kind, told in each.items():
            total.setdefault(kind, Counter()).update(told)
    return total


def helped(rows: Iterable[Row]) -> dict[Cure, list[str]]:
    """Return what is known to help, and the names of all that it helps."""
    cured: dict[Cure, list[str]] = {}
    for row in rows:
        if row.cure is not None:
            names = cured.setdefault(row.cure, [])
            names += [row.name] if row.name not in names else []
    return cured

"""One run of one contender, and what it came to."""

from collections import Counter
from collections.abc import Container, Mapping
from pathlib import Path
from statistics import fmean

import attrs

from proxyreload.comparison.most import most_of_each
from proxyreload.errors import CannotError, ProxyreloadError, RefusedError
from proxyreload.ledger.cause import Cause
from proxyreload.run.run import Run
from proxyreload.system.clock import NS_PER_S
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.verdict.disruption import KindDisruption
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.latency import Packed
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.threshold import verdicts_by_kind


@attrs.frozen
class TrialPrice:
    """What a run cost the proxy's host."""

    processes: int  #: at most
    resident_bytes: int  #: at most
    cpu_ns: tuple[int, ...]  #: CPU time from each change to the next, the traffic's too
    lived_on_ns: tuple[int, ...]  #: for how long each old generation that ended lived beside the next one
    replaced: int  #: how many old generations there were
    left: int  #: replaced processes that lived when the run had waited for them
    on_old: Mapping[str, int]  #: how many clients of which kind were on old generations, at most at once

    @property
    def cpu_s(self) -> float | None:
        """CPU time for each change, the mean in seconds; None if there was no change."""
        return fmean(self.cpu_ns) / NS_PER_S if self.cpu_ns else None

    @property
    def lived_on_s(self) -> float | None:
        """The longest that an old generation lived beside the next one, in seconds; None if none has ended."""
        return max(self.lived_on_ns) / NS_PER_S if self.lived_on_ns else None


@attrs.frozen
class TrialDisruption:
    """For how long one kind of traffic was not served, the longest of any change.

    Of a kind whose exchanges take long it is not told how long what was sent failed: one that breaks after five seconds
    says nothing of what would have been sent meanwhile.
    """

    silent_ns: int  #: without a success
    new_ns: int | None  #: failures of what was sent first over a connection, one after another
    reused_ns: int | None  #: likewise, of what was sent over one that had carried something


@attrs.frozen
class Trial:
    """One run's figures; without a judgement it did not come to one, and ``why`` says why."""

    round: int
    run_file: Path
    judgement: Judgement | None = None
    why: str = ""
    cannot: bool = False  #: the mechanism cannot do what was asked, or not with the version that was
    carries_not: Mapping[str, str] = attrs.field(factory=dict)  #: kinds that the user's configuration does not, and why
    left_out: Mapping[str, str] = attrs.field(factory=dict)  #: those, and the ones that the mechanism does not carry
    proxy_version: str = ""
    exchanges: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)  #: by class
    kinds: Mapping[str, tuple[int, int]] = attrs.field(factory=dict)  #: of each kind of traffic: exchanges, failures
    verdicts: Mapping[str, Verdict] = attrs.field(factory=dict)  #: of each kind of which something was sent
    causes: Mapping[str, Counter[Cause]] = attrs.field(factory=dict)  #: of what each kind lost
    losses: tuple[int, ...] = ()  #: failures in each change's window, but those of aimed kinds
    in_windows: int = 0  #: exchanges there, likewise
    proof: Proof | None = None  #: what aimed kinds lost
    refusals: tuple[str, ...] = ()  #: the proxy's words on changes that it refused
    front_closed: Counter[str] = attrs.field(factory=Counter)  #: since the first change, by ending
    back_closed: int = 0  #: likewise, of backends that were not removed
    applied_ns: tuple[int, ...] = ()  #: from request to applied, of each change
    effective_ns: tuple[int, ...] = ()  #: from request to effective
    drained_ns: tuple[int, ...] = ()  #: from a removal's request until what had begun at the backend had ended
    undrained: int = 0  #: removed backends at which something of that was left
    stragglers: int = 0
    steady: Packed = attrs.field(factory=Packed)
    around: Packed = attrs.field(factory=Packed)
    baseline: Packed = attrs.field(factory=Packed)
    price: TrialPrice | None = None  #: None: nobody has looked
    disruptions: Mapping[str, TrialDisruption] = attrs.field(factory=dict)  #: by the kinds of traffic
    storm: int | None = None  #: connections opened in the busiest 100 ms after any change; None: there was no change
    aimed: frozenset[str] = frozenset()  #: kinds that are sent when connections are being closed, for proof
    wall_ns: int = 0  #: how long it took, from beginning to end


async def attempt(run: Run, number: int, *, versioned: bool = False) -> Trial:
    """Execute a run; whatever goes wrong is in the trial.

    One that is `versioned` runs a version that was asked for: what that refuses to start with it does not know, which
    is nothing that went wrong. A configuration of the user's may be wrong by itself.
    """
    run_file = run.settings.files.run
    try:
        judgement = await run.execute()
    except CannotError as error:
        return Trial(number, run_file, why=str(error), cannot=True)
    except RefusedError as error:
        if versioned and run.settings.configuration is None:
            return Trial(number, run_file, why=error.reason, cannot=True)
        return Trial(number, run_file, why=one_line(str(error), WORDS_LIMIT))
    except ProxyreloadError as error:
        return Trial(number, run_file, why=one_line(str(error), WORDS_LIMIT))
    except Exception as error:  # noqa: BLE001  (a plugin is somebody else's code; the others go on)
        return Trial(number, run_file, why=one_line(f"{type(error).__name__}: {error}", WORDS_LIMIT))
    return attrs.evolve(
        _figures(run.observation, number, run_file, {each.kind.name for each in run.settings.everyone if each.lasts_s}),
        judgement=judgement,
        proxy_version=run.proxy_version,
        carries_not=run.settings.refused,
        left_out=run.settings.left_out,
    )


def _figures(observation: Observation, number: int, run_file: Path, long: Container[str]) -> Trial:
    changes = observation.changes
    rated = [change.kinds.rated for change in changes]
    steady, around = observation.steady_and_around()
    front_closed: Counter[str] = Counter()
    for change in changes:
        front_closed.update({ending.value: times for ending, times in change.closures.front.items()})
    return Trial(
        number,
        run_file,
        exchanges=observation.counts.total,
        failures=Counter(observation.counts.by_failure),
        kinds={kind: (tally.exchanges, tally.lost) for kind, tally in observation.kinds.by_kind.items()},
        verdicts=verdicts_by_kind(observation),
        causes={kind: tally.causes for kind, tally in observation.kinds.by_kind.items() if tally.causes},
        losses=tuple(each.lost for each in rated),
        in_windows=sum(each.exchanges for each in rated),
        proof=observation.proof,
        refusals=tuple(change.refused for change in changes if change.refused),
        front_closed=front_closed,
        back_closed=sum(change.closures.back for change in changes),
        applied_ns=tuple(change.applied_ns - change.requested_ns for change in changes if change.applied_ns),
        # A backend that had its last answer before its removal was asked for was silent when that was.
        effective_ns=tuple(max(0, each.effective_ns - each.requested_ns) for each in changes if each.effective_ns),
        drained_ns=tuple(
            change.drain.drained_ns - change.requested_ns
            for change in changes
            if change.drain is not None and not change.drain.left
        ),
        undrained=sum(change.drain is not None and bool(change.drain.left) for change in changes),
        stragglers=sum(change.stragglers for change in changes),
        steady=steady.packed(),
        around=around.packed(),
        baseline=observation.baseline.latency.packed() if observation.baseline is not None else Packed(),
        price=_price(observation),
        disruptions=_disruptions(observation, long),
        storm=max((change.disruption.storm for change in changes), default=None),
        aimed=observation.kinds.aimed,
    )


def _price(observation: Observation) -> TrialPrice | None:
    prices, replaced = observation.prices, [each for each in observation.generations.all if each.replaced_ns]
    if prices.run is None:
        return None
    lived_on = [each.lived_on_ns for each in replaced]
    return TrialPrice(
        prices.run.processes,
        prices.run.resident_bytes,
        tuple(price.cpu_ns for number, price in prices.by_change.items() if number),
        tuple(each for each in lived_on if each is not None),
        len(lived_on),
        observation.old_generation.left if observation.old_generation is not None else 0,
        most_of_each(kinds for each in replaced for _at_ns, kinds in each.on_it),
    )


def _disruptions(observation: Observation, long: Container[str]) -> dict[str, TrialDisruption]:
    told: dict[str, list[KindDisruption]] = {}
    for change in observation.changes:
        for kind, disruption in change.disruption.kinds.items():
            told.setdefault(kind, []).append(disruption)
    return {
        kind: TrialDisruption(
            max(each.silent_ns for each in changes),
            None if kind in long else max(each.new.longest_ns for each in changes),
            None if kind in long else max(each.reused.longest_ns for each in changes),
        )
        for kind, changes in told.items()
    }

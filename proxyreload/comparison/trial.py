"""One run of one contender, and what it came to."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import attrs

from proxyreload.errors import CannotError, ProxyreloadError, RefusedError
from proxyreload.ledger.cause import Cause
from proxyreload.run.run import Run
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.latency import Packed
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.threshold import verdicts_by_kind


@attrs.frozen
class Trial:
    """One run's figures; without a judgement it did not come to one, and ``why`` says why."""

    round: int
    run_file: Path
    judgement: Judgement | None = None
    why: str = ""
    cannot: bool = False  #: the mechanism cannot do what was asked, or not with the version that was
    carries_not: Mapping[str, str] = attrs.field(factory=dict)  #: kinds that the user's configuration does not, and why
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
        _figures(run.observation, number, run_file),
        judgement=judgement,
        proxy_version=run.proxy_version,
        carries_not=run.settings.refused,
    )


def _figures(observation: Observation, number: int, run_file: Path) -> Trial:
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
        effective_ns=tuple(change.effective_ns - change.requested_ns for change in changes if change.effective_ns),
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
    )

"""A run as spans: one for the run, below it one for each change, with the losses as events.

Plain data, made of what was observed by functions of it alone; whoever sends it knows nothing of runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from proxyreload.job.runsummary import JobRun
from proxyreload.ledger.loss import Loss
from proxyreload.otel.keptlosses import KeptLosses
from proxyreload.record.lossfile import failure_of, since_change_us, whose
from proxyreload.system.untrusted import WORDS_LIMIT, one_line, printable
from proxyreload.verdict.judgement import Judgement, Verdict, judge_change
from proxyreload.verdict.windows import ObservedChange

Value = str | int | Sequence[str]

#: What the run's span is called.
RUN = "proxyreload run"
#: All attributes begin so: the names of others are not ours.
PREFIX = "proxyreload."
#: Verdicts that make a span one that has failed.
_ERRORS = (Verdict.LOSSY, Verdict.INEFFECTIVE, Verdict.INVALID)


@attrs.frozen
class SpanEvent:
    """Something at one moment of a span."""

    name: str
    at_ns: int  #: since the epoch, as all times of a span
    attributes: Mapping[str, Value] = attrs.field(factory=dict)


@attrs.frozen
class Span:
    """One span; its events may be of moments after its end, as a loss that a change has is."""

    name: str
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    events: Sequence[SpanEvent] = ()
    error: str | None = None  #: why it is one that has failed, None: it is none


@attrs.frozen
class Trace:
    """The run's span, and the changes' below it."""

    run: Span
    changes: Sequence[Span]

    @property
    def spans(self) -> Sequence[Span]:
        """All of them, the run's first."""
        return (self.run, *self.changes)


@attrs.frozen
class OnTheWall:
    """Puts moments of the run's monotonic clock on the clock on the wall."""

    offset_ns: int  #: what is added
    begun_ns: int  #: when the run was begun, by the monotonic clock: for one in which no client ever started

    def at(self, at_ns: int) -> int:
        """Return a moment in ns since the epoch."""
        return (at_ns or self.begun_ns) + self.offset_ns


def trace_of(run: JobRun, losses: KeptLosses, wall: OnTheWall) -> Trace:
    """Return a run that is over as spans."""
    observation = run.observation
    ended_ns = observation.ended_ns or observation.started_ns
    span = Span(
        RUN,
        wall.at(observation.started_ns),
        wall.at(ended_ns),
        _named(_of_run(run, losses)),
        _events(losses.by_change.get(0, ()), wall),
        _error(run.judgement),
    )
    return Trace(span, [_change(change, losses, ended_ns, wall) for change in observation.changes])


def _of_run(run: JobRun, losses: KeptLosses) -> Iterator[tuple[str, Value | None]]:
    settings, observation, judgement = run.settings, run.observation, run.judgement
    choice, counts = settings.choice, observation.counts
    yield "plugin", choice.plugin.name if choice is not None else None
    yield "mechanism", choice.mechanism.name if choice is not None else None
    yield "url", settings.target.url
    yield "proxy_version", one_line(run.proxy_version, WORDS_LIMIT)
    yield "traffic", settings.spoken
    yield "kinds", list(dict.fromkeys(each.kind.name for each in settings.everyone if each.clients))
    yield "clients", sum(each.clients for each in settings.everyone)
    yield from _judged(judgement)
    yield "exit_status", int(run.decision.status)
    yield "exchanges", counts.total
    yield "failures", counts.failure
    yield "turned_away", counts.turned_away
    yield "changes", len(observation.changes)
    yield "losses_not_shown", losses.not_kept.get(0)


def _change(change: ObservedChange, losses: KeptLosses, run_ended_ns: int, wall: OnTheWall) -> Span:
    judgement = judge_change(change)
    over_ns = max(change.applied_ns, change.refused_ns) or run_ended_ns
    moments = {
        "applied": change.applied_ns,
        "refused": change.refused_ns,
        "effective": change.effective_ns,
        "drained": change.drained_ns,
    }
    steps = [SpanEvent(name, wall.at(at_ns)) for name, at_ns in moments.items() if at_ns]
    return Span(
        change.name,
        wall.at(change.requested_ns),
        wall.at(max(over_ns, change.effective_ns)),
        _named(_of_change(change, judgement, losses)),
        _events(losses.by_change.get(change.number, ()), wall, steps),
        _error(judgement),
    )


def _of_change(change: ObservedChange, judgement: Judgement, losses: KeptLosses) -> Iterator[tuple[str, Value | None]]:
    yield "change", change.number
    yield "action", change.action
    yield "instance", change.instance
    yield "mechanism", change.mechanism
    yield from _judged(judgement)
    yield "error", one_line(change.refused, WORDS_LIMIT)
    yield "exchanges", change.exchanges
    yield "failures", sum(change.failures.values())
    for ending, number in change.closures.front.items():
        yield f"front_closed.{ending.value}", number
    yield "losses_not_shown", losses.not_kept.get(change.number)


def _judged(judgement: Judgement) -> Iterator[tuple[str, Value]]:
    yield "verdict", judgement.verdict.value
    yield "reasons", [one_line(reason, WORDS_LIMIT) for reason in judgement.reasons]


def _error(judgement: Judgement) -> str | None:
    """Return why a span is one that has failed."""
    if judgement.verdict not in _ERRORS:
        return None
    return one_line(": ".join(filter(None, [judgement.verdict.value, "; ".join(judgement.reasons)])), WORDS_LIMIT)


def _events(losses: Iterable[Loss], wall: OnTheWall, steps: Iterable[SpanEvent] = ()) -> Sequence[SpanEvent]:
    told = (SpanEvent("loss", wall.at(loss.at_ns), _named(_of_loss(loss))) for loss in losses)
    return sorted([*steps, *told], key=lambda event: event.at_ns)


def _of_loss(loss: Loss) -> Iterator[tuple[str, Value | None]]:
    exchange = loss.exchange
    client, request = whose(loss)
    yield "client", client
    yield "kind", printable(loss.kind)
    yield "request", request
    yield "failure", failure_of(loss)
    yield "fate", loss.fate.value if loss.fate is not None else None
    yield "cause", loss.cause.value
    yield "since_change_us", since_change_us(loss)
    if exchange is not None:
        yield "front_port", exchange.front_port or None
        yield "connection", exchange.connection if exchange.connection >= 0 else None
    yield "evidence", one_line(loss.evidence, WORDS_LIMIT)


def _named(attributes: Iterable[tuple[str, Value | None]]) -> Mapping[str, Value]:
    """Return attributes by their whole names, without those that do not apply or of which nothing is known."""
    return {PREFIX + name: value for name, value in attributes if value is not None and value not in ("", [])}

"""One loss with all that it takes to see it again, from the files of a run."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import attrs

from proxyreload.errors import UsageError
from proxyreload.explanation.sources import Sources
from proxyreload.plan.traffic import Group
from proxyreload.proxy.recipe import Ask, Command, Recipe
from proxyreload.proxy.registry import Choice, choose
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import idle_timeout_s
from proxyreload.record.rundata import Record, Sent
from proxyreload.reproduction.example import Example, example_of
from proxyreload.reproduction.knownloss import Among, KnownLoss
from proxyreload.reproduction.turn import Turn, turn_of
from proxyreload.reproduction.ways import Way, way_of
from proxyreload.system import bounds
from proxyreload.traffic.registry import kind_named, values_of

#: Whatever is started by a script is reached from its own machine alone.
HOST = "127.0.0.1"


@attrs.frozen
class Case:
    """What was recorded of one loss, and how it is made again."""

    record: Record
    among: Among
    choice: Choice
    recipe: Recipe
    way: Way
    turn: Turn
    example: Example
    front_port: int
    first_port: int
    timeout_s: float  #: of the clients
    leaves_s: float | None  #: so long after its removal was applied a backend has gone; None: it stays
    killed: bool  #: it is killed then

    @property
    def ports(self) -> dict[int, int]:
        """The port of each backend, by its number."""
        instances = sorted({*self.turn.before, *self.turn.after})
        return {instance: self.first_port + instance for instance in instances}

    @property
    def steps(self) -> Sequence[Command | Ask]:
        """What the change is, besides files and processes."""
        return self.recipe.steps(self._upstreams(self.turn.before), self._upstreams(self.turn.after))

    def configured(self, instances: tuple[int, ...]) -> Mapping[str, str]:
        """Return the proxy's configuration with these backends, as its plugin writes it."""
        front, timeout_s = f"{HOST}:{self.front_port}", _idle_timeout_s(self.record)
        upstreams, texts = self._upstreams(instances), self.record.configuration
        if texts:  # the user's own; not every plugin knows of such
            return self.recipe.configured(front, timeout_s, upstreams, texts)
        return self.recipe.configured(front, timeout_s, upstreams)

    def _upstreams(self, instances: tuple[int, ...]) -> list[Upstream]:
        return [Upstream(instance, HOST, self.ports[instance]) for instance in instances]


def case_of(sources: Sources, among: Among) -> Case:
    """Return a loss of a run as a case.

    Raises `UsageError` where something in the files is not what it should be, and where no way is known to make it
    again.
    """
    record, loss = sources.record, among.loss
    _require_spoken(sources, loss)
    killed_s, stopped_s = (_seconds(record, key, bounds.STOP_AFTER_S) for key in ("kill_removed", "stop_removed"))
    leaves_s = stopped_s if killed_s is None else killed_s
    way = way_of(loss, killed=killed_s is not None)
    turn = turn_of(record, loss, way, leaves_s)
    choice = choose(turn.change.mechanism)
    recipe = choice.mechanism.recipe
    if recipe is None:
        msg = f"{choice.name} cannot be reproduced yet: its plugin does not say how anybody else makes its changes"
        raise UsageError(msg)
    case = Case(
        record,
        among,
        choice,
        recipe,
        way,
        turn,
        example_of(sources, loss, turn.charged_us),
        _front_port(record),
        bounds.PORT.of("options.first_port", record.options.get("first_port")),
        _seconds(record, "timeout", bounds.TIMEOUT_S) or 5.0,
        leaves_s,
        killed_s is not None,
    )
    if max(case.ports.values()) > bounds.PORT.highest:
        msg = f"options.first_port: there is no port for backend {max(case.ports)}"
        raise UsageError(msg)
    return case


def _require_spoken(sources: Sources, loss: KnownLoss) -> None:
    """Raise `UsageError` for a loss of what no script speaks: in the clear it would be another one."""
    if sources.record.url.startswith("https:"):
        spoken, speaks = "TLS", "speaks in the clear"
    elif _over_http2(sources, loss):
        spoken, speaks = f"HTTP/2 (kind {loss.kind})", "speaks HTTP/1.1"
    else:
        return
    msg = f"loss {loss.number} cannot be reproduced yet: it was lost over {spoken}, and a script {speaks}"
    raise UsageError(msg)


def _over_http2(sources: Sources, loss: KnownLoss) -> bool:
    sent, kind = sources.sent(loss.client), kind_named(loss.kind)
    told = sent.values.items() if sent is not None and sent.kind == loss.kind else ()
    return Group(kind, 1, values_of(kind, told)).over_http2


def _front_port(record: Record) -> int:
    try:
        port = urlsplit(record.url).port
    except ValueError:
        port = None
    return bounds.PORT.of("the port in url", port)


def _seconds(record: Record, key: str, bound: bounds.Bound) -> float | None:
    value = record.options.get(key)
    return None if value is None else bound.of(f"options.{key}", value)


def _idle_timeout_s(record: Record) -> int:
    """Return what the time-outs in the configuration were."""
    return idle_timeout_s(max((_quiet_s(sent) for sent in record.traffic if sent.clients), default=0.0))


def _quiet_s(sent: Sent) -> float:
    kind = kind_named(sent.kind)
    return Group(kind, sent.clients, values_of(kind, sent.values.items()), sent.rate_per_s).quiet_s

"""What ``run.json`` tells of a run, as far as it is what it should be."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from proxyreload.history.events import OldGeneration
from proxyreload.record.jsonfile import LARGEST, WORDS_AT_MOST, Table, read_table
from proxyreload.record.livedon import (
    DrainTold,
    GenerationTold,
    PaceTold,
    Which,
    closed_by_told,
    drain_told,
    generations_told,
    goaways_told,
    paces_told,
)
from proxyreload.record.runfile import FORMATS
from proxyreload.system.clock import NS_PER_US
from proxyreload.system.untrusted import printable
from proxyreload.verdict.certificates import KNOWN_AT_MOST, Certificate, Certificates

#: Groups of clients, and how long the name of a kind is.
_GROUPS_AT_MOST, _NAME_LIMIT = 100, 60
#: What every group has; the rest are its kind's own settings, whose names need no quotes.
_SENT = ("kind", "clients", "rate", "rtt_ms", "probe")
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
Value = float | tuple[float, float]


@attrs.frozen
class Sent:
    """Clients of one kind."""

    kind: str
    clients: int
    rate_per_s: float | None
    rtt_ms: float
    probe: bool
    values: Mapping[str, Value]  #: the kind's own settings


@attrs.frozen
class KindTold:
    """What became of one kind of traffic, in a change's window or in the run."""

    verdict: str
    reasons: tuple[str, ...]
    exchanges: int
    failures: Mapping[str, int]
    aimed: bool  #: for proof, not for rates

    @property
    def lost(self) -> int:
        """All failures."""
        return sum(self.failures.values())


@attrs.frozen
class Change:
    """One change, as far as it came; times in µs since the clients started."""

    number: int
    action: str
    instance: str
    mechanism: str
    requested_us: int
    applied_us: int | None
    effective_us: int | None
    error: str
    verdict: str
    reasons: tuple[str, ...]
    exchanges: int
    failures: Mapping[str, int]
    kinds: Mapping[str, KindTold]
    drained: DrainTold | None = None  #: of a removal

    @property
    def aimed_lost(self) -> int:
        """How many of its failures were aimed at the closing of connections."""
        return sum(kind.lost for kind in self.kinds.values() if kind.aimed)

    @property
    def what(self) -> str:
        """Return ``add backend 2`` or ``reload``."""
        return f"{self.action} backend {self.instance}" if self.instance else self.action

    @property
    def over_us(self) -> int:
        """When it was applied and seen in the traffic; an effect before the request is none."""
        return max(self.requested_us, self.applied_us or 0, self.effective_us or 0)

    @property
    def settled_us(self) -> int:
        """When it was applied, or else requested: its surroundings end a second after."""
        return self.requested_us if self.applied_us is None else self.applied_us


@attrs.frozen
class Latency:
    """Percentiles in µs."""

    count: int
    p50_us: int
    p99_us: int
    p999_us: int
    max_us: int
    percentiles: tuple[tuple[float, float], ...] = ()  #: more of them: per cent, µs


@attrs.frozen
class Record:
    """A run that has ended."""

    title: str  #: the plugin and its mechanism, or the URL
    version: str  #: the proxy's own words
    words: tuple[str, ...]  #: of the command line, if it was recorded
    url: str
    options: Mapping[str, Any]
    configuration: Mapping[str, str]  #: the texts of the user's, by the names of the files; empty: the plugin's own
    scenario: Mapping[str, Any]
    versions: Mapping[str, Any]
    machine: Mapping[str, Any]
    changes: tuple[Change, ...]
    traffic: tuple[Sent, ...]  #: in the order of the clients' numbers
    kinds: Mapping[str, KindTold]
    verdict: str
    reasons: tuple[str, ...]
    exchanges: int
    success: int
    failure: int
    front_changed: int
    back_changed: int
    failures: Mapping[str, int]
    detection_limit: str
    duration_us: int
    phases: Mapping[str, Latency]
    baseline: Latency | None
    baseline_rate_per_s: float
    stall_max_us: int
    fates: Mapping[str, int]  #: how many requests had which, none where nobody knows
    causes: Mapping[str, int]  #: of the losses
    old_generation: OldGeneration | None  #: where it was looked for
    closed_idle: Mapping[tuple[int, int], int]  #: when connections were closed while they rested, by client and number
    closed_by: Mapping[Which, tuple[int, str]]  #: when, and how, they ended by a word of their protocol, likewise
    generations: tuple[GenerationTold, ...]  #: of the proxy's processes, where they were looked at
    paces: tuple[PaceTold, ...]  #: of exchanges that are many messages
    certificates: Certificates  #: by which the clients' connections stood, over TLS
    goaways: tuple[tuple[int, int], ...]  #: which client was told so, and when
    csv: str
    started: str = ""  #: by the clock on the wall (ISO 8601); empty: the program that ran did not say
    losses: str = ""  #: where they were written; empty: the program that ran did not know of them

    @property
    def rated(self) -> tuple[int, int]:
        """How many exchanges and failures there were of kinds that are not aimed."""
        exchanges, failures = self.proof
        return self.exchanges - exchanges, self.failure - failures

    @property
    def proof(self) -> tuple[int, int]:
        """How many there were of aimed kinds."""
        aimed = [kind for kind in self.kinds.values() if kind.aimed]
        return sum(kind.exchanges for kind in aimed), sum(kind.lost for kind in aimed)


def read_record(path: Path) -> Record:
    """Read a run file; raises `UsageError` with file and line, or file and key, where it is none."""
    return _record(read_table(path))


def _record(run: Table) -> Record:
    if run.content.get("format") not in FORMATS:
        raise run.wrong(key="format", message=f"is not {' or '.join(map(str, FORMATS))}")
    if run.content.get("finished") is not True:
        raise run.wrong(key="finished", message="is not true: the run did not come to its end")
    summary = run.table("summary")
    baseline = summary.table("baseline" if "baseline" in summary.content else "floor")  # its name before
    options = run.plain("options")
    closed = [_closed(summary, each) for each in summary.list("closed_idle")]
    return Record(
        title=_title(run),
        version=run.text("proxy_version"),
        words=run.texts("command", WORDS_AT_MOST),
        url=run.text("url"),
        options=options,
        configuration=_configuration(run.table("configuration")),
        scenario=run.plain("scenario"),
        versions=run.plain("versions"),
        machine=run.plain("machine"),
        changes=_in_order([_change(change) for change in run.tables("changes")], run),
        # What the mechanism cannot carry was not sent.
        traffic=tuple(_sent(sent) for sent in run.tables("traffic", _GROUPS_AT_MOST) if "cannot" not in sent.content),
        kinds=_kinds(summary),
        verdict=summary.text("verdict"),
        reasons=summary.texts("reasons"),
        exchanges=summary.number("exchanges"),
        success=summary.number("success"),
        failure=summary.number("failure"),
        front_changed=summary.number("front_changed"),
        back_changed=summary.number("back_changed"),
        failures=summary.counts("failures"),
        detection_limit=summary.text("detection_limit"),
        duration_us=summary.number_or_none("duration_us") or 0,
        phases={printable(name): _latency(summary.table("latency"), name) for name in summary.table("latency").content},
        baseline=_latency(baseline, "latency") if baseline.content else None,
        baseline_rate_per_s=baseline.decimal("rate_per_s"),
        stall_max_us=summary.number_or_none("stall_max_us") or 0,
        fates=summary.counts("ledger"),
        causes=summary.counts("causes"),
        old_generation=_old_generation(summary.table("old_generation")),
        closed_idle={(client, number): at_us for client, number, at_us in closed},
        closed_by=closed_by_told(summary),
        generations=generations_told(summary),
        paces=paces_told(summary),
        certificates=_certificates(summary.table("tls")),
        goaways=goaways_told(summary),
        csv=run.table("options").path_at("csv"),
        started=run.text("started"),
        losses=run.table("options").path_at("losses"),
    )


def _configuration(table: Table) -> Mapping[str, str]:
    """Return the texts as they are: they are filled in again, and never shown."""
    files = table.table("files")
    texts: dict[str, str] = {}
    for name in files.content:
        text = texts[name] = files.table(name).content.get("text", "")
        if not isinstance(text, str) or name.startswith("/") or ".." in name.split("/"):
            raise files.wrong(key=name, message="is no file of a configuration")
    return texts


def _old_generation(table: Table) -> OldGeneration | None:
    if not table.content:
        return None
    waited_ns = table.number("waited_us") * NS_PER_US
    return OldGeneration(table.number("processes"), table.number("left"), waited_ns, 0, table.text("unknown"))


def _certificates(table: Table) -> Certificates:
    """Return by which certificates connections stood; none where nothing was said over TLS."""
    if not table.content:
        return Certificates()
    told = [
        Certificate(
            each.number("number"), each.text("serial"), *(each.number(key) for key in ("full", "resumed", "probe"))
        )
        for each in table.tables("certificates", KNOWN_AT_MOST)
    ]
    known = {each.serial: each for each in told}
    return Certificates(known, table.number("offered"), table.number("without_close_notify"))


def _closed(table: Table, told: object) -> tuple[int, int, int]:
    if (
        not isinstance(told, list)
        or len(told) != 3  # noqa: PLR2004  (client, connection, µs)
        or not all(isinstance(each, int) and 0 <= each <= LARGEST for each in told)
    ):
        raise table.wrong(key="closed_idle", message="are not clients, connections and µs")
    return told[0], told[1], told[2]


def _title(run: Table) -> str:
    plugin, mechanism = run.text("plugin"), run.text("mechanism")
    return f"{plugin}:{mechanism}" if plugin and mechanism else plugin or run.text("url") or "a run"


def _in_order(changes: Sequence[Change], run: Table) -> tuple[Change, ...]:
    times = [change.requested_us for change in changes]
    if times != sorted(times):
        raise run.wrong(key="changes", message="are not in the order of their times")
    return tuple(changes)


def _change(table: Table) -> Change:
    return Change(
        number=table.number("number"),
        action=table.text("action"),
        instance=table.text("instance"),
        mechanism=table.text("mechanism"),
        requested_us=table.number("requested_us"),
        applied_us=table.number_or_none("applied_us"),
        effective_us=table.number_or_none("effective_us"),
        error=table.text("error"),
        verdict=table.text("verdict"),
        reasons=table.texts("reasons"),
        exchanges=table.number("exchanges"),
        failures=table.counts("failures"),
        kinds=_kinds(table),
        drained=drain_told(table),
    )


def _kinds(table: Table) -> dict[str, KindTold]:
    """Return what became of each kind; nothing in a file that knows none."""
    told = table.table("kinds")
    return {printable(name, _NAME_LIMIT): _kind(told.table(name)) for name in told.content}


def _kind(table: Table) -> KindTold:
    return KindTold(
        table.text("verdict"),
        table.texts("reasons"),
        table.number("exchanges"),
        table.counts("failures"),
        table.flag("aimed"),
    )


def _sent(table: Table) -> Sent:
    values = {name: _value(table, name) for name in table.content if name not in _SENT and _BARE.fullmatch(name)}
    return Sent(
        table.text("kind"),
        table.number("clients"),
        None if table.content.get("rate") is None else table.decimal("rate"),
        table.decimal("rtt_ms"),
        table.flag("probe"),
        values,
    )


def _value(table: Table, key: str) -> Value:
    """Return one of a kind's own settings: a number, or the two ends of a range."""
    value = table.content[key]
    numbers = value if isinstance(value, list) and len(value) == 2 else [value]  # noqa: PLR2004  (a range)
    if not all(isinstance(each, int | float) and abs(each) <= LARGEST for each in numbers):
        raise table.wrong(key=key, message="is no number, and no range")
    return (numbers[0], numbers[1]) if isinstance(value, list) else numbers[0]


def _latency(parent: Table, key: str) -> Latency:
    table = parent.table(key)
    return Latency(
        count=table.number("count"),
        p50_us=table.number("p50_us"),
        p99_us=table.number("p99_us"),
        p999_us=table.number("p999_us"),
        max_us=table.number("max_us"),
        percentiles=tuple(_point(table, point) for point in table.list("percentiles", 1000)),
    )


def _point(table: Table, point: object) -> tuple[float, float]:
    if (
        not isinstance(point, list)
        or len(point) != 2  # noqa: PLR2004  (a pair)
        or not all(isinstance(value, int | float) for value in point)
        or not 0 <= point[0] <= 100  # noqa: PLR2004  (per cent)
        or not 0 <= point[1] <= LARGEST
    ):
        raise table.wrong(key="percentiles", message="are not pairs of per cent and µs")
    return float(point[0]), float(point[1])

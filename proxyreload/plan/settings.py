"""What a run is asked to do."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.actions import OF_BACKENDS, ROTATE
from proxyreload.plan.scenario import Scenario, Step
from proxyreload.plan.traffic import Group, spoken
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.interfaces import nobody_knows
from proxyreload.proxy.recipe import HOSTNAME
from proxyreload.proxy.registry import Choice
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.untrusted import printable, without_secrets
from proxyreload.traffic import get
from proxyreload.traffic.grpc import GRPC
from proxyreload.traffic.h2 import HTTP2
from proxyreload.traffic.identity import PROBE_KIND
from proxyreload.verdict.threshold import PerChange, Threshold

FRONT_HOST = "127.0.0.1"
#: The probe's gentle rate.
PROBE_RATE_PER_S = 10.0
#: When a scenario is over the proxy's replaced processes have so long to end, for what that does belongs to the run.
#: They finish what they have, which takes five seconds as the kinds are, and some keep idle connections for ten.
WAIT_OLD_S = 15.0
#: Why another certificate cannot be put in place.
IN_THE_CLEAR = "the clients speak in the clear, and are shown no certificate"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Target:
    """Where the clients send their requests."""

    url: str  #: without ``user:password@``, for it is written down
    host: str  #: to connect to
    port: int
    tls: bool = False
    authorization: str = attrs.field(default="", repr=False)  #: the header field's value (RFC 7617), empty for none

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Parse a URL; raises `UsageError` if it is none."""
        # What is wrong may stand in the password, so the words for it are ours.
        shown = printable(without_secrets(url, strict=False))
        try:
            parts = urlsplit(url)
            port = _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
            host = parts.hostname
        except ValueError as error:
            msg = f"{shown!r} is not a URL" + (f": {error}" if shown == url else "")
            raise UsageError(msg) from (error if shown == url else None)
        if (
            parts.scheme not in _DEFAULT_PORTS
            or not host
            or not port
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            msg = f"{shown!r} is not a URL like http://host:port/path"
            raise UsageError(msg)
        who, at, place = parts.netloc.rpartition("@")
        plain = parts._replace(netloc=place).geturl() if at else url
        return cls(plain, host, port, tls=parts.scheme == "https", authorization=_basic(who, shown))

    @property
    def fields(self) -> dict[str, str]:
        """What is in a request's head because of it, besides the usual."""
        return {"Authorization": self.authorization} if self.authorization else {}

    @classmethod
    def front(cls, port: int, *, tls: bool = False) -> "Target":
        """Return the front of a proxy of ours."""
        return cls(f"http{'s' if tls else ''}://{HOSTNAME}:{port}/", FRONT_HOST, port, tls=tls)


def _basic(who: str, shown: str) -> str:
    """Return ``user:password`` of a URL as a header field's value; raises `UsageError` if it can be none."""
    if not who:
        return ""
    user, _colon, password = (unquote_to_bytes(part) for part in who.partition(":"))
    if b":" in user or any(byte < ord(" ") or byte == 0x7F for byte in user + password):  # noqa: PLR2004  (DEL)
        msg = f"{shown!r}: a user's name has no colon in it, and neither it nor a password has control characters"
        raise UsageError(msg)
    return f"Basic {b64encode(user + b':' + password).decode('ascii')}"


def _as(key: str, default: object) -> Any:  # noqa: ANN401  (a field)
    """Return a field that stands in ``run.json`` under another name than its own."""
    return attrs.field(default=default, metadata={"key": key})


@attrs.frozen
class LoadSettings:
    """What the clients send, and how long they wait."""

    clients: int = 10
    rate_per_s: float | None = None  #: None: each sends as soon as it has its answer
    timeout_s: float = 5.0  #: the client's time-out
    probe_rate_per_s: float = PROBE_RATE_PER_S
    seed: int = 0  #: for whatever is drawn by chance
    groups: tuple[Group, ...] = attrs.field(default=(), metadata={"apart": True})  #: of other kinds, or farther away

    @property
    def everyone(self) -> tuple[Group, ...]:
        """All clients in the order of their numbers: first those of `get` that are asked for by number."""
        return (Group(get.kind, self.clients, rate_per_s=self.rate_per_s), *self.groups)

    @property
    def quiet_s(self) -> float:
        """How long at most nothing comes or goes by the clients' own doing."""
        return max(group.quiet_s for group in self.everyone)

    @property
    def lasts_s(self) -> float:
        """How long the longest exchange takes by itself."""
        return max(group.lasts_s for group in self.everyone)


@attrs.frozen
class BackendSettings:
    """The numbered backends."""

    number: int = _as("backends", 4)
    hosted: bool = _as("host_backends", True)  # noqa: FBT003  #: by us
    host: str = _as("backend_host", "127.0.0.1")
    first_port: int = 1030
    processes: bool = _as("backend_processes", False)  # noqa: FBT003  #: each in a process of its own
    stop_removed_s: float | None = None  #: so long after its removal was applied a backend leaves; None: it stays
    kill_removed_s: float | None = None  #: so long after its removal was applied a backend is killed


@attrs.frozen
class TlsSettings:
    """Whether the front of a proxy of ours speaks TLS, and whom the clients trust, for an https URL."""

    ca: Path | None = None  #: certificates (PEM) in place of the system's
    insecure: bool = False  #: any certificate
    front: bool = _as("tls", False)  # noqa: FBT003  #: with a certificate of an authority that is made for the run


@attrs.frozen
class FileSettings:
    """Where what happened is written."""

    csv: Path = Path("data.csv")
    run: Path = Path("run.json")
    junit: Path | None = None
    report: Path | None = None  #: the HTML report, if one is made
    report_required: bool = False  #: it was asked for: without it there is no run
    losses: Path = Path("losses.csv")
    summary: Path | None = None  #: the job's, which is appended to
    #: The folder for the configuration and the words of a proxy of ours; None: they go with it. Told nowhere.
    proxy: Path | None = attrs.field(default=None, repr=False, metadata={"apart": True})


@attrs.frozen
class CollectorSettings:
    """Where the run is sent as a trace, if anywhere."""

    otel: str | None = None  #: the collector's URL for traces (OTLP over HTTP), without ``user:password@``
    #: The header field's value, as a target's.
    authorization: str = attrs.field(default="", repr=False, metadata={"apart": True})


@attrs.frozen
class Settings:
    """One run's settings."""

    target: Target
    scenario: Scenario
    choice: Choice | None = None  #: None: somebody else runs the proxy
    load: LoadSettings = LoadSettings()
    backends: BackendSettings = BackendSettings()
    tls: TlsSettings = TlsSettings()
    files: FileSettings = FileSettings()
    collector: CollectorSettings = CollectorSettings()
    binary: str | None = None
    upgrade_to: str | None = None  #: the program that an upgrade replaces it by; None: the same one
    wait_old_s: float = WAIT_OLD_S  #: when the scenario is over, for the proxy's replaced processes to end
    commands: Mapping[str, str] = attrs.field(factory=dict)  #: the user's own, by action, for a plugin that runs them
    command: tuple[str, ...] = ()  #: the words that ask for all this
    configuration: Configuration | None = None  #: the user's, in place of the mechanism's own
    log: str = "all"
    fail_on: tuple[Threshold | PerChange, ...] = ()  #: what decides the exit status; none: the verdict
    annotations: bool = False  #: what failed is said as GitHub's workflow commands
    #: Before each change it is looked who holds the clients' connections, which is evidence for causes, and takes up to
    #: a tenth of a second: without it changes follow each other as fast as the proxy takes them.
    looks_before_changes: bool = True

    @property
    def is_ours(self) -> bool:
        """Whether the proxy is started here."""
        return self.choice is not None and self.choice.plugin.binary is not None

    @property
    def spoken(self) -> str:
        """What is sent, and how: what a verdict stands for."""
        return spoken(self.everyone, tls=self.target.tls)

    def why_not(self, action: str) -> str:
        """Say why a change cannot be made, empty if it can."""
        if self.choice is None:
            return "somebody else runs the proxy"
        if action == ROTATE and not self.target.tls:
            return IN_THE_CLEAR
        return self.choice.mechanism.why_not(action, self.commands)

    @property
    def upstreams(self) -> dict[int, Upstream]:
        """All backends by number, also those of somebody else."""
        backends = self.backends
        return {i: Upstream(i, backends.host, backends.first_port + i) for i in range(backends.number)}

    @property
    def everyone(self) -> tuple[Group, ...]:
        """All clients in the order of their numbers, but those whose kind is `left_out`."""
        return tuple(each for each in self.load.everyone if not self._why_left_out(each))

    @property
    def groups(self) -> tuple[Group, ...]:
        """Who sends beside the clients asked for by number."""
        return self.everyone[1:]

    @property
    def left_out(self) -> dict[str, str]:
        """The kinds that cannot be carried, and why.

        Those of the quiet mix that the mechanism cannot carry, and those that the user's configuration does not.
        """
        return {each.kind.name: why_not for each in self.load.groups if (why_not := self._why_left_out(each))}

    @property
    def refused(self) -> dict[str, str]:
        """Of those the ones that the user's configuration was found not to carry, and what came of trying it."""
        return {each.kind.name: each.refused for each in self.load.groups if each.refused}

    def without(self, refused: Mapping[str, str]) -> "Settings":
        """Return them where groups of some sorts are refused, and in which words."""
        groups = tuple(attrs.evolve(each, refused=refused.get(each.sort, "")) for each in self.load.groups)
        return attrs.evolve(self, load=attrs.evolve(self.load, groups=groups))

    @property
    def kinds_asked(self) -> dict[str, str]:
        """The kinds that were asked for by name, and what each needs beyond HTTP/1.1."""
        return {each.kind.name: each.needs for each in self.load.groups if not each.mixed}

    @property
    def speaks(self) -> frozenset[str]:
        """What is spoken beyond HTTP/1.1: who calls over gRPC speaks HTTP/2."""
        needs = {each.needs for each in self.everyone if each.needs}
        return frozenset({*needs, HTTP2} if GRPC in needs else needs)

    def _why_left_out(self, group: Group) -> str:
        """Say why a group is not sent: of the quiet mix what the mechanism does not carry, of all what was refused."""
        if group.refused or not group.mixed:
            return group.refused
        if self.choice is None:
            return nobody_knows(group.needs)
        mechanism = self.choice.mechanism
        return mechanism.why_not_carried(group.kind.name, group.needs, tls=self.target.tls, asked=False)

    def as_run(self) -> dict[str, object]:
        """Return all of them as they stand in ``run.json``."""
        scenario, options = self.scenario, _options(self)
        if not self.backends.hosted:
            options["backends"] = 0
        return {
            "plugin": self.choice.plugin.name if self.choice else None,
            "mechanism": self.choice.mechanism.name if self.choice else None,
            "url": self.target.url,
            "command": list(self.command),
            "configuration": self.configuration.as_run() if self.configuration is not None else None,
            "traffic": self._traffic_as_run(),
            "options": {
                "duration": scenario.duration_s if scenario.duration_s != float("inf") else None,
                **options,
            },
            "scenario": {
                "title": scenario.title,
                "backends": list(scenario.initial),
                "steps": [_step_as_run(step) for step in scenario.steps],
            },
        }

    def _traffic_as_run(self) -> list[dict[str, object]]:
        rate_per_s = self.load.probe_rate_per_s
        probe = {"kind": PROBE_KIND, "clients": 1, "rate": rate_per_s, "rtt_ms": 0.0, "probe": True}
        cannot = [{"kind": kind, "clients": 0, "cannot": why} for kind, why in self.left_out.items()]
        return [*(group.as_run() for group in self.everyone), *([probe] if rate_per_s else []), *cannot]


#: Those of `Settings` that are no options: they have places of their own in ``run.json``.
_NO_OPTIONS = ("target", "scenario", "choice", "command", "configuration")


def _options(settings: attrs.AttrsInstance) -> dict[str, object]:
    """Return every field of settings, and of the groups in them, by its name without the unit."""
    told: dict[str, object] = {}
    for field in attrs.fields(type(settings)):
        value = getattr(settings, field.name)
        if field.name in _NO_OPTIONS or field.metadata.get("apart"):
            continue
        if attrs.has(type(value)):
            told |= _options(value)
        else:
            key = field.metadata.get("key") or field.name.removesuffix("_s").removesuffix("_per")
            told[key] = _value(value)
    return told


def _value(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):  # commands, which may have URLs in them
        return {action: without_secrets(command) for action, command in value.items()}
    if isinstance(value, tuple):  # thresholds
        return list(map(str, value))
    return value


def _step_as_run(step: Step) -> dict[str, object]:
    when: dict[str, object] = {} if step.at_s is None else {"at_s": step.at_s}
    what: dict[str, object] = {}
    if step.action == "pause":
        what["pause_s"] = step.pause_s
    elif step.action in OF_BACKENDS:
        what["instance"] = step.instance
    return {"action": step.action, **what, **when}

"""What a run is asked to do."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from proxyreload.client.load import PROBE_RATE_PER_S
from proxyreload.errors import UsageError
from proxyreload.plan.scenario import OF_BACKENDS, Scenario, Step
from proxyreload.proxy.registry import Choice

#: The name that clients ask for where the proxy is ours; ``.test`` never resolves anywhere (RFC 6761).
HOSTNAME = "proxyreload.test"
FRONT_HOST = "127.0.0.1"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Target:
    """Where the clients send their requests."""

    url: str
    host: str  #: to connect to
    port: int
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Parse a URL; raises `UsageError` if it is none."""
        try:
            parts = urlsplit(url)
            port = _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
            host = parts.hostname
        except ValueError as error:
            msg = f"{url!r} is not a URL: {error}"
            raise UsageError(msg) from error
        if (
            parts.scheme not in _DEFAULT_PORTS
            or not host
            or not port
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            msg = f"{url!r} is not a URL like http://host:port/path"
            raise UsageError(msg)
        return cls(url, host, port, tls=parts.scheme == "https")

    @classmethod
    def front(cls, port: int) -> "Target":
        """Return the front of a proxy of ours."""
        return cls(f"http://{HOSTNAME}:{port}/", FRONT_HOST, port)


@attrs.frozen
class Settings:
    """One run's settings."""

    target: Target
    scenario: Scenario
    choice: Choice | None = None  #: None: somebody else runs the proxy
    clients: int = 10
    rate_per_s: float | None = None
    backends: int = 4
    host_backends: bool = True
    backend_host: str = "127.0.0.1"
    first_port: int = 1030
    timeout_s: float = 5.0
    csv: Path = Path("data.csv")
    run: Path = Path("run.json")
    junit: Path | None = None
    report: Path | None = None  #: where the HTML report is written, if one is
    command: tuple[str, ...] = ()  #: the words that ask for all this
    log: str = "all"
    binary: str | None = None
    upgrade_to: str | None = None  #: the program that an upgrade replaces it by; None: the same one
    commands: Mapping[str, str] = attrs.field(factory=dict)  #: the user's own, by action, for a plugin that runs them
    kill_removed_s: float | None = None  #: so long after its removal was applied a backend is killed
    seed: int = 0
    ca: Path | None = None  #: certificates (PEM) to trust in place of the system's
    insecure: bool = False  #: trust any certificate
    probe_rate_per_s: float = PROBE_RATE_PER_S
    backend_processes: bool = False  #: each backend in a process of its own

    @property
    def is_ours(self) -> bool:
        """Whether the proxy is started here."""
        return self.choice is not None and self.choice.plugin.binary is not None

    def as_run(self) -> dict[str, object]:
        """Return them as they stand in ``run.json``."""
        scenario = self.scenario
        return {
            "plugin": self.choice.plugin.name if self.choice else None,
            "mechanism": self.choice.mechanism.name if self.choice else None,
            "url": self.target.url,
            "command": list(self.command),
            "options": {
                "clients": self.clients,
                "rate": self.rate_per_s,
                "duration": scenario.duration_s if scenario.duration_s != float("inf") else None,
                "backends": self.backends if self.host_backends else 0,
                "first_port": self.first_port,
                "timeout": self.timeout_s,
                "csv": str(self.csv),
                "seed": self.seed,
                "kill_removed": self.kill_removed_s,
                **({"upgrade_to": self.upgrade_to} if "upgrade" in scenario.actions else {}),
                **({"commands": dict(self.commands)} if self.commands else {}),
            },
            "scenario": {
                "title": scenario.title,
                "backends": list(scenario.initial),
                "steps": [_step_as_run(step) for step in scenario.steps],
            },
        }


def _step_as_run(step: Step) -> dict[str, object]:
    when: dict[str, object] = {} if step.at_s is None else {"at_s": step.at_s}
    what: dict[str, object] = {}
    if step.action == "pause":
        what["pause_s"] = step.pause_s
    elif step.action in OF_BACKENDS:
        what["instance"] = step.instance
    return {"action": step.action, **what, **when}

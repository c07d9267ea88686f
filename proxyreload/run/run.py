"""One run: backends, proxy, clients, the scenario, and everything given back at the end."""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from twisted.python.failure import Failure

from proxyreload.backend.backend import Backend
from proxyreload.backend.interfaces import IBackend
from proxyreload.backend.process import BackendProcess
from proxyreload.client.agent import AgentConnection, OneConnectionAgent
from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.load import Load
from proxyreload.client.request import PreparedRequest, prepare
from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Ended, RateChanged, ReporterFailed, Started
from proxyreload.history.failures import TIMEOUT
from proxyreload.plan.operations import Operations
from proxyreload.plan.play import Play
from proxyreload.plan.settings import FRONT_HOST, HOSTNAME, Settings
from proxyreload.proxy.interfaces import IProxy
from proxyreload.proxy.ports import require_free
from proxyreload.proxy.registry import Choice
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.record.csvfile import CsvFile
from proxyreload.record.runfile import RunFile
from proxyreload.run.calibration import measure_floor
from proxyreload.run.hang import HangWatch
from proxyreload.run.stall import StallWatch
from proxyreload.system.child import ChildProcess
from proxyreload.system.clock import ClockNs, ns, seconds
from proxyreload.system.reactor import IReactor
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.traffic.get import from_anyone, from_numbered_backend
from proxyreload.verdict.judgement import Judgement, by_class, judge
from proxyreload.verdict.observation import NAME as VERDICT
from proxyreload.verdict.observation import Observation

_READY_TIMEOUT_S = 1.0


@attrs.define(eq=False)
class Run:
    """Everything between the settings and the judgement."""

    settings: Settings
    reactor: IReactor
    clock_ns: ClockNs
    bus: EventBus = attrs.field(init=False)
    observation: Observation = attrs.field(init=False)
    play: Play | None = attrs.field(default=None, init=False)
    operations: Operations | None = attrs.field(default=None, init=False)
    proxy_version: str = attrs.field(default="", init=False)
    _successor_version: str = attrs.field(default="", init=False)
    _csv: CsvFile = attrs.field(init=False)
    _run_file: RunFile = attrs.field(init=False)
    _backends: list[IBackend] = attrs.field(factory=list, init=False)
    _workspace: Workspace | None = attrs.field(default=None, init=False)
    proxy: IProxy | None = attrs.field(default=None, init=False)
    _load: Load | None = attrs.field(default=None, init=False)
    _under_way: Deferred[None] | None = attrs.field(default=None, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)
    _group: SocketGroup | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        """Wire the bus; reporters of the caller's subscribe to it before `execute`."""
        self.bus = EventBus(self._reporter_failed)
        self.observation = Observation(self.bus)
        self._csv = CsvFile(self.settings.csv)
        self._run_file = RunFile(self.settings.run)
        self._csv.subscribe(self.bus)
        self.bus.subscribe(Broken, self._broke, "run")
        if self.settings.is_ours:
            HangWatch(self.bus, ns(self.settings.timeout_s))

    async def execute(self) -> Judgement:
        """Run, and return the judgement; raises `ProxyreloadError` if the run could not start.

        Whatever happens, all that was started is stopped.
        """
        try:
            await self._execute()
        finally:
            await self._give_back()
        judgement = judge(self.observation)
        self._run_file.finish(self.observation, judgement)
        return judgement

    def interrupt(self) -> None:
        """End the run early, in order; a second time, without waiting for what is under way."""
        if self._interrupted and self._load is not None:
            self._load.abort()
        self._interrupted = True
        if self.play is not None:
            self.play.stop()
        if self._under_way is not None:
            self._under_way.cancel()

    def set_rate(self, rate_per_s: float | None) -> bool:
        """Let the clients send at another rate from now on, None: in a closed loop; False if they do not send."""
        if self._load is None or not self._load.sending:
            return False
        self._load.set_rate(rate_per_s)
        self.bus.publish(RateChanged(rate_per_s, self.clock_ns()))
        return True

    # The way of a run.

    async def _execute(self) -> None:
        settings, choice = self.settings, self.settings.choice
        binary, successor = self._programs()
        self._require_ports()
        address = await self._resolve(settings.target.host)
        # From here on the record of the run before is gone.
        self._csv.open()
        self._run_file.open({**settings.as_run(), "proxy_version": self.proxy_version, **self._upgrade_as_run()})
        upstreams = await self._start_backends()
        initial = [upstreams[instance] for instance in settings.scenario.initial]
        self._group = SocketGroup.on(self.reactor, self.clock_ns)
        connector = HTTP11Connector(
            self.reactor, address, settings.target.port, self.clock_ns, _tls(settings), group=self._group
        )
        prepared = await prepare("GET", settings.target.url)
        if settings.host_backends:
            await self._interruptible(self._measure_floor(prepared, initial))
        if choice is not None:
            await self._interruptible(self._start_proxy(choice, binary, connector, initial))
        if self._interrupted:
            self.observation.undone.append("the clients started")
            return
        if self.proxy is not None and choice is not None:
            self.operations = Operations(
                self.reactor,
                self.clock_ns,
                self.bus,
                self.proxy,
                upstreams,
                choice.name,
                successor=successor,
                backends={backend.instance: backend for backend in self._backends},
                kill_after_s=settings.kill_removed_s,
            )
        self._load = Load(
            reactor=self.reactor,
            clock_ns=self.clock_ns,
            bus=self.bus,
            connectors=[connector],
            prepared=prepared,
            expectation=from_numbered_backend if settings.host_backends else from_anyone,
            clients=settings.clients,
            timeout_s=settings.timeout_s,
            rate_per_s=settings.rate_per_s,
            probe_rate_per_s=settings.probe_rate_per_s,
        )
        await self._traffic(self._load)

    async def _traffic(self, load: Load) -> None:
        self.play = Play(self.reactor, self.clock_ns, self.settings.scenario, self.operations)
        self.bus.start(self.reactor)
        stall = StallWatch(self.clock_ns)
        stall.start(self.reactor)
        start_ns = self.clock_ns()
        self.bus.publish(Started(start_ns))
        load.start()
        await self._interruptible(self.play.run(start_ns))
        self.observation.undone += self.play.undone()
        if self.operations is not None:
            self.operations.stop()
        await load.stop()
        stall.stop()
        self.observation.punctuality = load.punctuality()
        self.observation.stall_ns = stall.peak_ns
        if stall.peak_ns >= ns(self.settings.timeout_s) and TIMEOUT in self.observation.counts.by_failure:
            reason = f"proxyreload itself stood still for {seconds(stall.peak_ns):.1f} s: time-outs may be its own"
            self.observation.broken.append(reason)
        self.bus.publish(Ended(self.clock_ns()))
        load.close()

    async def _measure_floor(self, prepared: PreparedRequest, upstreams: Sequence[Upstream]) -> None:
        connectors = [
            HTTP11Connector(self.reactor, each.host, each.port, self.clock_ns, group=self._group) for each in upstreams
        ]
        floor = await measure_floor(self.reactor, self.clock_ns, connectors, prepared, self.settings)
        self.observation.floor = floor
        if floor.failures:
            self.observation.broken.append(f"straight at the backends, without the proxy: {by_class(floor.failures)}")

    async def _start_proxy(
        self, choice: Choice, binary: Path, connector: HTTP11Connector, upstreams: Sequence[Upstream]
    ) -> None:
        self._workspace = Workspace(
            reactor=self.reactor,
            binary=binary,
            front_host=self.settings.target.host,
            front_port=self.settings.target.port,
            hostname=HOSTNAME,
            answers=lambda: self._answers(connector),
            on_death=self._died,
            seed=self.settings.seed,
            patience_s=self.settings.timeout_s,
            commands=self.settings.commands,
            ours=self.settings.is_ours,
        )
        self.proxy = choice.mechanism.proxy(self._workspace)
        await self.proxy.start(upstreams)

    async def _interruptible(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Await `work` until `interrupt` ends it."""
        if self._interrupted:
            work.close()
            return
        under_way = self._under_way = Deferred.fromCoroutine(work)
        try:
            await under_way
        except CancelledError:
            if not self._interrupted:
                raise
        finally:
            self._under_way = None

    async def _give_back(self) -> None:
        """Stop what was started, in the reverse order; one failure does not keep the rest."""
        if self.operations is not None:
            self.operations.stop()
        broken = bool(self.observation.broken)
        if self.proxy is not None and not broken:  # one that is dead or hangs has no use for a graceful stop
            try:
                await self.proxy.stop()
            except Exception as error:  # noqa: BLE001  (a plugin is somebody else's code; the workspace cleans up)
                self._log.debug("the proxy's stop failed: {error}", error=error)
        if self._workspace is not None:
            await self._workspace.close(at_once=broken)
        for backend in self._backends:
            await backend.stop()
        self.bus.stop()
        self._csv.close()
        if self._group is not None:
            self._group.close()

    # Its parts.

    def _programs(self) -> tuple[Path, Path]:
        """Return the proxy's program, and the one to upgrade to; raises `ProxyreloadError` if one is missing.

        Raises it as well if the scenario has what the mechanism cannot do.
        """
        settings, choice = self.settings, self.settings.choice
        if choice is None:
            return Path(), Path()
        choice.require(settings.scenario.actions, settings.commands)
        program = choice.plugin.binary
        if program is None:
            return Path(), Path()
        binary = program.find(settings.binary)
        self.proxy_version = program.version(binary)
        successor = binary
        if settings.upgrade_to is not None:
            successor = program.find(settings.upgrade_to, "--upgrade-to")
            self._successor_version = program.version(successor)
        return binary, successor

    def _upgrade_as_run(self) -> dict[str, str]:
        return {"successor_version": self._successor_version} if self._successor_version else {}

    def _require_ports(self) -> None:
        settings = self.settings
        if settings.host_backends:
            for instance in range(settings.backends):
                require_free(settings.backend_host, settings.first_port + instance, f"backend {instance}")
        if settings.is_ours:
            require_free(FRONT_HOST, settings.target.port, "the front")

    async def _start_backends(self) -> dict[int, Upstream]:
        settings = self.settings
        host = settings.backend_host
        upstreams = {i: Upstream(i, host, settings.first_port + i) for i in range(settings.backends)}
        if not settings.host_backends:
            return upstreams
        for instance, upstream in upstreams.items():
            kind = BackendProcess if settings.backend_processes else Backend
            self._backends.append(kind(instance, upstream.port, self.bus, self.clock_ns, host))

        async def start(backend: IBackend) -> None:
            await backend.start(self.reactor)

        starting = [Deferred.fromCoroutine(start(backend)) for backend in self._backends]
        for _success, outcome in await DeferredList(starting, consumeErrors=True):
            if isinstance(outcome, Failure):
                outcome.raiseException()
        return upstreams

    async def _resolve(self, host: str) -> str:
        try:
            return await self.reactor.resolve(host, timeout=(5,)) if ":" not in host else host
        except Exception as error:
            msg = f"{host} cannot be resolved to an address"
            raise UsageError(msg) from error

    async def _answers(self, connector: HTTP11Connector) -> bool:
        """Whether a request through the front port is answered by a backend."""
        agent = OneConnectionAgent(self.reactor, attrs.evolve(connector, connection=AgentConnection), _READY_TIMEOUT_S)
        try:
            response = await agent.request(b"GET", self.settings.target.url.encode("ascii"))
            return response.code == 200 and (  # noqa: PLR2004
                not self.settings.host_backends or response.headers.hasHeader(b"Backend-Id")
            )
        except CancelledError:
            raise  # the run is ended
        except Exception:  # noqa: BLE001  (whatever it is, it is no answer yet)
            return False
        finally:
            agent.close()

    # What goes wrong.

    def _died(self, child: ChildProcess) -> None:
        words = child.tail(3)
        said = f"; it said: {one_line(words, WORDS_LIMIT)}" if words else ""
        self.bus.publish(Broken(f"the proxy died: {child.ending()}{said}", self.clock_ns()))

    def _broke(self, events: Sequence[Broken]) -> None:  # noqa: ARG002
        if self._load is not None and self._under_way is not None:
            self._interrupted = True
            if self.play is not None:
                self.play.stop()
            self._under_way.cancel()

    def _reporter_failed(self, name: str, failure: Failure) -> None:
        """Go on without a reporter; without its record, or without the verdict's own eyes, the run is not valid."""
        error = failure.value
        reason = f"{name}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        if name == VERDICT:
            self.observation.broken.append(reason)
        if name in {VERDICT, str(self.settings.csv)}:
            self.bus.publish(Broken(reason, self.clock_ns()))
        else:
            self.bus.publish(ReporterFailed(reason))


def _tls(settings: Settings) -> IOpenSSLClientConnectionCreator | None:
    if not settings.target.tls:
        return None
    from proxyreload.client.tls import tls_options

    return tls_options(settings.target.host, settings.ca, insecure=settings.insecure)

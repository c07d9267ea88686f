"""One run: backends, proxy, clients, the scenario, and everything given back at the end."""

from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.load import Crowd, Load
from proxyreload.client.request import PreparedRequest, prepare
from proxyreload.errors import ChangeError, RefusedError, StartError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Broken,
    Ended,
    EndedEarly,
    Exchange,
    Holding,
    LeftUndone,
    RateChanged,
    Skipped,
    Started,
    Stopping,
)
from proxyreload.plan.operations import Operations
from proxyreload.plan.play import Play
from proxyreload.plan.settings import Settings
from proxyreload.plan.traffic import brief
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.foreign import Calling, asked, words_of
from proxyreload.proxy.holders import Holders
from proxyreload.proxy.interfaces import IProxy
from proxyreload.proxy.recipe import HOSTNAME
from proxyreload.proxy.refusal import refusal
from proxyreload.proxy.registry import Choice
from proxyreload.proxy.spending import Spending
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.record.csvfile import CsvFile
from proxyreload.record.lossfile import LossFile
from proxyreload.record.runfile import RunFile
from proxyreload.run.calibration import take_baseline
from proxyreload.run.crowds import Crowds
from proxyreload.run.encryption import Encryption
from proxyreload.run.generationwatch import GenerationWatch
from proxyreload.run.giveback import GiveBack
from proxyreload.run.hang import Asking, HangWatch
from proxyreload.run.hosting import Hosting
from proxyreload.run.oldprocesses import OldProcesses
from proxyreload.run.preflight import Programs, descriptors, programs, require_folder, require_ports, resolved
from proxyreload.run.pricewatch import PriceWatch
from proxyreload.run.proxyfiles import keep_configuration, keep_words
from proxyreload.run.proxywords import ProxyWords
from proxyreload.run.readiness import Readiness
from proxyreload.run.stall import StallWatch, tell_own_share
from proxyreload.run.tries import Tries
from proxyreload.run.wiring import Wiring
from proxyreload.system.child import ChildProcess
from proxyreload.system.clock import ClockNs, ns
from proxyreload.system.descriptors import require_descriptors
from proxyreload.system.garbage import put_back, set_apart
from proxyreload.system.reactor import IReactor
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.unhandled import unhandled
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.system.waiting import LateError
from proxyreload.traffic.get import METHOD, from_anyone, from_numbered_backend
from proxyreload.traffic.interfaces import Expectation
from proxyreload.verdict.judgement import Judgement, by_class, judge, proved
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.threshold import Decision, Measured, decide

if TYPE_CHECKING:
    from proxyreload.proxy.authority import Authority

#: How long a plugin may take to start its proxy, and to stop it: longer than any wait of a workspace's own.
START_LIMIT_S, STOP_LIMIT_S = 60.0, 30.0


@attrs.define(eq=False)
class Run:
    """Everything between the settings and the judgement."""

    settings: Settings
    reactor: IReactor
    clock_ns: ClockNs
    play: Play | None = attrs.field(default=None, init=False)
    operations: Operations | None = attrs.field(default=None, init=False)
    proxy: IProxy | None = attrs.field(default=None, init=False)
    unwritten: str = attrs.field(default="", init=False)  #: why ``run.json`` could not be written at the end
    decision: Decision | None = attrs.field(default=None, init=False)  #: the exit status, once it is judged
    _programs: Programs = attrs.field(factory=Programs, init=False)
    _wiring: Wiring = attrs.field(init=False)
    _csv: CsvFile = attrs.field(init=False)
    _losses: LossFile = attrs.field(init=False)
    _run_file: RunFile = attrs.field(init=False)
    _hang_watch: HangWatch | None = attrs.field(default=None, init=False)
    _workspace: Workspace | None = attrs.field(default=None, init=False)
    _readiness: Readiness | None = attrs.field(default=None, init=False)
    _authority: "Authority | None" = attrs.field(default=None, init=False)  # of what the front shows
    _load: Load | None = attrs.field(default=None, init=False)
    _under_way: Deferred[None] | None = attrs.field(default=None, init=False)
    _stopping: Deferred[None] | None = attrs.field(default=None, init=False)  # what may be left undone
    _give_back: GiveBack = attrs.field(init=False)
    _hosting: Hosting = attrs.field(init=False)
    _interrupts: int = attrs.field(default=0, init=False)  # from outside
    _interrupted: bool = attrs.field(default=False, init=False)  # by that, or because something broke
    _at_once: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        """Wire history and verdict; reporters of the caller's subscribe to the bus before `execute`."""
        settings = self.settings
        self._give_back = GiveBack(self.reactor)
        files = settings.files
        self._wiring = Wiring(self.clock_ns, frozenset({str(files.csv), str(files.losses)}))
        self._hosting = Hosting(settings, self.reactor, self.clock_ns, self._wiring.history)
        self._csv, self._losses, self._run_file = CsvFile(files.csv), LossFile(files.losses), RunFile(files.run)
        self._csv.subscribe(self.bus)
        self._losses.subscribe(self.bus)
        self.bus.subscribe(Broken, self._broke, "run")
        if settings.is_ours:
            self._hang_watch = HangWatch(
                self.bus,
                self._wiring.history.here,
                self.clock_ns,
                ns(settings.load.timeout_s),
                Asking(self.reactor, self._straight(), settings.target.url).silent,
                set(map(str, settings.scenario.initial)),
            )

    @property
    def bus(self) -> EventBus:
        """Where all that happens is published, in the order of time."""
        return self._wiring.bus

    @property
    def observation(self) -> Observation:
        """What was seen so far."""
        return self._wiring.observation

    @property
    def at_once(self) -> bool:
        """Whether it was ended without waiting."""
        return self._at_once

    @property
    def proxy_version(self) -> str:
        """What the proxy's program says of itself."""
        return self._programs.version

    async def execute(self) -> Judgement:
        """Run, and return the judgement; raises `ProxyreloadError` if the run could not start.

        Whatever happens, all that was started is given back, in the reverse order; one failure does not keep the rest.
        """
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(unhandled(self._unhandled))
                await self._execute(stack)
            return self._judged()
        finally:
            self._run_file.close()

    def _judged(self) -> Judgement:
        """Judge, and write that down; if that fails, nobody can rely on what is there."""
        judgement, decision = self._decided()
        try:
            self._run_file.finish(self.observation, judgement, decision)
        except StartError as error:
            self.unwritten = str(error)
            self.observation.broken.append(self.unwritten)
            judgement, _decision = self._decided()
        return judgement

    def _decided(self) -> tuple[Judgement, Decision]:
        judgement = judge(self.observation)
        self.decision = decide(self.settings.fail_on, Measured.of(self.observation, judgement))
        return judgement, self.decision

    def interrupt(self) -> None:
        """End the run early, in order; a second time, without waiting for what is under way."""
        self._interrupts += 1
        if self._interrupts > 1:
            self._at_once = True
            if self._load is not None:
                self._load.abort()
            if self._workspace is not None:
                self._workspace.hurry()
            if self._stopping is not None:
                self._stopping.cancel()
            self._hosting.hurry()
            self._give_back.hurry()
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
        self._wiring.history.here.publish(RateChanged(rate_per_s, self.clock_ns()))
        return True

    # The way of a run.

    async def _execute(self, stack: AsyncExitStack) -> None:
        settings, choice, history = self.settings, self.settings.choice, self._wiring.history
        self._programs = programs(settings)
        require_ports(settings)
        require_descriptors(descriptors(settings))
        require_folder(settings)
        address = await self._resolved()
        tls = Encryption.of(settings)
        self._authority = tls.authority
        self._give_back.later(stack, self._close_rows)
        for each in (self._csv, self._losses, self._run_file):
            each.claim()
        # From here on the record of the run before is gone.
        self._csv.open()
        self._losses.open()
        self._run_file.open({**settings.as_run(), **self._programs.as_run()})
        self._give_back.later(stack, history.stop)
        group = SocketGroup.on(self.reactor, self.clock_ns, history.here.waiting(Exchange), history.settle)
        if group is not None:
            self._give_back.later(stack, group.close)
        await self._interruptible(self._hosting.start(stack, self._give_back))
        upstreams = settings.upstreams
        initial = [upstreams[instance] for instance in settings.scenario.initial]
        connector = HTTP11Connector(self.reactor, address, settings.target.port, self.clock_ns, tls.trust, group=group)
        resuming = attrs.evolve(connector, tickets=tls.tickets)
        prepared = await prepare(METHOD, settings.target.url, headers=settings.target.fields)
        if settings.backends.hosted:
            await self._interruptible(self._take_baseline(prepared, group))
        if choice is not None:
            await self._interruptible(self._start_proxy(stack, choice, connector, initial))
        if settings.configuration is not None and not self._interrupted:
            await self._interruptible(self._try_kinds(connector, prepared))
            settings = self.settings
        if self._interrupted:
            history.here.publish(Skipped(("the clients started",), self.clock_ns()))
            return
        if self.proxy is not None and choice is not None:
            self.operations = self._operations(self.proxy, choice, upstreams)
            self._give_back.later(stack, self.operations.stop)
        crowds = Crowds(resuming, settings.target)
        self._give_back.later(stack, crowds.close)
        self._listen(stack)
        self._give_back.later(stack, put_back)
        load = self._new_load(resuming, prepared, await crowds.of(settings.groups))
        load.probe_connector = connector  # which is shown the certificate each time
        await self._traffic(load, crowds)

    def _listen(self, stack: AsyncExitStack) -> None:
        """Hear what a proxy of ours says from now on: it is evidence where something is lost."""
        if self._workspace is not None and self.settings.is_ours:
            words = ProxyWords(self._wiring.history.here, self.clock_ns)
            words.listen(self.reactor, self._workspace.log)
            self._give_back.later(stack, words.close)

    async def _traffic(self, load: Load, crowds: Crowds) -> None:
        history, here = self._wiring.history, self._wiring.history.here
        self._load = load
        self.play = Play(self.reactor, self.clock_ns, self.settings.scenario, self.operations, here, self._proved)
        set_apart()
        history.start(self.reactor)
        stall = StallWatch(self.clock_ns, here.publish)
        stall.start(self.reactor)
        holders = self.operations.holders if self.operations is not None else None
        watch = GenerationWatch(self.reactor, self.clock_ns, here, holders)
        watch.start(self.reactor)
        prices = PriceWatch(here, Spending(self.clock_ns) if self.operations and self.settings.is_ours else None)
        prices.start(self.reactor)
        start_ns = self.clock_ns()
        hosted = self.settings.backends.hosted
        here.publish(Started(start_ns, load.kinds, load.aimed, load.unsafe, load.many, hosted))
        load.start()
        await self._interruptible(self.play.run(start_ns))
        await self._interruptible(self._outlast(self.play))
        if self.play.skipped():
            here.publish(Skipped(tuple(self.play.skipped()), self.clock_ns()))
        self._note_early_end(start_ns)
        if self.operations is not None:
            self.operations.stop()
        watch.stop()
        prices.stop()
        here.publish(Stopping(self.clock_ns()))
        await load.stop()
        if self._hang_watch is not None:
            self._hang_watch.stop()
        stall.stop()
        kept = (load.punctuality(), *crowds.kept())
        tell_own_share(history, kept, stall.peak_ns, ns(self.settings.load.timeout_s), self.clock_ns())
        here.publish(Ended(self.clock_ns()))
        load.close()

    def _holders(self) -> Holders | None:
        """Return who knows what holds the clients' connections, where that can be known and is to be looked at."""
        settings = self.settings
        if not settings.is_ours or not settings.looks_before_changes:
            return None
        return Holders(settings.target.port, self.clock_ns, whose=self._holdings)

    def _holdings(self) -> dict[int, Holding]:
        return self._load.holdings() if self._load is not None else {}

    async def _outlast(self, play: Play) -> None:
        """Go on until the old processes of a proxy of ours are gone, or their time is over."""
        if self._workspace is not None and self.proxy is not None and self.settings.is_ours:
            old = OldProcesses(self.reactor, self.clock_ns, self._wiring.history.here, self._workspace, self.proxy)
            await old.outlast(self.settings.wait_old_s, play)

    def _note_early_end(self, start_ns: int) -> None:
        """Tell that the run was ended before its time, if it has one."""
        now_ns, duration_s = self.clock_ns(), self.settings.scenario.duration_s
        if self._interrupted and isfinite(duration_s) and now_ns - start_ns < ns(duration_s):
            self._wiring.history.here.publish(EndedEarly(now_ns - start_ns, duration_s, now_ns))

    def _proved(self, number: int) -> bool:
        """Whether a change is seen in the traffic, or can be no more."""
        return proved(self.observation, number)

    async def _take_baseline(self, prepared: PreparedRequest, group: SocketGroup | None) -> None:
        straight = self._straight(group)
        connectors = [straight[str(instance)] for instance in self.settings.scenario.initial]
        load = self.settings.load
        others = await Crowds(connectors[0], self.settings.target).of(brief(self.settings.groups))
        taken = await take_baseline(self.reactor, self.clock_ns, connectors, prepared, load, others)
        here = self._wiring.history.here
        here.publish(taken)
        if taken.every_failure:
            reason = f"straight at the backends, without the proxy: {by_class(taken.every_failure)}"
            here.publish(Broken(reason, taken.at_ns))

    async def _start_proxy(
        self, stack: AsyncExitStack, choice: Choice, connector: HTTP11Connector, upstreams: Sequence[Upstream]
    ) -> None:
        settings = self.settings
        readiness = self._readiness = Readiness(
            self.reactor, connector, settings.target.url, settings.backends.hosted, settings.target.fields
        )
        workspace = self._workspace = Workspace(
            reactor=self.reactor,
            binary=self._programs.binary,
            front_host=settings.target.host,
            front_port=settings.target.port,
            hostname=HOSTNAME,
            answers=readiness.answers,
            on_death=self._died,
            on_undone=self._undone,
            seed=settings.load.seed,
            client_timeout_s=settings.load.timeout_s,
            quiet_s=settings.load.quiet_s,
            lasts_s=settings.load.lasts_s,
            commands=settings.commands,
            speaks=settings.speaks,
            ours=settings.is_ours,
            authority=self._authority,
            configuration=settings.configuration or choice.mechanism.configuration or Configuration({}),
        )
        self._give_back.later(stack, self._close_workspace, workspace)
        kept = settings.files.proxy
        if kept is not None:
            self._give_back.later(stack, keep_words, workspace, kept)
        what = f"{choice.name} cannot be started"
        with Calling(StartError, what):
            proxy = self.proxy = choice.mechanism.proxy(workspace)
        stack.push_async_callback(self._stop_proxy, proxy)
        try:
            await asked(self.reactor, lambda: proxy.start(upstreams), START_LIMIT_S, StartError, what)
        except LateError as error:
            msg = f"{choice.name} has not started within {START_LIMIT_S:g} s"
            raise StartError(msg) from error
        except StartError as error:
            words = await refusal(proxy, workspace, error)
            if words:
                raise RefusedError(str(error), words) from error
            raise
        if kept is not None:
            with suppress(OSError):  # the run is worth more than that
                keep_configuration(workspace, kept)

    async def _try_kinds(self, connector: HTTP11Connector, prepared: PreparedRequest) -> None:
        """Try each kind once, and leave out what the user's configuration does not carry."""
        settings = self.settings
        tries = Tries(
            self.reactor,
            self.clock_ns,
            connector,
            settings.target,
            prepared,
            self._expectation,
            settings.load.timeout_s,
        )
        refused = await tries.refused(settings.groups)
        if refused:
            self.settings = settings.without(refused)
            self._run_file.sends(self.settings.as_run()["traffic"])

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

    async def _resolved(self) -> str:
        """Return the target's address; raises `StartError` if the run is ended before it is known."""
        addresses: list[str] = []

        async def resolve() -> None:
            addresses.append(await resolved(self.reactor, self.settings.target.host))

        await self._interruptible(resolve())
        if not addresses:
            msg = "the run was ended before it began"
            raise StartError(msg)
        return addresses[0]

    def _straight(self, group: SocketGroup | None = None) -> dict[str, HTTP11Connector]:
        """Return what connects to each backend without the proxy, by its number."""
        return {
            str(instance): HTTP11Connector(self.reactor, each.host, each.port, self.clock_ns, group=group)
            for instance, each in self.settings.upstreams.items()
        }

    # What is given back.

    def _close_rows(self) -> None:
        observation = self.observation
        missing = (self._csv.missing(observation.counts.total), self._losses.missing(observation.causes.total()))
        self._csv.close()
        self._losses.close()
        observation.broken += filter(None, missing)

    async def _stop_proxy(self, proxy: IProxy) -> None:
        """Stop the proxy as its plugin does; the workspace ends what is left, also if that fails or is interrupted."""
        if self._workspace is not None:
            self._workspace.leave_off()
        if self._broken or self._at_once:  # one that is dead or hangs has no use for a graceful stop
            return
        stopping = self._stopping = Deferred.fromCoroutine(asked(self.reactor, proxy.stop, STOP_LIMIT_S, ChangeError))
        try:
            await stopping
        except BaseException as error:  # noqa: BLE001  (a plugin is somebody else's code)
            self._log.warn("the proxy's stop failed: {error}", error=error)
        finally:
            self._stopping = None

    async def _close_workspace(self, workspace: Workspace) -> None:
        if self._broken:
            workspace.hurry()
        await workspace.close()

    @property
    def _broken(self) -> bool:
        self._wiring.history.settle()
        return bool(self.observation.broken)

    # Its parts.

    @property
    def _expectation(self) -> Expectation:
        return from_numbered_backend if self.settings.backends.hosted else from_anyone

    def _new_load(self, connector: HTTP11Connector, prepared: PreparedRequest, crowds: Sequence[Crowd]) -> Load:
        load = self.settings.load
        return Load(
            reactor=self.reactor,
            clock_ns=self.clock_ns,
            sink=self._wiring.history.here,
            connectors=[connector],
            prepared=prepared,
            expectation=self._expectation,
            clients=load.clients,
            timeout_s=load.timeout_s,
            rate_per_s=load.rate_per_s,
            probe_rate_per_s=load.probe_rate_per_s,
            crowds=crowds,
            seed=load.seed,
        )

    def _operations(self, proxy: IProxy, choice: Choice, upstreams: dict[int, Upstream]) -> Operations:
        settings, workspace = self.settings, self._workspace
        ours = workspace if settings.is_ours else None
        return Operations(
            self.reactor,
            self.clock_ns,
            self._wiring.history.here,
            proxy,
            upstreams,
            choice.name,
            successor=self._programs.successor,
            backends={backend.instance: backend for backend in self._hosting.backends},
            stop_after_s=settings.backends.stop_removed_s,
            kill_after_s=settings.backends.kill_removed_s,
            holders=self._holders(),
            certificate=workspace.tls if workspace is not None else None,
            edits=ours.edits if ours is not None else None,
            asks=self._readiness.why_not_edited if self._readiness is not None else None,
        )

    # What goes wrong.

    def _died(self, child: ChildProcess) -> None:
        words = child.tail(3)
        said = f"; it said: {one_line(words, WORDS_LIMIT)}" if words else ""
        self._wiring.history.here.publish(Broken(f"the proxy died: {child.ending()}{said}", self.clock_ns()))

    def _undone(self, what: str, error: BaseException) -> None:
        self._wiring.history.here.publish(LeftUndone(one_line(what, WORDS_LIMIT), words_of(error), self.clock_ns()))

    def _unhandled(self, error: BaseException) -> None:
        reason = one_line(f"internal error: {type(error).__name__}: {error}", WORDS_LIMIT)
        self._wiring.history.here.publish(Broken(reason, self.clock_ns()))

    def _broke(self, events: Sequence[Broken]) -> None:  # noqa: ARG002
        if self._load is not None and self._under_way is not None:
            self._interrupted = True
            if self.play is not None:
                self.play.stop()
            self._under_way.cancel()

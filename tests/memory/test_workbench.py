"""One run after another behind the live page: begun, refused, ended, and a start that fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from proxyreload.errors import ExitStatus
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Ended, Phase, Started
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.proxy.registry import Choice
from proxyreload.system.reactor import IReactor
from proxyreload.terminal.display import IDisplay
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.web import workbench
from proxyreload.web.archive import Archive
from proxyreload.web.guard import Refusal
from proxyreload.web.place import WebSettings
from proxyreload.web.slices import SLICE_S
from proxyreload.web.web_service import WebService
from proxyreload.web.workbench import Workbench

from .clocks import START_NS, error_of, result_of, waits
from .happened import change, exchange
from .observing import observed
from .plugins import plugin


class Reactor(MemoryReactorClock):
    """One that knows what is still listened on."""

    def __init__(self) -> None:
        super().__init__()
        self.listening: list[int] = []

    def listenTCP(self, port: int, *words: Any, **more: Any) -> Any:
        fake = super().listenTCP(port, *words, **more)
        fake.stopListening = lambda: self.listening.remove(port)
        self.listening.append(port)
        return fake


class Operations:
    """Changes of which each is over when the test says."""

    mechanism = "fake:quick"
    busy = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.under_way: list[Deferred[Change]] = []

    def request(self, action: str, instance: int) -> "Deferred[Change]":
        self.asked.append((action, instance))
        self.busy = True
        self.under_way.append(Deferred())
        return self.under_way[-1]


class FakeRun:
    """A run whose events are the test's."""

    play = None
    proxy_version = "fake 1.0"

    def __init__(self) -> None:
        self.bus = EventBus()
        self.observation = observed(self.bus)
        self.operations: Operations | None = Operations()
        self.rates: list[float | None] = []

    def set_rate(self, rate_per_s: float | None) -> bool:
        self.rates.append(rate_per_s)
        return True


@attrs.define(eq=False)
class FakeService:
    """A run's service that does nothing by itself."""

    settings: Settings
    reactor: object
    display: object
    complain: Callable[[str], None]
    finished: Callable[[int], None]
    watch: Callable[[FakeRun], None]
    run: FakeRun = attrs.field(factory=FakeRun, init=False)
    judgement: Judgement | None = attrs.field(default=None, init=False)
    started: bool = attrs.field(default=False, init=False)
    interrupts: int = attrs.field(default=0, init=False)
    fails: str = attrs.field(default="", init=False)

    def startService(self) -> None:
        self.started = True
        self.watch(self.run)
        if self.fails:
            self.complain(self.fails)
            self.finished(int(ExitStatus.INVALID))

    def interrupt(self) -> None:
        self.interrupts += 1

    def begins(self) -> None:
        """Let the clients send."""
        self.run.bus.publish(Started(START_NS))

    def ends(self, verdict: Verdict = Verdict.SEAMLESS) -> None:
        """Let the run come to a verdict."""
        if self.run.observation.started_ns:
            self.run.bus.publish(Ended(START_NS + 1))
        self.judgement = Judgement(verdict, ())
        self.settings.files.run.write_text("{}", encoding="utf-8")
        self.finished(int(verdict.exit_status))


@attrs.define(eq=False)
class Scene:
    """What runs, what was complained of, what a reader was told."""

    folder: Path
    services: list[FakeService] = attrs.field(factory=list)
    complaints: list[str] = attrs.field(factory=list)
    shown: list[str] = attrs.field(factory=list)
    reactor: Reactor = attrs.field(factory=Reactor)
    failing: str = ""  #: why the next run cannot start

    def service(self, *words: Any, **more: Any) -> FakeService:
        made = FakeService(*words, **more)
        made.fails = self.failing
        self.services.append(made)
        return made

    @property
    def settings(self) -> Settings:
        choice = Choice(plugin, plugin.mechanisms[0])
        return Settings(Target.front(8080), default(), choice, LoadSettings(rate_per_s=100.0))

    def display(self) -> IDisplay:
        return cast(IDisplay, self)

    def show(self, lines: list[str], _status: str) -> None:
        self.shown += lines

    def close(self) -> None: ...

    def bench(self) -> Workbench:
        archive = Archive(self.folder / "runs")
        return Workbench(self.settings, cast(IReactor, self.reactor), archive, self.display, self.complaints.append)

    def web(self, finished: Callable[[int], None], where: str = "tcp6:8090") -> WebService:
        web = WebSettings(where, self.folder / "runs")
        return WebService(
            self.settings, web, cast(IReactor, self.reactor), self.display, self.complaints.append, finished
        )


@pytest.fixture(name="scene")
def _scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(tmp_path)
    monkeypatch.setattr(workbench, "RunService", scene.service)
    return scene


def refused(status: int, act: Callable[[], object]) -> str:
    """Return why something is refused."""
    with pytest.raises(Refusal) as caught:
        act()
    assert caught.value.status == status
    return caught.value.reason


def folders(scene: Scene) -> list[str]:
    return sorted(path.name for path in (scene.folder / "runs").iterdir())


def test_a_run_begins_runs_and_is_over(scene: Scene) -> None:
    bench = scene.bench()
    assert (bench.state()["state"], bench.running) == ("idle", False)
    over = bench.start()
    [service] = scene.services
    assert service.started
    assert bench.state()["state"] == "starting"
    service.begins()
    assert bench.state()["state"] == "running"
    idle = bench.idle()
    service.ends()
    assert (result_of(over), result_of(idle)) == (None, None)
    state = bench.state()
    assert (state["state"], state["verdict"], bench.status, bench.judged) == ("idle", "seamless", 0, True)
    assert folders(scene) == [state["run"]]
    assert result_of(bench.idle()) is None
    assert scene.reactor.getDelayedCalls() == []


def test_a_second_start_is_refused_until_the_first_run_is_over(scene: Scene) -> None:
    bench = scene.bench()
    bench.start()
    assert refused(409, bench.start) == "a run is going on"
    scene.services[0].begins()
    scene.services[0].ends(Verdict.LOSSY)
    assert bench.status == 1
    bench.start()
    first, second = scene.services
    assert first.settings.files.csv.parent != second.settings.files.csv.parent
    for each in (first.settings.files, second.settings.files):
        assert each.csv.parent == each.losses.parent == each.run.parent
    assert bench.state()["verdict"] is None
    assert len(folders(scene)) == 2


def test_a_start_that_fails_says_why_leaves_no_folder_and_another_can_follow(scene: Scene) -> None:
    bench = scene.bench()
    scene.failing = "the front's port 8080 is taken\nmore"
    assert result_of(bench.start()) is None
    state = bench.state()
    assert (state["state"], state["error"]) == ("idle", "the front's port 8080 is taken")
    assert (bench.status, bench.judged, folders(scene)) == (3, False, [])
    assert scene.complaints == [scene.failing]
    scene.failing = ""
    bench.start()
    assert (bench.running, bench.state()["error"]) == (True, "")


def test_a_run_is_stopped_in_order_and_then_at_once(scene: Scene) -> None:
    bench = scene.bench()
    assert refused(409, bench.stop) == "no run is going on"
    bench.start()
    scene.services[0].begins()
    bench.stop()
    assert (scene.services[0].interrupts, bench.state()["state"]) == (1, "stopping")
    bench.stop()
    assert scene.services[0].interrupts == 2
    assert bench.running


def test_when_the_service_ends_nothing_more_is_begun(scene: Scene) -> None:
    bench = scene.bench()
    bench.closing = True
    assert refused(503, bench.start) == "the service ends"
    assert scene.services == []


def test_the_rate_is_the_runs_or_the_next_ones(scene: Scene) -> None:
    bench = scene.bench()
    bench.set_rate(5)
    bench.start()
    [service] = scene.services
    assert service.settings.load.rate_per_s == 5
    bench.set_rate(None)
    assert service.run.rates == [None]
    service.ends()
    bench.start()
    assert scene.services[1].settings.load.rate_per_s is None


def test_a_change_is_asked_for_only_where_it_makes_sense(scene: Scene) -> None:
    bench = scene.bench()
    refused(409, lambda: bench.change("reload", -1))
    bench.start()
    [service] = scene.services
    refused(409, lambda: bench.change("add", 2))
    service.begins()
    assert refused(409, lambda: bench.change("add", 0)) == "backend 0 is behind the proxy already"
    assert refused(409, lambda: bench.change("remove", 2)) == "backend 2 is not behind the proxy"
    made = bench.change("add", 2)
    assert refused(409, lambda: bench.change("remove", 0)) == "a change is under way"
    operations = service.run.operations
    assert operations is not None
    assert operations.asked == [("add", 2)]
    applied = change(Phase.APPLIED, START_NS + 5)
    operations.under_way[0].callback(applied)
    assert result_of(made) is applied
    service.run.bus.publish(applied)
    assert [each["backend"] for each in bench.state()["backends"] if each["behind"]] == [0, 1, 2]


def test_a_change_by_command_needs_the_command_and_no_more(scene: Scene) -> None:
    bench = scene.bench()
    commanded = attrs.evolve(plugin.mechanisms[0], commanded=True)
    bench.settings = attrs.evolve(bench.settings, choice=Choice(plugin, commanded), commands={"add": "./add"})
    bench.start()
    scene.services[0].begins()
    assert (bench.state()["cannot"]["add"], bench.state()["cannot"]["remove"]) == ("", "no --remove-command")
    bench.change("add", 2)
    assert "cannot remove: no --remove-command" in refused(409, lambda: bench.change("remove", 0))


def test_a_change_that_the_end_of_the_run_overtakes_is_refused(scene: Scene) -> None:
    bench = scene.bench()
    bench.start()
    [service] = scene.services
    service.begins()
    made = bench.change("add", 2)
    assert service.run.operations is not None
    service.run.operations.under_way[0].cancel()
    error = error_of(made, Refusal)
    assert isinstance(error, Refusal)
    assert error.status == 503


# What readers are told.


class Reader:
    """A request for events."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def write(self, data: bytes) -> None:
        for each in data.split(b"\n\n"):
            name, _break, content = each.partition(b"\ndata: ")
            if content:
                self.told.append((name.decode().removeprefix("event: "), json.loads(content)))

    def registerProducer(self, *_producer: object) -> None: ...

    def unregisterProducer(self) -> None: ...

    def finish(self) -> None: ...

    def notifyFinish(self) -> "Deferred[None]":
        return Deferred()

    def last(self, name: str) -> Any:
        """Return the latest event of this name."""
        return [content for each, content in self.told if each == name][-1]


def test_percentiles_are_told_once_a_second_while_somebody_reads_and_all_at_the_end(scene: Scene) -> None:
    bench = scene.bench()
    bench.start()
    [service] = scene.services
    service.begins()
    service.run.bus.exchanged(exchange())
    service.run.bus.flush()
    scene.reactor.pump([SLICE_S] * 8)
    reader = Reader()
    assert bench.subscribers.add(reader)  # type: ignore[arg-type]
    assert reader.last("tail") == {"curves": []}
    reader.told.clear()
    scene.reactor.pump([SLICE_S] * 8)
    tails = [content for name, content in reader.told if name == "tail"]
    assert len(tails) == 2
    assert [(each["name"], each["count"]) for each in tails[-1]["curves"]] == [("before", 1)]
    service.run.bus.exchanged(exchange())
    service.ends()
    assert [each["count"] for each in reader.last("tail")["curves"]] == [2]
    late = Reader()
    assert bench.subscribers.add(late)  # type: ignore[arg-type]
    assert late.last("tail") == reader.last("tail")
    assert len(late.last("history")["back"]) == 1


# The service around it.


def test_the_service_stays_when_the_first_run_is_over(scene: Scene) -> None:
    statuses: list[int] = []
    web = scene.web(statuses.append)
    web.startService()
    assert scene.shown == ["the page is http://[::1]:8090/"]
    [service] = scene.services
    service.begins()
    service.ends(Verdict.LOSSY)
    assert statuses == []
    assert scene.reactor.listening == [8090]
    over = web.stopService()
    assert over is not None
    result_of(over)
    assert (statuses, scene.reactor.listening, scene.reactor.getDelayedCalls()) == ([1], [], [])


def test_a_service_that_is_stopped_during_a_run_waits_for_its_end(scene: Scene) -> None:
    statuses: list[int] = []
    web = scene.web(statuses.append)
    web.startService()
    [service] = scene.services
    service.begins()
    over = web.stopService()
    assert over is not None
    assert (waits(over), service.interrupts, statuses) == (True, 1, [])
    web.interrupt()
    assert service.interrupts == 2
    service.ends()
    result_of(over)
    assert (statuses, scene.reactor.listening) == ([0], [])


def test_a_service_whose_first_run_cannot_start_ends(scene: Scene) -> None:
    statuses: list[int] = []
    scene.failing = "fakeproxy is not installed"
    scene.web(statuses.append).startService()
    assert (statuses, scene.complaints, scene.reactor.listening) == ([3], ["fakeproxy is not installed"], [])
    assert folders(scene) == []


def test_a_service_that_can_serve_no_page_starts_no_run(scene: Scene) -> None:
    statuses: list[int] = []
    scene.web(statuses.append, "nonsense:1").startService()
    assert statuses == [2]
    assert "--web takes a port or a server endpoint" in scene.complaints[0]
    assert scene.services == []

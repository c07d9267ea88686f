"""A run's lifecycle: what was started is given back, whatever fails, hangs or is interrupted."""

import csv
import gc
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.python.failure import Failure

from proxyreload.client.load import Load
from proxyreload.errors import ProxyreloadError, StartError, UsageError
from proxyreload.ledger.loss import Loss
from proxyreload.plan.scenario import Scenario
from proxyreload.plan.settings import BackendSettings, FileSettings, LoadSettings, Settings, Target
from proxyreload.proxy import tree
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.registry import Choice
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.record.csvfile import CsvFile
from proxyreload.record.lossfile import LossFile
from proxyreload.run import giveback
from proxyreload.run.preflight import resolved
from proxyreload.run.run import START_LIMIT_S, STOP_LIMIT_S, Run
from proxyreload.system.claim import Claim
from proxyreload.system.clock import NS_PER_S
from proxyreload.verdict.judgement import Judgement, Verdict

from .clocks import START_NS, error_of, result_of, waits
from .plugins import FakeProxy

FRONT_PORT = 28980
#: The files of a run.
WRITTEN = ("data.csv", "losses.csv", "run.json")


class Machine(MemoryReactorClock):
    """A reactor in memory whose ports can be told apart from those that were given back."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[int] = set()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = super().listenTCP(port, factory, backlog, interface)
        self.open.add(port)

        def stop() -> None:
            self.open.discard(port)

        listening.stopListening = stop
        return listening

    def ns(self) -> int:
        return START_NS + round(self.seconds() * NS_PER_S)


class Stubborn(FakeProxy):
    """A proxy whose calls end when they are told to, if at all, and that may take no notice of being cancelled."""

    def __init__(self, workspace: Workspace, *, hangs: str = "", deaf: bool = False) -> None:
        super().__init__()
        self.workspace = workspace
        self.hangs = hangs
        self.deaf = deaf

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        await super().start(upstreams)
        await self._perhaps("start")

    async def stop(self) -> None:
        await super().stop()
        await self._perhaps("stop")

    async def _perhaps(self, what: str) -> None:
        while self.hangs == what:
            try:
                await Deferred()
            except CancelledError:
                if not self.deaf:
                    raise


@attrs.define(eq=False)
class Stage:
    """A run in memory, of a proxy that is made to order."""

    folder: Path
    make: Callable[[Workspace], Stubborn] = Stubborn
    machine: Machine = attrs.field(factory=Machine)
    proxies: list[Stubborn] = attrs.field(factory=list)
    run: Run = attrs.field(init=False)
    over: Deferred[Judgement] = attrs.field(init=False)

    def start(self, duration_s: float = 5.0, *, hosted: bool = False, interrupted: bool = False) -> None:
        """Begin; clients find nobody, for nothing listens in memory."""

        def make(workspace: Workspace) -> Stubborn:
            self.proxies.append(self.make(workspace))
            return self.proxies[-1]

        plugin = ProxyPlugin("fake", None, (Mechanism("quick", "at once", make),))
        settings = Settings(
            Target("http://127.0.0.1:28980/", "127.0.0.1", FRONT_PORT),
            Scenario("test", duration_s, (0, 1), ()),
            Choice(plugin, plugin.mechanisms[0]),
            load=LoadSettings(clients=2, timeout_s=0.5, probe_rate_per_s=0),
            backends=BackendSettings(number=2, hosted=hosted, first_port=28970),
            files=FileSettings(self.folder / "data.csv", self.folder / "run.json", losses=self.folder / "losses.csv"),
        )
        self.run = Run(settings, cast(Any, self.machine), self.machine.ns)
        if interrupted:
            self.run.interrupt()
        self.over = Deferred.fromCoroutine(self.run.execute())

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.machine.pump([0.05] * round(seconds / 0.05))

    @property
    def proxy(self) -> Stubborn:
        return self.proxies[-1]

    @property
    def asked(self) -> list[str]:
        """What the proxy was asked for."""
        return [name for name, _what in self.proxy.calls]

    def assert_given_back(self) -> None:
        assert self.machine.open == set()
        assert not self.proxy.workspace.folder.exists()
        assert self.machine.readers == set()
        assert self.machine.getDelayedCalls() == []


@pytest.fixture(name="stage")
def _stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(tree, "strangers", list)  # none of the test's own children
    return Stage(tmp_path)


def hanging(what: str, *, deaf: bool = False) -> Callable[[Workspace], Stubborn]:
    """Return what makes a proxy that never comes back from `what`."""
    return lambda workspace: Stubborn(workspace, hangs=what, deaf=deaf)


def test_a_run_starts_its_proxy_and_stops_it(stage: Stage) -> None:
    stage.start()
    stage.passes(10)
    assert result_of(stage.over).verdict is Verdict.INVALID  # nobody answered
    assert stage.asked == ["start", "stop"]
    stage.assert_given_back()


def test_every_exchange_that_was_counted_has_a_row(stage: Stage) -> None:
    stage.start()
    stage.passes(10)
    result_of(stage.over)
    rows = (stage.folder / "data.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) - 1 == stage.run.observation.counts.total > 0


def test_every_loss_that_was_counted_has_a_row(stage: Stage) -> None:
    stage.start()
    stage.passes(10)
    result_of(stage.over)
    with (stage.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, strict=True)
    observation = stage.run.observation
    assert len(rows) == observation.counts.failure == observation.causes.total() > 0
    assert Counter(row[head.index("failure")] for row in rows) == observation.counts.by_failure
    assert {row[head.index("cause")] for row in rows} == {cause.value for cause in observation.causes}


def test_a_closer_that_raises_keeps_nothing_from_being_given_back(stage: Stage) -> None:
    closed: list[str] = []

    async def raises() -> None:
        closed.append("one")
        msg = "no"
        raise RuntimeError(msg)

    async def closes() -> None:
        closed.append("other")

    def make(workspace: Workspace) -> Stubborn:
        workspace.at_close(closes)
        workspace.at_close(raises)
        return Stubborn(workspace)

    stage.make = make
    stage.start(hosted=True)
    stage.passes(10)
    assert result_of(stage.over).verdict is Verdict.INVALID
    assert sorted(closed) == ["one", "other"]
    stage.assert_given_back()


def test_a_run_that_breaks_off_leaves_nothing_out_of_collections(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_load: Load) -> None:
        assert gc.get_freeze_count() > 0
        message = "broken"
        raise RuntimeError(message)

    monkeypatch.setattr(Load, "stop", breaks)
    stage.start()
    stage.passes(10)
    assert str(error_of(stage.over, RuntimeError)) == "broken"
    assert gc.get_freeze_count() == 0


def test_backends_listen_during_a_run_and_no_longer(stage: Stage) -> None:
    stage.start(hosted=True)
    stage.passes(0.1)
    assert stage.machine.open == {28970, 28971}
    stage.passes(15)
    result_of(stage.over)
    stage.assert_given_back()


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stop_that_never_ends_has_a_limit(stage: Stage, *, deaf: bool) -> None:
    stage.make = hanging("stop", deaf=deaf)
    stage.start()
    stage.passes(7)
    assert stage.asked == ["start", "stop"]
    stage.passes(STOP_LIMIT_S - 5)
    assert waits(stage.over)
    stage.passes(10)
    result_of(stage.over)
    stage.assert_given_back()


@pytest.mark.parametrize("deaf", [False, True])
def test_interrupted_twice_a_run_waits_for_no_stop(stage: Stage, *, deaf: bool) -> None:
    stage.make = hanging("stop", deaf=deaf)
    stage.start(float("inf"))
    stage.passes(1)
    stage.run.interrupt()
    stage.passes(1)
    assert stage.asked == ["start", "stop"]
    assert waits(stage.over)
    stage.run.interrupt()
    stage.passes(0.1)
    result_of(stage.over)
    stage.assert_given_back()


@pytest.mark.parametrize("deaf", [False, True])
def test_a_start_that_never_ends_has_a_limit(stage: Stage, *, deaf: bool) -> None:
    stage.make = hanging("start", deaf=deaf)
    stage.start()
    stage.passes(START_LIMIT_S + 1)
    assert "fake:quick has not started within 60 s" in str(error_of(stage.over, StartError))
    stage.assert_given_back()


@pytest.mark.parametrize("deaf", [False, True])
def test_a_start_that_never_ends_can_be_interrupted(stage: Stage, *, deaf: bool) -> None:
    stage.make = hanging("start", deaf=deaf)
    stage.start()
    stage.passes(1)
    stage.run.interrupt()
    stage.passes(0.1)
    assert result_of(stage.over).verdict is Verdict.INVALID
    assert stage.run.observation.skipped == ["the clients started"]
    stage.assert_given_back()


def test_what_a_plugin_raises_at_the_start_ends_the_run(stage: Stage) -> None:
    def make(workspace: Workspace) -> Stubborn:
        proxy = Stubborn(workspace)

        async def start(_upstreams: object) -> None:
            msg = "no such port"
            raise StartError(msg)

        proxy.start = start  # type: ignore[method-assign,assignment]
        return proxy

    stage.make = make
    stage.start(hosted=True)
    stage.passes(10)
    assert str(error_of(stage.over, ProxyreloadError)) == "no such port"
    stage.assert_given_back()


def test_something_that_is_never_given_back_keeps_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giveback, "GIVE_BACK_LIMIT_S", 1.0)

    async def never() -> None:
        await Deferred()

    monkeypatch.setattr("proxyreload.backend.backend.Backend.stop", lambda _self: never())
    stage.start(hosted=True)
    stage.passes(20)
    result_of(stage.over)
    assert stage.machine.open == {28970, 28971}
    assert not stage.proxy.workspace.folder.exists()
    assert (stage.folder / "run.json").read_text(encoding="utf-8").count('"finished": true') == 1


def test_interrupted_twice_nothing_has_much_time_to_be_given_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: object) -> None:
        await Deferred()

    monkeypatch.setattr("proxyreload.backend.backend.Backend.stop", never)
    stage.start(float("inf"), hosted=True)
    stage.passes(3)
    for _ in range(2):
        stage.run.interrupt()
    stage.passes(giveback.AT_ONCE_LIMIT_S * 2 + 0.5)  # of two backends
    result_of(stage.over)
    assert stage.machine.getDelayedCalls() == []


def test_what_waits_to_be_given_back_when_it_is_interrupted_has_little_time_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: object) -> None:
        await Deferred()

    monkeypatch.setattr("proxyreload.backend.backend.Backend.stop", never)
    stage.start(float("inf"), hosted=True)
    stage.passes(3)
    stage.run.interrupt()
    stage.passes(10)
    assert waits(stage.over)
    stage.run.interrupt()
    stage.passes(giveback.AT_ONCE_LIMIT_S * 2 + 0.5)
    result_of(stage.over)
    assert stage.machine.getDelayedCalls() == []


def test_a_run_that_is_interrupted_before_it_begins_has_no_files(stage: Stage) -> None:
    stage.start(interrupted=True)
    assert str(error_of(stage.over, StartError)) == "the run was ended before it began"
    assert list(stage.folder.iterdir()) == []


def test_what_is_raised_where_nobody_waits_makes_the_run_invalid(stage: Stage) -> None:
    stage.start()
    stage.passes(3)
    Logger("somebody").failure("lost", Failure(ZeroDivisionError("never")))
    stage.passes(10)
    assert result_of(stage.over).reasons[-1] == "internal error: ZeroDivisionError: never"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_resolving(host: str) -> None:
    assert result_of(Deferred.fromCoroutine(resolved(cast(Any, None), host))) == host


def test_a_name_without_an_address_is_said() -> None:
    error = error_of(Deferred.fromCoroutine(resolved(cast(Any, None), "nowhere.test")), UsageError)
    assert str(error) == "nowhere.test cannot be resolved to an address"


# Its files.


@pytest.mark.parametrize("name", ["data.csv", "losses.csv"])
def test_a_file_of_rows_that_was_moved_makes_the_run_invalid(stage: Stage, name: str) -> None:
    stage.start()
    stage.passes(1)
    (stage.folder / name).rename(stage.folder / "moved.csv")
    stage.passes(10)
    judgement = result_of(stage.over)
    assert judgement.verdict is Verdict.INVALID
    assert any(f"{name} is not the file that the rows were written to" in reason for reason in judgement.reasons)


def test_rows_that_are_missing_make_the_run_invalid(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.start()
    monkeypatch.setattr(CsvFile, "exchanged", lambda _self, _exchanges: None)
    stage.run.bus.remove(str(stage.folder / "data.csv"))
    stage.passes(10)
    judgement = result_of(stage.over)
    total = stage.run.observation.counts.total
    assert f"{stage.folder}/data.csv has 0 rows of {total} exchanges" in judgement.reasons


def test_losses_that_are_missing_make_the_run_invalid(stage: Stage) -> None:
    stage.start()
    stage.run.bus.remove(str(stage.folder / "losses.csv"))
    stage.passes(10)
    judgement = result_of(stage.over)
    total = stage.run.observation.causes.total()
    assert f"{stage.folder}/losses.csv has 0 rows of {total} losses" in judgement.reasons


def test_losses_that_the_disk_does_not_take_make_the_run_invalid(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: LossFile, _losses: Sequence[Loss]) -> None:
        raise OSError(28, "No space left on device; 0 rows were written")

    monkeypatch.setattr(LossFile, "lost", full)
    stage.start()
    stage.passes(10)
    judgement = result_of(stage.over)
    assert judgement.verdict is Verdict.INVALID
    assert judgement.reasons[0] == f"{stage.folder}/losses.csv: No space left on device; 0 rows were written"


def test_a_run_file_that_cannot_be_written_at_the_end_makes_the_run_invalid(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.start()
    stage.passes(1)

    def full(_self: Claim, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Claim, "replace", full)
    stage.passes(10)
    judgement = result_of(stage.over)
    why = f"{stage.folder}/run.json cannot be written: No space left on device"
    assert (judgement.verdict, judgement.reasons[-1], stage.run.unwritten) == (Verdict.INVALID, why, why)
    content = json.loads((stage.folder / "run.json").read_text(encoding="utf-8"))
    assert (content["finished"], "summary" in content) == (False, False)
    stage.assert_given_back()


@pytest.mark.parametrize("name", WRITTEN)
def test_what_another_run_writes_is_refused_before_anything_is_written(stage: Stage, name: str) -> None:
    for each in WRITTEN:
        (stage.folder / each).write_text("of the run before")
    claim = Claim.of(stage.folder / name)
    stage.start()
    assert "another run is writing it" in str(error_of(stage.over, UsageError))
    claim.release()
    assert {path.read_text() for path in stage.folder.iterdir()} == {"of the run before"}


def test_all_is_let_go_of_when_a_run_is_over(stage: Stage) -> None:
    stage.start()
    stage.passes(1)
    for name in WRITTEN:
        with pytest.raises(BlockingIOError):
            Claim.of(stage.folder / name)
    stage.passes(10)
    result_of(stage.over)
    for name in WRITTEN:
        Claim.of(stage.folder / name).release()


def test_all_is_let_go_of_when_a_run_could_not_start(stage: Stage) -> None:
    stage.make = hanging("start")
    stage.start()
    stage.passes(START_LIMIT_S + 1)
    error_of(stage.over, StartError)
    for name in WRITTEN:
        Claim.of(stage.folder / name).release()

"""What the live page is told of a run: slices, strips, readers, figures for Prometheus, past runs."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Ended, Ending, Exchange, FrontClosed, Phase, RateChanged, Started
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.loss import Loss
from proxyreload.plan.scenario import watching
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.plan.traffic import Group, group
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.registry import Choice
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.web.api import shielded
from proxyreload.web.archive import Archive
from proxyreload.web.lanes import STRIPS_AT_MOST, kinds, lanes
from proxyreload.web.live import Live
from proxyreload.web.metrics import Metrics
from proxyreload.web.slices import ANOTHER, INSTANCES_AT_MOST, LOSSES_AT_MOST, SLICE_S, Slice
from proxyreload.web.subscribers import HEARTBEAT_S, SUBSCRIBERS_AT_MOST, Subscribers, event

from .clocks import START_NS, Time, error_of
from .happened import exchange, failed
from .observing import observed


@attrs.define(eq=False)
class Scene:
    """A run as the page sees it."""

    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    slices: list[Slice] = attrs.field(factory=list)
    sent: list[dict[str, Any]] = attrs.field(factory=list)
    states: int = 0
    drawn: Collection[int] = range(STRIPS_AT_MOST)
    live: Live = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        observation = observed(self.bus)
        self.live = Live(
            self.time.ns, observation.counts, self.sliced, self.changed, behind={"0", "1"}, drawn=self.drawn
        )
        self.live.subscribe(self.bus)
        self.live.start(self.time)
        self.bus.publish(Started(START_NS))

    def sliced(self, over: Slice, sent: bytes) -> None:
        self.slices.append(over)
        self.sent.append(json.loads(sent))

    def changed(self) -> None:
        self.states += 1

    def slice(self, *exchanges: Exchange) -> dict[str, Any]:
        """Return a slice with these exchanges."""
        for each in exchanges:
            self.bus.exchanged(each)
        self.bus.flush()
        self.time.advance(SLICE_S)
        return self.sent[-1]

    def history(self) -> dict[str, Any]:
        history: dict[str, Any] = json.loads(self.live.history())
        return history


@pytest.fixture(name="scene")
def _scene() -> Scene:
    return Scene()


def took(ms: float, **more: Any) -> Exchange:
    return exchange(ended_ns=START_NS + round(ms * NS_PER_MS), **more)


def test_a_slice_has_answers_failures_and_latencies(scene: Scene) -> None:
    sent = scene.slice(
        *[took(ms) for ms in range(1, 101)], took(5000, probe=True, client=9, instance="1"), failed("timeout")
    )
    assert (sent["at_s"], sent["answers"], sent["failures"]) == (0.25, {"0": 100, "1": 1}, {"timeout": 1})
    assert (sent["p50_us"], sent["p99_us"], sent["max_us"]) == (50_000, 99_000, 100_000)
    assert sent["counts"] == [102, 101, 1, 0, 0]
    empty = scene.slice()
    assert (empty["answers"], empty["p50_us"], empty["counts"]) == ({}, None, [102, 101, 1, 0, 0])


def test_each_failure_is_told_up_to_a_bound(scene: Scene) -> None:
    lost = [failed("status 503", status=503, message="\x1b[31m<script>", client=3) for _ in range(LOSSES_AT_MOST + 5)]
    sent = scene.slice(*lost)
    assert len(sent["losses"]) == LOSSES_AT_MOST
    assert sent["failures"] == {"status 503": LOSSES_AT_MOST + 5}
    assert sent["losses"][0] == {
        "at_s": 0.001,
        "client": 3,
        "kind": "get",
        "aimed": False,
        "failure": "status 503",
        "message": "\\x1b[31m<script>",
        "backend": "",
        "front_port": 40000,
    }


def test_backends_that_somebody_invents_are_one(scene: Scene) -> None:
    sent = scene.slice(*[exchange(instance=str(number)) for number in range(INSTANCES_AT_MOST + 10)])
    assert len(sent["answers"]) == INSTANCES_AT_MOST + 1
    assert sent["answers"][ANOTHER] == 10


def test_a_strip_goes_on_while_the_same_backend_answers(scene: Scene) -> None:
    assert scene.slice(exchange(), exchange())["segments"] == [[0, 0, 0, 40000, ["0"], 0.0, None]]
    assert "segments" not in scene.slice(exchange())
    assert scene.slice(exchange(instance="1"))["segments"] == [[0, 0, 0, 40000, ["0", "1"], 0.0, None]]
    assert scene.live.connections == 1


def test_a_strip_ends_with_its_connection(scene: Scene) -> None:
    scene.slice(exchange())
    scene.time.advance(0.125)
    scene.bus.publish(FrontClosed(0, 0, 40000, 5, Ending.IDLE, scene.time.ns(), probe=False))
    assert scene.live.connections == 0
    sent = scene.slice(exchange(connection=1, front_port=40001))
    assert sent["segments"] == [[0, 0, 0, 40000, ["0"], 0.0, 0.375], [1, 0, 1, 40001, ["0"], 0.375, None]]
    assert sent["ends"] == [[0, 0.375, "idle"]]
    assert scene.slices[-1].closed == {("get", "idle"): 1}


def test_after_a_change_who_answers_is_looked_at_anew(scene: Scene) -> None:
    scene.slice(exchange(), exchange(instance="1"))
    scene.bus.publish(Change(1, "remove", "0", "test:runtime", Phase.APPLIED, scene.time.ns()))
    sent = scene.slice(exchange(instance="1"))
    assert [segment[4:] for segment in sent["segments"]] == [[["0", "1"], 0.0, 0.25], [["1"], 0.25, None]]
    assert sent["changes"] == [{"number": 1, "name": "remove backend 0", "phase": "applied", "at_s": 0.25}]
    assert scene.live.behind == {"1"}


def test_what_is_kept_is_bounded(scene: Scene) -> None:
    for number in range(3000):
        scene.slice(failed("refused", connection=-1), exchange(connection=number, front_port=number))
    history = scene.history()
    assert (len(history["slices"]), len(history["segments"]), len(history["losses"])) == (2400, 2000, 200)
    assert not any("segments" in each or "losses" in each for each in history["slices"])
    assert len(scene.live.history()) < 1_000_000


def test_after_the_end_nothing_more_is_sliced(scene: Scene) -> None:
    scene.slice(exchange())
    scene.bus.publish(Ended(scene.time.ns()))
    before = len(scene.sent)
    scene.time.advance(10)
    assert (len(scene.sent), scene.live.over) == (before, True)


def test_another_rate_is_told(scene: Scene) -> None:
    states = scene.states
    scene.bus.publish(RateChanged(250.0, scene.time.ns()))
    assert (scene.live.rate_per_s, scene.states) == (250.0, states + 1)


# Readers.


@attrs.define(eq=False)
class Reader:
    """A request for events whose transport takes what the test lets it."""

    written: list[bytes] = attrs.field(factory=list)
    producer: Any = None
    finished: bool = False
    lost: bool = False
    _gone: list["Deferred[None]"] = attrs.field(factory=list)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def notifyFinish(self) -> "Deferred[None]":
        deferred: Deferred[None] = Deferred()
        self._gone.append(deferred)
        return deferred

    def finish(self) -> None:
        self.finished = True
        self.goes()

    def loseConnection(self) -> None:
        self.lost = True
        self.goes()

    def goes(self) -> None:
        for deferred in self._gone:
            deferred.callback(None)
        self._gone.clear()


def added(subscribers: Subscribers) -> Reader:
    reader = Reader()
    assert subscribers.add(reader)  # type: ignore[arg-type]
    return reader


def test_who_comes_is_told_everything_and_then_what_happens() -> None:
    subscribers = Subscribers(lambda: b"everything")
    reader = added(subscribers)
    subscribers.tell(event("slice", b"{}"))
    assert reader.written == [b"everything", b"event: slice\ndata: {}\n\n"]


def test_who_does_not_read_is_told_nothing_and_later_the_newest_state() -> None:
    subscribers = Subscribers(lambda: b"everything")
    slow, quick = added(subscribers), added(subscribers)
    slow.producer.pauseProducing()
    for _ in range(10_000):
        subscribers.tell(b"slice")
    assert slow.written == [b"everything"]
    slow.producer.resumeProducing()
    assert slow.written == [b"everything"]
    subscribers.tell(b"slice")
    subscribers.tell(b"slice")
    assert slow.written == [b"everything", b"everything", b"slice"]
    assert len(quick.written) == 10_003


def test_there_are_only_so_many_and_who_sleeps_makes_room() -> None:
    subscribers = Subscribers(lambda: b"everything")
    readers = [added(subscribers) for _ in range(SUBSCRIBERS_AT_MOST)]
    assert not subscribers.add(Reader())  # type: ignore[arg-type]
    readers[3].producer.pauseProducing()
    added(subscribers)
    assert (readers[3].lost, len(subscribers)) == (True, SUBSCRIBERS_AT_MOST)


def test_who_goes_away_is_forgotten() -> None:
    subscribers = Subscribers(lambda: b"everything")
    reader = added(subscribers)
    reader.goes()
    subscribers.tell(b"slice")
    assert (len(subscribers), reader.written) == (0, [b"everything"])


def test_a_silent_connection_hears_something_now_and_then() -> None:
    time, subscribers = Time(), Subscribers(lambda: b"everything")
    subscribers.start(time)
    reader = added(subscribers)
    time.advance(HEARTBEAT_S)
    assert reader.written == [b"everything", b": \n\n"]
    subscribers.stop()
    assert (reader.finished, time.getDelayedCalls()) == (True, [])


# Kinds of traffic.


def test_a_slice_counts_each_kind_and_its_latencies_are_of_the_clients_asked_for_by_number(scene: Scene) -> None:
    sent = scene.slice(took(1), took(2), took(3000, kind="slow", plain=False), failed("timeout", kind="idle"))
    assert sent["kinds"] == {"get": [2, 0], "slow": [1, 0], "idle": [1, 1]}
    assert (sent["failures"], sent["max_us"]) == ({"timeout": 1}, 2000)


def test_a_volley_leaves_room_for_what_others_lose_with_it() -> None:
    scene = Scene()
    scene.bus.publish(Started(START_NS, aimed=frozenset({"aimed"})))
    volley = [failed("timeout", kind="aimed", client=20 + number) for number in range(LOSSES_AT_MOST)]
    sent = scene.slice(*volley, failed("timeout", kind="idle", client=3))
    assert [loss["client"] for loss in sent["losses"] if not loss["aimed"]] == [3]
    assert sum(loss["aimed"] for loss in sent["losses"]) == LOSSES_AT_MOST // 2
    assert sent["kinds"]["aimed"] == [LOSSES_AT_MOST, LOSSES_AT_MOST]


def test_some_clients_of_each_kind_are_drawn() -> None:
    assert lanes(LoadSettings(clients=3).everyone) == {0: "0", 1: "1", 2: "2"}
    assert len(lanes(LoadSettings(clients=1000).everyone)) == STRIPS_AT_MOST
    far, idle = Group(kind_named("get"), 2, rtt_s=0.02), Group(kind_named("idle"), 30, rtt_s=0.02)
    load = LoadSettings(clients=1, groups=(far, idle))
    told = lanes(load.everyone)
    assert list(told)[:4] == [0, 1, 2, 3]
    assert list(told.values())[:4] == ["get 0", "get 1 20 ms away", "get 2 20 ms away", "idle 3"]
    assert (len(told), list(told.values())[-1]) == (13, "idle 12")
    assert list(kinds(load.everyone)) == ["get", "idle"]
    assert len(lanes(LoadSettings(clients=10, groups=(idle,) * 24).everyone)) == STRIPS_AT_MOST


def test_a_kind_that_a_mechanism_cannot_carry_has_no_strip_and_no_numbers() -> None:
    mechanism = Mechanism("quick", "", Mock(), carries_not={"idle": "it is deaf"})
    idle, post = (attrs.evolve(group(kind_named(name), 2), mixed=True) for name in ("idle", "post"))
    choice = Choice(ProxyPlugin("fake", None, (mechanism,)), mechanism)
    load = LoadSettings(clients=1, groups=(idle, post))
    settings = Settings(Target.front(8080), watching(None), choice, load)
    assert settings.left_out == {"idle": "it is deaf"}
    assert lanes(settings.everyone) == {0: "get 0", 1: "post 1", 2: "post 2"}
    assert list(kinds(settings.everyone)) == ["get", "post"]


def test_only_of_the_clients_that_are_drawn_connections_are_told() -> None:
    scene = Scene(drawn=(0, 70))
    sent = scene.slice(exchange(), exchange(client=5), exchange(client=70))
    assert [segment[1] for segment in sent["segments"]] == [0, 70]
    assert scene.live.connections == 3


# Prometheus.


def test_the_figures_are_what_prometheus_reads() -> None:
    bus, metrics = EventBus(), Metrics()
    metrics.subscribe(bus)
    full = Slice()
    full.answers.update({"0": 2, "1": 1})
    full.sent.update({"get": 3, "idle": 1})
    full.lost["idle", "status 503"] += 1
    full.latencies_us += [90, 100, 6_000_000]
    full.closed["idle", "announced"] += 4
    full.front_changed = 2
    metrics.expect(["get", "idle", "post"])
    metrics.add(full)
    bus.publish(Change(1, "add", "2", "m", Phase.REQUESTED, START_NS))
    bus.publish(Change(1, "add", "2", "m", Phase.APPLIED, START_NS + ns(0.5)))
    gone = Loss("5-1", "idle", Fate.LOST_NEVER_ARRIVED, Cause.STALE_GENERATION, "", START_NS)
    bus.deliver(Loss, [gone, gone, attrs.evolve(gone, fate=None)])
    metrics.judged(Judgement(Verdict.LOSSY, ()))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    assert samples["proxyreload_exchanges_total", "get", "success"] == 3
    assert samples["proxyreload_exchanges_total", "get", "failure"] == 0
    assert samples["proxyreload_exchanges_total", "idle", "success"] == 0
    assert samples["proxyreload_exchanges_total", "idle", "failure"] == 1
    assert samples["proxyreload_exchanges_total", "post", "success"] == 0
    assert samples["proxyreload_failures_total", "status 503", "idle"] == 1
    assert samples["proxyreload_losses_total", "stale generation", "lost_never_arrived", "idle"] == 2
    assert samples["proxyreload_losses_total", "stale generation", "not known", "idle"] == 1
    assert samples["proxyreload_answers_total", "0"] == 2
    assert samples["proxyreload_latency_seconds_bucket", "0.0001"] == 2
    assert samples["proxyreload_latency_seconds_bucket", "5"] == 2
    assert samples["proxyreload_latency_seconds_bucket", "+Inf"] == 3
    assert samples["proxyreload_latency_seconds_count",] == 3
    assert samples["proxyreload_latency_seconds_sum",] == pytest.approx(6.00019)
    assert samples["proxyreload_front_connections_closed_total", "announced", "idle"] == 4
    assert samples["proxyreload_connections_changed_total", "front"] == 2
    assert samples["proxyreload_changes_total", "add", "applied"] == 1
    assert samples["proxyreload_last_change_seconds", "add"] == 0.5
    assert samples["proxyreload_runs_total", "lossy"] == 1


# Past runs.


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    archive, now = Archive(tmp_path / "runs"), datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    archive.open()
    paths = [archive.begin(now) for _ in range(11)]
    assert [path.name for path in paths[:2]] == ["20300102T030405Z", "20300102T030405Z-2"]
    assert [run["name"] for run in archive.runs()] == [path.name for path in reversed(paths)]


def test_a_run_is_listed_with_what_its_file_says(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    path = archive.begin()
    told = {"plugin": "x", "mechanism": "<b>\n", "finished": True, "scenario": {"title": "t"}}
    summary = {"verdict": "lossy", "exchanges": 7, "failure": 1}
    (path / "run.json").write_text(json.dumps({**told, "summary": summary}))
    [run] = archive.runs()
    assert (run["title"], run["verdict"], run["exchanges"], run["failure"]) == ("x:<b>\\n", "lossy", 7, 1)
    assert run["files"] == ["run.json"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "{}",
            '{"scenario": 5}',
            '{"summary": {"exchanges": "x"}}',
            "[" * 100_000,
            "9" * 5000,
            "\udcff",
        ),
        '{"scenario": {"title": "t"}, "summary": {"exchanges": Infinity}}',
    ],
)
def test_a_run_with_a_file_that_makes_no_sense_is_listed_by_its_name(tmp_path: Path, text: str) -> None:
    archive = Archive(tmp_path)
    path = archive.begin()
    (path / "run.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    [run] = archive.runs()
    assert (run["name"], run["exchanges"]) == (path.name, None)


@pytest.mark.parametrize(
    ("run", "file"),
    [
        ("..", "run.json"),
        ("", "run.json"),
        ("20300102T030405Z", "../../secret"),
        ("20300102T030405Z", "secret"),
        ("20300102T030405Z/..", "run.json"),
        ("20300102T030405Z\n", "run.json"),
    ],
)
def test_nothing_but_a_runs_own_files_can_be_read(tmp_path: Path, run: str, file: str) -> None:
    archive = Archive(tmp_path / "runs")
    path = archive.begin(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))
    for each in (path / "secret", tmp_path / "run.json", path.parent / "run.json", tmp_path / "secret"):
        each.write_text("secret")
    assert archive.file(run, file) is None


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "runs")
    path = archive.begin()
    (tmp_path / "secret").write_text("secret")
    (path / "data.csv").symlink_to(tmp_path / "secret")
    (path / "run.json").write_text("{}")
    assert archive.file(path.name, "data.csv") is None
    assert archive.file(path.name, "run.json") == path / "run.json"


# Who asks for a change.


def test_a_change_goes_on_when_who_asked_for_it_goes_away() -> None:
    cancelled: list[object] = []
    work: Deferred[Change] = Deferred(cancelled.append)
    waiting = shielded(work)
    waiting.cancel()
    error_of(waiting, CancelledError)
    work.callback(Change(1, "reload", "", "m", Phase.APPLIED, START_NS))
    assert cancelled == []

"""What the live page draws beside its slices: connections to backends, latency by percentile."""

import itertools
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from proxyreload.history.events import Change, ConnectionChanged, Exchange, Phase
from proxyreload.report.percentiles import CHANGES_AT_MOST
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.verdict.baseline import Baseline
from proxyreload.verdict.latency import Latency
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.phases import SETTLE_NS
from proxyreload.web.back import KEPT, BackConnections
from proxyreload.web.latencies import Tail

from .clocks import START_NS
from .happened import exchange, failed

# Connections to the backends.


def answer(at_s: float, back_port: int = 50000, **more: Any) -> Exchange:
    return exchange(ended_ns=START_NS + ns(at_s), back_port=back_port, **more)


def sliced(back: BackConnections, at_s: float, *exchanges: Exchange) -> list[list[Any]]:
    """Return what a slice tells that ends at this time."""
    if exchanges:
        back.carried(exchanges)
    return back.slice(START_NS + ns(at_s), START_NS)


def test_a_connection_goes_on_while_it_answers_and_ends_with_its_last_answer() -> None:
    back = BackConnections()
    assert sliced(back, 0.25, answer(0.1), answer(0.2)) == [[0, "0", 50000, 0.1, None, False]]
    assert sliced(back, 0.5, answer(0.4)) == []
    assert sliced(back, 1.5) == [[0, "0", 50000, 0.1, 0.4, False]]
    assert sliced(back, 2, answer(1.75)) == [[0, "0", 50000, 0.1, None, False]]
    back.over = True
    assert sliced(back, 2.25) == [[0, "0", 50000, 0.1, 1.75, False]]
    assert back.history(START_NS) == [[0, "0", 50000, 0.1, 1.75, False]]


def test_one_port_at_two_backends_is_two_connections() -> None:
    back = BackConnections()
    told = sliced(back, 0.25, answer(0.1), answer(0.2, instance="1"))
    assert [each[1:3] for each in told] == [["0", 50000], ["1", 50000]]
    assert back.total == 2


def test_what_counts_in_back_changed_is_marked() -> None:
    back, changed = BackConnections(), answer(0.2, 50001)
    back.carried([answer(0.1), changed])
    back.changed(
        [ConnectionChanged(answer(0.1), front=True, back=False), ConnectionChanged(changed, front=False, back=True)]
    )
    assert [each[5] for each in sliced(back, 0.25)] == [False, True]


def test_a_connection_of_the_probe_is_shown_once_a_client_uses_it() -> None:
    back = BackConnections()
    assert sliced(back, 0.25, answer(0.1, probe=True)) == []
    assert (back.total, back.history(START_NS)) == (0, [])
    assert sliced(back, 0.5, answer(0.4)) == [[0, "0", 50000, 0.1, None, False]]
    assert back.total == 1


def test_what_names_no_connection_to_a_backend_is_none() -> None:
    back = BackConnections()
    assert sliced(back, 0.25, failed("refused"), answer(0.1, 0), answer(0.1, instance="")) == []
    assert back.total == 0


def test_the_latest_connections_are_kept_and_all_are_counted() -> None:
    back, told = BackConnections(), dict[int, list[Any]]()
    for number, port in enumerate(range(10_000, 20_000, 50)):
        exchanges = [answer(number / 4, each) for each in range(port, port + 50)]
        told |= {each[0]: each for each in sliced(back, (number + 1) / 4, *exchanges)}
    kept = back.history(START_NS)
    assert (len(kept), len(told), back.total) == (KEPT, 10_000, 10_000)
    assert [each[2] for each in kept] == list(range(20_000 - KEPT, 20_000))
    forgotten = told.keys() - {each[0] for each in kept}
    assert all(told[number][4] is not None for number in forgotten)


def test_a_crowd_at_once_is_counted_and_told_in_part() -> None:
    back, told = BackConnections(), dict[int, list[Any]]()
    for number in range(4):
        crowd = [answer(number / 4, port) for port in range(10_000, 15_000)]
        new = sliced(back, (number + 1) / 4, *crowd)
        assert len(new) <= 300 + KEPT
        told |= {each[0]: each for each in new}
    kept = {each[0] for each in back.history(START_NS)}
    assert (len(kept), back.total) == (KEPT, 5000)
    assert all((each[4] is None) is (number in kept) for number, each in told.items())


# Latency by percentile.


@attrs.define(eq=False)
class Scene:
    """A run's latencies as the page sees them, by a clock that goes only when told."""

    observation: Observation = attrs.field(factory=Observation)
    tail: Tail = attrs.field(init=False)
    at_ns: int = START_NS
    looks_cost_ns: int = 0
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))

    def __attrs_post_init__(self) -> None:
        self.tail = Tail(self.observation, self._clock_ns)

    def _clock_ns(self) -> int:
        self.at_ns += self.looks_cost_ns
        return self.at_ns

    def took(self, latencies_ms: Iterable[float]) -> None:
        self.at_ns += NS_PER_MS
        due_ns = [self.at_ns - round(each * NS_PER_MS) for each in latencies_ms]
        self.observation.take(Exchange, [exchange(due_ns=each, ended_ns=self.at_ns) for each in due_ns])

    def change(self) -> None:
        """Make a change; what is measured next is around it."""
        number = next(self._numbers)
        for phase in (Phase.REQUESTED, Phase.APPLIED):
            self.observation.take(Change, [Change(number, "reload", "", "m", phase, self.at_ns)])

    def settle(self) -> None:
        """Let the surroundings of the last change pass."""
        self.at_ns += SETTLE_NS + NS_PER_S

    def curves(self) -> dict[str, dict[str, Any]]:
        self.tail.look()
        return {each["name"]: each for each in self.tail.curves()}


@pytest.fixture(name="scene")
def _scene() -> Scene:
    return Scene()


def test_each_phase_has_the_curve_of_its_latencies(scene: Scene) -> None:
    scene.took(range(1, 1001))
    assert list(scene.curves()) == ["before"]
    scene.change()
    scene.took([5000, 6000])
    scene.settle()
    scene.took([3])
    curves = scene.curves()
    assert [(each["name"], each["kind"], each["number"], each["count"]) for each in curves.values()] == [
        ("before", "before", 0, 1000),
        ("around 1", "around", 1, 2),
        ("after 1", "after", 1, 1),
    ]
    for phase in scene.observation.phases:
        curve = curves[phase.name]
        assert curve["percentiles"] == phase.latency.percentiles()
        assert curve["max_us"] == phase.latency.max_us
    before = dict(curves["before"]["percentiles"])
    assert before[99] == pytest.approx(990_000, rel=2e-3)
    assert max(before) == 99.9


def test_the_phase_that_goes_on_is_looked_at_again(scene: Scene) -> None:
    scene.took([1])
    assert scene.curves()["before"]["count"] == 1
    scene.took([1, 2])
    assert scene.curves()["before"]["count"] == 3


def test_a_phase_without_a_latency_has_no_curve(scene: Scene) -> None:
    scene.change()
    scene.took([1])
    assert list(scene.curves()) == ["around 1"]


def test_many_changes_share_their_curves(scene: Scene) -> None:
    scene.took([1] * 10)
    for _ in range(CHANGES_AT_MOST + 2):
        scene.change()
        scene.took([100, 200])
        scene.settle()
        scene.took([2] * 3)
    curves = scene.curves()
    assert {name: each["count"] for name, each in curves.items()} == {
        "before": 10,
        "around the changes": 2 * (CHANGES_AT_MOST + 2),
        "between and after": 3 * (CHANGES_AT_MOST + 2),
    }
    assert curves["around the changes"]["max_us"] == pytest.approx(200_000, rel=2e-3)
    scene.took([7])
    assert scene.curves()["between and after"]["count"] == 3 * (CHANGES_AT_MOST + 2) + 1


def test_what_takes_long_is_put_off_until_the_next_look(scene: Scene) -> None:
    for _ in range(3):
        scene.change()
        scene.took([1])
    scene.looks_cost_ns = 10 * NS_PER_MS
    counts = [len(scene.curves()) for _ in range(3)]
    assert counts == [0, 1, 2]
    scene.tail.finish()
    assert [each["name"] for each in scene.tail.curves()] == ["around 1", "around 2", "around 3"]


def test_the_baseline_has_a_curve_once_it_is_known(scene: Scene) -> None:
    scene.observation.baseline = Baseline(Latency(), 2, {}, NS_PER_S)
    assert scene.curves() == {}
    scene.observation.baseline.latency.record([50, 60])
    baseline = scene.curves()["baseline"]
    assert (baseline["kind"], baseline["number"], baseline["count"]) == ("baseline", 0, 2)

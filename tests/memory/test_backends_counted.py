"""Counts by backend stay few, however many backends a proxy makes up."""

from collections import Counter
from pathlib import Path
from typing import cast

from bokeh.models import ColumnDataSource
from bokeh.models.renderers import GlyphRenderer
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Ended, Phase, Started
from proxyreload.record.paths import RunPaths
from proxyreload.record.runfile import RunFile
from proxyreload.report.section import Budget, section
from proxyreload.report.story import read_story
from proxyreload.system.clock import ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.backends import KNOWN_AT_MOST, OTHERS, bounded, shown
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import Observation

from .clocks import START_NS, some_examples
from .happened import change, exchange
from .observing import observed
from .test_runfile import RAN, read
from .written import row, write_rows

MADE_UP = 240


def answered_by(names: list[str], *, changed: str = "") -> Observation:
    """Return a run in which these have answered, one after another."""
    bus = EventBus()
    observation = observed(bus)
    bus.publish(Started(START_NS))
    if changed:
        bus.publish(change(Phase.REQUESTED, START_NS, "add", changed))
        bus.publish(change(Phase.APPLIED, START_NS, "add", changed))
    for number, name in enumerate(names):
        bus.exchanged(exchange(number=number, instance=name, ended_ns=START_NS + 1 + number))
    bus.publish(Ended(START_NS + ns(10)))
    return observation


def test_few_are_told_each_in_the_order_of_their_numbers() -> None:
    assert list(shown({"10": 1, "2": 5, "b": 3}, 3).items()) == [("2", 5), ("b", 3), ("10", 1)]


def test_of_many_the_rest_are_summed_up() -> None:
    counts = {str(number): number for number in range(10)}
    assert shown(counts, 3) == {"7": 7, "8": 8, "9": 9, "7 others": 21}
    assert shown(counts, 9)["1 other"] == 0


def test_our_own_are_always_told() -> None:
    assert shown({"0": 1, "x": 8, "y": 9}, 1, always=("0",)) == {"0": 1, "y": 9, "1 other": 8}


def test_those_that_were_not_counted_by_themselves_are_more_than_the_others() -> None:
    assert shown({"0": 1, "x": 2, OTHERS: 50}, 1) == {"x": 2, "more than 1 others": 51}
    assert shown({"0": 1, "x": 2, OTHERS: 50}, 0) == {"more than 2 others": 53}


@some_examples
@given(st.lists(st.integers(0, 2000), max_size=200), st.integers(1, 50))
def test_nothing_that_was_counted_is_lost_and_the_way_it_came_is_no_matter(names: list[int], cut: int) -> None:
    texts = [str(name) for name in names]
    known = Counter(f"k{number}" for number in range(KNOWN_AT_MOST - 20))
    whole, pieces = Counter(known), Counter(known)
    whole.update(bounded(Counter(texts), whole.keys(), ()))
    for begin in range(0, len(texts), cut):
        pieces.update(bounded(Counter(texts[begin : begin + cut]), pieces.keys(), ()))
    assert whole == pieces
    assert whole.total() == known.total() + len(texts)
    assert len(whole) <= KNOWN_AT_MOST + 1


def test_a_proxy_that_makes_up_backends_fills_neither_memory_nor_the_run_file(tmp_path: Path) -> None:
    names = [f"x{number}" for number in range(3000)]
    observation = answered_by(["1", "1", *names, "0"], changed="0")
    assert len(observation.answers_by_instance) <= KNOWN_AT_MOST + 2
    assert observation.answers_by_instance["0"] == 1, "one that was changed is always counted by itself"
    file = RunFile(tmp_path / "run.json")
    file.open(RAN)
    file.finish(observation, judge(observation))
    told = read(file.path)["summary"]["answers_by_instance"]
    assert len(told) <= 65
    assert sum(told.values()) == 3003


def test_the_summary_names_a_few_and_counts_the_others() -> None:
    observation = answered_by([f"x{number}" for number in range(MADE_UP)] * 2)
    (line,) = [
        line for line in summary_lines(observation, judge(observation), "it") if line.startswith("answers by backend")
    ]
    assert line.endswith(f", {MADE_UP - 16} others: {2 * (MADE_UP - 16)}")


def test_a_report_draws_many_backends_as_a_few_and_the_others(tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "data.csv",
        [
            row(1000 * number, number % 3, instance=f"x{number % MADE_UP}", back_port=1024 + number)
            for number in range(1, 5 * MADE_UP)
        ],
    )
    told = section(read_story(RunPaths(rows)), 1, Budget())
    drawn = {panel.name: panel.drawn for panel in told.panels}
    renderers = {name: len(drawn[name].select({"type": GlyphRenderer})) for name in ("front", "back")}
    assert max(renderers.values()) < 25, renderers
    named: set[str] = set()
    for source in drawn["back"].select({"type": ColumnDataSource}):
        named |= set(cast(ColumnDataSource, source).data.get("instance", ()))
    assert len(named) > 12, "what is pointed at still tells its own name"

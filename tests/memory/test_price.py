"""What a change costs the proxy's host: who is looked at, what is added up, and what is told of it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from proxyreload.history.events import Ended, Event, Held, Phase, Spent, Started
from proxyreload.history.interfaces import Sink
from proxyreload.proxy import spending
from proxyreload.proxy.spending import Spending, processes
from proxyreload.run.pricewatch import EVERY_S, PriceWatch
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.system.procstat import ProcessUse, use_of
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import observe

from .clocks import START_NS
from .happened import change
from .observing import run_json

MB = 1_000_000


def at(second: float) -> int:
    return START_NS + ns(second)


def spent(second: float, number: int, megabytes: int, cpu_s: float) -> Spent:
    return Spent(number, megabytes * MB, int(cpu_s * NS_PER_S), at(second))


RELOADS: list[Event] = [
    Held(0, {}, at(0), frozenset({0})),
    spent(0, 2, 20, 1.0),
    spent(0.9, 2, 21, 1.1),
    change(Phase.REQUESTED, at(1), "reload", "", 1),
    change(Phase.APPLIED, at(1.1), "reload", "", 1),
    Held(1, {}, at(1.1), frozenset({0, 1})),
    spent(1.2, 5, 50, 1.5),
    Held(1, {}, at(1.6), frozenset({1})),
    spent(1.9, 3, 30, 1.6),
    change(Phase.REQUESTED, at(2), "reload", "", 2),
    change(Phase.APPLIED, at(2.1), "reload", "", 2),
    Held(2, {}, at(2.1), frozenset({1, 2})),
    spent(2.2, 4, 60, 2.0),
    spent(3, 4, 40, 2.25),
]


def told_to(publish: Callable[[Event], None]) -> Sink:
    """Return a sink that hands on what is published."""
    return cast(Sink, SimpleNamespace(publish=publish))


def observed_of(*events: Event) -> Any:
    history = [Started(START_NS, kinds={"0": "get"}), *events, Ended(at(10))]
    return observe((type(event), [event]) for event in history)


def test_it_is_told_for_the_run_and_for_each_change(tmp_path: Path) -> None:
    told = run_json(observed_of(*RELOADS), tmp_path)
    assert told["summary"]["price"] == {
        "processes": {"before": 2, "most": 5, "after": 4},
        "resident_bytes": {"before": 20 * MB, "most": 60 * MB, "after": 40 * MB},
        "cpu_s": 1.25,
        "lasted_us": 3_000_000,
        "old_generations": [{"number": 0, "lived_on_us": 500_000}, {"number": 1, "lived_on_us": None}],
    }
    first, second = (each["price"] for each in told["changes"])
    assert first == {
        "processes": {"before": 2, "most": 5, "after": 3},
        "resident_bytes": {"before": 21 * MB, "most": 50 * MB, "after": 30 * MB},
        "cpu_s": 0.5,
        "lasted_us": 1_000_000,
    }
    assert second["processes"] == {"before": 3, "most": 4, "after": 4}
    assert second["cpu_s"] == 0.65


def test_where_nobody_has_looked_nothing_is_told(tmp_path: Path) -> None:
    observation = observed_of(change(Phase.REQUESTED, at(1), "reload", "", 1))
    told = run_json(observation, tmp_path)
    assert told["summary"]["price"] is None
    assert [each["price"] for each in told["changes"]] == [None]
    assert not [line for line in summary_lines(observation, judge(observation), "a proxy") if line.startswith("price")]


def test_the_terminal_has_a_line_of_it() -> None:
    observation = observed_of(*RELOADS)
    (line,) = [line for line in summary_lines(observation, judge(observation), "x") if line.startswith("price")]
    assert line == (
        "price: at most 5 processes with 60 MB, before the changes 2 processes with 20 MB; 1.2 s of CPU in 3.0 s; "
        "replaced ones lived on for 0.5 s at most"
    )


def test_what_an_ended_one_took_stays_and_its_pid_may_be_anothers() -> None:
    uses = {10: ProcessUse(1, 500, 3), 11: ProcessUse(2, 70, 5)}
    looked = Spending(lambda: START_NS, lambda: iter(list(uses)), uses.get)
    assert looked.look() == Spent(2, 8, 570, START_NS)
    uses[11] = ProcessUse(9, 4, 6)
    assert looked.look() == Spent(2, 9, 574, START_NS)
    del uses[10]
    uses[11] = ProcessUse(9, 5, 6)
    assert looked.look() == Spent(1, 6, 575, START_NS)
    uses.clear()
    assert looked.look() is None


def test_a_look_for_which_no_descriptor_is_left_says_nothing() -> None:
    def nothing_left() -> Iterator[int]:
        raise OSError(errno.EMFILE, "Too many open files")

    looked = Spending(lambda: START_NS, nothing_left, lambda _pid: None)
    assert looked.look() is None


def test_it_is_looked_four_times_a_second_and_at_the_end() -> None:
    clock, told = Clock(), list[Event]()

    uses = {10: ProcessUse(1, 0, 1)}
    watch = PriceWatch(
        told_to(told.append), Spending(lambda: int(clock.seconds() * NS_PER_S), lambda: iter(list(uses)), uses.get)
    )
    watch.start(clock)
    clock.pump([EVERY_S] * 3)
    watch.stop()
    watch.stop()
    assert len(told) == 5
    clock.advance(1)
    assert len(told) == 5


def test_of_somebody_elses_proxy_nothing_is_looked_at() -> None:
    told = list[Event]()
    watch = PriceWatch(told_to(told.append), None)
    watch.start(Clock())
    watch.stop()
    assert told == []


#: It tells its own pid, and so that it has been loaded: one that has only just begun has hardly any memory.
WAITS = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process in a session of its own that waits, and has a child that does."""
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAITS!r}]); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_what_is_started_in_a_session_of_its_own_is_looked_at_with_what_that_has_started(stranger: int) -> None:
    found = set(processes())
    assert stranger in found
    assert os.getpid() not in found
    use = use_of(stranger)
    assert use is not None
    assert use.resident_bytes > MB
    assert 0 <= use.cpu_ns < 3600 * NS_PER_S
    assert use.cpu_ns % (10 * NS_PER_MS) == 0


def test_a_guard_is_none_of_them(stranger: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "is_guards", lambda _title: True)
    assert stranger not in set(processes())


def test_of_who_is_gone_nothing_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert use_of(process.pid) is None

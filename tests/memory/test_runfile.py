"""``run.json`` and the summary: what scripts and people are told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from proxyreload.errors import StartError, UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, BaselineTaken, Ended, Ending, FarKept, Phase, ScheduleKept, Started
from proxyreload.record.runfile import RunFile
from proxyreload.system.clock import NS_PER_MS, NS_PER_US, ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import Observation

from . import observing
from .clocks import START_NS
from .conforming import wrong
from .happened import back_closed, change, exchange, failed, front_closed

RAN = {**observing.RAN, "plugin": "haproxy", "mechanism": "runtime", "proxy_version": "HAProxy 2.8"}


def observed(*, losses: int = 1) -> Observation:
    """Return a run of 10 s: backend 2 is added at 2 s, backend 0 removed at 6 s."""
    bus = EventBus()
    observation = observing.observed(bus)

    def answers(at_s: float, *instances: str) -> None:
        at_ns = START_NS + ns(at_s)
        for instance in instances * 10:
            bus.arrived(Arrival(instance, "0-0", 50000, 0, at_ns, at_ns, at_ns))
            sent_ns = at_ns - NS_PER_MS
            bus.exchanged(exchange(instance=instance, due_ns=sent_ns, written_ns=sent_ns, ended_ns=at_ns))

    def changes(at_s: float, action: str, instance: str, number: int) -> None:
        bus.publish(change(Phase.REQUESTED, START_NS + ns(at_s), action, instance, number))
        bus.publish(change(Phase.APPLIED, START_NS + ns(at_s + 0.5), action, instance, number))

    bus.publish(Started(START_NS))
    answers(1, "0", "1")
    changes(2, "add", "2", 1)
    answers(3, "0", "1", "2")
    changes(6, "remove", "0", 2)
    answers(6.75, "0")
    for _ in range(losses):
        bus.arrived(Arrival("1", "0-0", 50000, 0, START_NS))
        bus.exchanged(failed("timeout", written_ns=START_NS + ns(6.8), ended_ns=START_NS + ns(7)))
    bus.publish(attrs.evolve(front_closed(Ending.IDLE), closed_ns=START_NS + ns(7)))
    bus.publish(attrs.evolve(back_closed("1"), closed_ns=START_NS + ns(7)))
    answers(8, "1", "2")
    answers(9, "1", "2")
    bus.publish(Ended(START_NS + ns(10)))
    return observation


def finished(tmp_path: Path, observation: Observation) -> dict[str, Any]:
    """Write a run's file and return what is in it."""
    file = RunFile(tmp_path / "run.json")
    file.open(RAN)
    file.finish(observation, judge(observation))
    return read(file.path)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert wrong("run", content) == []
    return content


def test_from_the_start_the_file_says_what_runs(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.json")
    file.open(RAN)
    content = read(file.path)
    assert (content["format"], content["finished"], content["plugin"]) == (2, False, "haproxy")
    assert content["versions"]["proxy"] == "HAProxy 2.8"
    assert content["versions"]["proxyreload"]
    assert content["machine"]["processors"] > 0
    assert "summary" not in content


def test_at_the_end_the_file_has_the_verdict(tmp_path: Path) -> None:
    content = finished(tmp_path, observed())
    summary = content["summary"]
    assert content["finished"] is True
    assert (summary["verdict"], summary["exit_status"], summary["failures"]) == ("lossy", 1, {"timeout": 1})
    assert (summary["exchanges"], summary["success"], summary["failure"]) == (101, 100, 1)
    assert (summary["duration_us"], summary["detection_limit"]) == (10_000_000, None)
    assert summary["answers_by_instance"] == {"0": 30, "1": 40, "2": 30}
    assert summary["arrivals_by_instance"] == {"0": 30, "1": 41, "2": 30}


def test_a_clean_run_has_its_detection_limit(tmp_path: Path) -> None:
    summary = finished(tmp_path, observed(losses=0))["summary"]
    assert summary["detection_limit"].startswith("0 failures in 100 exchanges")


def test_each_change_has_its_times(tmp_path: Path) -> None:
    added, removed = finished(tmp_path, observed())["changes"]
    assert (added["action"], added["instance"], added["mechanism"]) == ("add", "2", "test:runtime")
    assert (added["requested_us"], added["applied_us"], added["effective_us"]) == (2_000_000, 2_500_000, 3_000_000)
    assert (removed["requested_us"], removed["applied_us"]) == (6_000_000, 6_500_000)
    assert removed["effective_us"] == 6_750_000


def test_each_change_has_its_verdict_and_what_it_cost(tmp_path: Path) -> None:
    added, removed = finished(tmp_path, observed())["changes"]
    assert (added["verdict"], added["reasons"], added["failures"]) == ("seamless", [], {})
    assert (removed["verdict"], removed["failures"], removed["stragglers"]) == ("lossy", {"timeout": 1}, 10)
    assert (removed["front_closed"], removed["back_closed"]) == ({"idle": 1}, 1)


def test_the_answers_of_an_added_backend_are_no_stragglers(tmp_path: Path) -> None:
    added = finished(tmp_path, observed())["changes"][0]
    assert not added["stragglers"]


def test_a_refused_change_has_the_proxys_words_and_no_times(tmp_path: Path) -> None:
    bus = EventBus()
    observation = observing.observed(bus)
    bus.publish(Started(START_NS))
    bus.publish(change(Phase.REQUESTED, START_NS + ns(2)))
    bus.publish(change(Phase.FAILED, START_NS + ns(3), message="No such backend."))
    [refused] = finished(tmp_path, observation)["changes"]
    assert (refused["error"], refused["applied_us"], refused["effective_us"]) == ("No such backend.", None, None)


def test_latencies_stand_for_each_stretch_of_the_run(tmp_path: Path) -> None:
    latency = finished(tmp_path, observed())["summary"]["latency"]
    assert list(latency) == ["before", "around 1", "around 2", "after 2"]
    assert latency["before"]["count"] == 20
    assert latency["before"]["p50_us"] == pytest.approx(1000, rel=2e-3)


def kept(
    slipped: int = 0,
    slip_peak_ns: int = 0,
    late: Mapping[int, int] | None = None,
    late_peak_ns: int = 0,
    never_sent: int = 0,
) -> ScheduleKept:
    """Return how a schedule of 1000 requests was kept."""
    return ScheduleKept(1000, slipped, slip_peak_ns, late or {}, late_peak_ns, START_NS + ns(10), never_sent)


def test_the_baseline_and_how_the_schedule_was_kept_stand_beside(tmp_path: Path) -> None:
    observation = observed()
    observation.take(BaselineTaken, [BaselineTaken({90: 300, 110: 198}, 500, {"timeout": 2}, ns(1), START_NS)])
    observation.take(ScheduleKept, [kept(2, 3 * NS_PER_MS, {4: 7}, 5 * NS_PER_US, 1)])
    summary = finished(tmp_path, observation)["summary"]
    assert (summary["baseline"]["exchanges"], summary["baseline"]["rate_per_s"]) == (500, 500.0)
    assert (summary["baseline"]["failures"], summary["baseline"]["latency"]["count"]) == ({"timeout": 2}, 498)
    assert summary["floor"] == summary["baseline"]  # what it was called before, for scripts
    assert summary["schedule"] == {
        "requests": 1000,
        "kept": False,
        "slipped": 2,
        "slip_max_us": 3000,
        "never_sent": 1,
        "late": {"4": 7},
        "late_max_us": 5,
    }


def test_how_well_each_distance_was_kept_stands_there(tmp_path: Path) -> None:
    observation = observed()
    observation.take(
        FarKept, [FarKept(ns(0.01), {0: 98, 20: 1, 700: 1}, START_NS), FarKept(ns(0.02), {510: 1}, START_NS)]
    )
    near, far = finished(tmp_path, observation)["summary"]["far"]
    assert near == {
        "rtt_ms": 10,
        "times": 100,
        "late_mean_us": 7,
        "late_p50_us": 0,
        "late_p99_us": 20,
        "late_max_us": 700,
        "kept": True,
    }
    assert (far["rtt_ms"], far["late_p99_us"], far["kept"]) == (20, 510, True)


def test_without_a_baseline_or_a_schedule_that_is_said(tmp_path: Path) -> None:
    summary = finished(tmp_path, observed())["summary"]
    assert (summary["baseline"], summary["floor"], summary["schedule"]) == (None, None, None)
    assert summary["far"] == []


def test_no_half_of_a_file_is_ever_seen_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    finished(tmp_path, observed())
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere/run\.json cannot be written: No such file or directory"):
        RunFile(tmp_path / "nowhere" / "run.json").open(RAN)


def test_a_file_in_place_of_the_folder_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        RunFile(tmp_path / "file" / "run.json").open(RAN)


def test_a_folder_in_place_of_the_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        RunFile(tmp_path).open(RAN)


def test_a_device_is_written_to_not_replaced() -> None:
    RunFile(Path("/dev/null")).open(RAN)
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_written_at_the_end_makes_the_run_invalid(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = RunFile(folder / "run.json")
    file.open(RAN)
    file.path.unlink()
    folder.rmdir()
    observation = observed()
    with pytest.raises(StartError, match="cannot be written"):
        file.finish(observation, judge(observation))


# The summary for people.


def summary(observation: Observation) -> list[str]:
    """Return its lines."""
    return list(summary_lines(observation, judge(observation), "haproxy:runtime, HAProxy 2.8"))


def test_the_last_line_is_the_verdict() -> None:
    assert summary(observed())[-1] == "verdict: lossy (1 failure: 1 timeout)"


def test_counts_stand_beside_every_loss() -> None:
    assert "failures: 1 of 101 exchanges: 1 timeout" in summary(observed())


def test_a_clean_run_is_told_with_its_limit_and_never_as_perfect() -> None:
    lines = summary(observed(losses=0))
    assert any(line.startswith("0 failures in 100 exchanges: with 95 % confidence") for line in lines)
    assert not any("100 %" in line or "100.0" in line for line in lines)


def test_each_change_is_told_with_its_times() -> None:
    lines = [line.strip() for line in summary(observed())]
    added = lines.index("change 1, add backend 2: seamless")
    assert lines[added + 1 : added + 3] == [
        "applied after 500.0 ms, first answer after 1000.0 ms",
        "0 failures in 30 exchanges",
    ]
    removed = lines.index("change 2, remove backend 0: lossy")
    assert lines[removed + 1] == "applied after 500.0 ms, last answer after 750.0 ms, 10 stragglers"
    assert lines[removed + 2 : removed + 5] == [
        "1 failure: 1 timeout",
        "1 front connection closed, while idle",
        "1 backend connection closed that could have stayed",
    ]


def test_what_helps_is_told_where_something_was_lost() -> None:
    for losses, told in ((1, ["what helps: a setting, https://example.test/"]), (0, [])):
        observation = observed(losses=losses)
        lines = summary_lines(observation, judge(observation), "", helps="a setting, https://example.test/")
        assert [line for line in lines if "helps" in line] == told


def test_requests_that_arrived_but_were_not_answered_are_told_by_backend() -> None:
    lines = summary(observed())
    assert "answers by backend: 0: 30, 1: 40 (and 1 that arrived but were not answered to a client), 2: 30" in lines


def test_a_schedule_that_slipped_is_told_loudly() -> None:
    observation = observed()
    observation.take(ScheduleKept, [kept(2, 3 * NS_PER_MS, {4: 7}, 5 * NS_PER_MS)])
    lines = summary(observation)
    assert any(line.startswith("THE SCHEDULE SLIPPED") and "2 of 1000 requests" in line for line in lines)
    assert any("client 4: 7" in line for line in lines)


def test_how_exact_a_distance_was_is_told_and_marked_where_that_is_too_little() -> None:
    observation = observed()
    observation.take(FarKept, [FarKept(ns(0.0125), {0: 99, 30: 1, 700: 1}, START_NS)])
    observation.take(FarKept, [FarKept(ns(0.02), {0: 1, 1510: 1}, START_NS)])
    exact, inexact = (line for line in summary(observation) if "each way" in line)
    assert exact == "distance 12.5 ms: longer each way by p99 0.03 ms, at most 0.70 ms"
    assert inexact.startswith(
        "distance 20 ms: NOT KEPT within 1 ms, proxyreload or the machine is too busy: longer each way"
    )


def test_a_schedule_that_was_kept_needs_no_word() -> None:
    observation = observed()
    observation.take(ScheduleKept, [kept()])
    assert summary(observation) == summary(observed())

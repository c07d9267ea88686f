"""What a report draws from a run: slices of time, phases, connections, failures."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.history.events import Exchange, Started
from proxyreload.record.csvfile import CsvFile
from proxyreload.record.paths import RunPaths
from proxyreload.report.bins import ANOTHER, bins, coarse_edges, fine_edges, instances
from proxyreload.report.connections import back_connections, front_changed, front_connections, segments
from proxyreload.report.curves import baseline_curve, curve, curves
from proxyreload.report.losses import classes, failed, losses, thinned
from proxyreload.report.rowfile import ANCESTORS
from proxyreload.report.story import Story, read_story
from proxyreload.verdict.counts import Counts

from .clocks import START_NS, some_examples
from .happened import exchanges_st
from .written import Row, change, lost, row, run_content, write_rows, write_run

S = 1_000_000


def story(
    folder: Path,
    rows: Sequence[Row],
    changes: Sequence[dict[str, object]] = (),
    columns: Sequence[str] | None = None,
    clients: int = 2,
) -> Story:
    """Return a run of these rows, with clients 0 and 1, and 2 the probe."""
    path = folder / "data.csv"
    write_rows(path, rows) if columns is None else write_rows(path, rows, columns)
    content = run_content(changes=list(changes))
    content["options"]["clients"] = clients
    return read_story(RunPaths(path, write_run(folder / "run.json", content)))


def test_slices_count_every_answer_once(tmp_path: Path) -> None:
    rows = [row(t * 1000 + 500, instance=str(t % 3)) for t in range(6000)] + [lost(3 * S)]
    told = story(tmp_path, rows, [change(1, 2 * S), change(2, 4 * S)])
    names = instances(told)
    assert names == ["0", "1", "2"]
    for edges in (coarse_edges(told), fine_edges(told, 500)):
        assert edges[0] == 0
        assert edges[-1] == 6 * S
        assert (np.diff(edges) > 0).all()
        slices = bins(told, edges, names)
        widths_s = np.diff(edges) / S
        assert [round(float((slices.rates_per_s[name] * widths_s).sum())) for name in names] == [2000, 2000, 2000]


def test_slices_are_finer_around_changes(tmp_path: Path) -> None:
    told = story(tmp_path, [row(t * 100 + 50) for t in range(60_000)], [change(1, 2 * S)])
    coarse, fine = coarse_edges(told), fine_edges(told, 1500)
    assert len(fine) > len(coarse)
    widths = {int(at): int(width) for at, width in zip(fine[:-1], np.diff(fine), strict=True)}
    assert widths[2 * S] < widths[0] == coarse[1]


def test_a_slice_has_the_percentiles_of_its_successes(tmp_path: Path) -> None:
    rows = [row(1000 + i, due=1000 + i - latency) for i, latency in enumerate(range(1, 101))]
    rows += [row(1200, due=0, client=2, carried=0), lost(1300, due=0), row(5 * S, due=5 * S - 7)]
    told = story(tmp_path, rows)
    slices = bins(told, np.array([0, 3 * S, 4 * S, 6 * S]), ["0"])
    assert slices.p50_us[[0, 2]].tolist() == [50, 7]
    assert slices.p99_us[[0, 2]].tolist() == [99, 7]
    assert slices.max_us[[0, 2]].tolist() == [100, 7]
    assert np.isnan(slices.p50_us[1])


def test_backends_without_a_colour_are_taken_together(tmp_path: Path) -> None:
    rows = [row(1000 + i, instance=str(i % 20 if i < 4000 else i % 2)) for i in range(5000)]
    told = story(tmp_path, rows)
    names = instances(told)
    assert len(names) == 12
    assert {"0", "1"} <= set(names)
    slices = bins(told, np.array([0, 6 * S]), names)
    assert round(float(slices.rates_per_s[ANOTHER][0] * 6)) == 8 * 200
    assert round(float(slices.total_per_s[0] * 6)) == 5000


def test_phases_are_before_around_and_after_each_change(tmp_path: Path) -> None:
    times = {"before": 1.9, "around 1": 2.9, "after 1": 3.2, "around 2": 4.1, "after 2": 5.9}
    rows = [row(int(at * S), due=int(at * S) - 100 - place) for place, at in enumerate(times.values())]
    found = {each.name: each for each in curves(story(tmp_path, rows, [change(1, 2 * S), change(2, 4 * S)]), 2)}
    assert list(found) == list(times)
    assert [each.latency_us for each in found.values()] == [[100.0], [101.0], [102.0], [103.0], [104.0]]
    joined = {each.name: each.count for each in curves(story(tmp_path, rows, [change(1, 2 * S), change(2, 4 * S)]), 1)}
    assert joined == {"before": 1, "around the changes": 2, "between and after": 2}


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=300))
@some_examples
def test_a_curve_is_read_off_like_percentiles(latencies: list[int]) -> None:
    ordered = np.sort(np.array(latencies, np.int64))
    told = curve("it", "before", 0, ordered)
    assert told.latency_us == sorted(told.latency_us)
    assert told.latency_us[-1] == max(latencies)
    for one_in, us in zip(told.one_in, told.latency_us, strict=True):
        share = sum(latency <= us for latency in latencies) / len(latencies)
        assert share >= 1 - 1 / one_in - 1e-9


def test_the_baseline_has_the_points_that_were_recorded(tmp_path: Path) -> None:
    told = baseline_curve(story(tmp_path, [row(1000)]))
    assert told is not None
    assert dict(zip(told.one_in, told.latency_us, strict=True))[2.0] == 100
    assert (told.latency_us[-1], told.count) == (400, 10)


def test_how_front_connections_ended(tmp_path: Path) -> None:
    rows = [
        *(row(1000, 0, connection=0), row(2000, 0, connection=0, announced="yes")),
        *(row(3000, 0, connection=1), lost(4000, 0, connection=1)),
        *(row(5000, 0, connection=2), lost(6000, 0, "status 503", connection=2)),
        *(row(7000, 0, connection=3), row(1000, 1, connection=0), lost(8000, 1, "refused", connection="")),
        *(row(1000, 2, connection=0), row(2000, 2, connection=1), row(3000, 2, connection=2)),
    ]
    told = story(tmp_path, rows)
    front = front_connections(told)
    assert told.probe == 2
    assert front.ends(told.plain(front.client)) == {"announced": 1, "idle": 1, "reset": 1, "open": 2}
    assert front_changed(told, front) == 3
    assert front.requests.tolist() == [2, 2, 2, 1, 1, 1, 1, 1]
    assert front.opened_us.tolist()[:2] == [700, 2700]
    assert front.ended_us.tolist()[:4] == [2000, 4000, 6000, 6 * S]


def test_the_ancestors_rows_do_not_tell_an_announced_end_from_an_idle_one(tmp_path: Path) -> None:
    rows = [row(1000, front_port=1), row(2000, front_port=2), lost(3000, front_port=2), row(4000, front_port=3)]
    told = story(tmp_path, rows, columns=ANCESTORS)
    front = front_connections(told)
    assert front.ends(told.plain(front.client)) == {"reset": 1, "closed": 1, "open": 1}
    assert not list(curves(told, 2))


def test_stretches_of_a_connection_are_its_backends(tmp_path: Path) -> None:
    rows = [row(t * 1000, 0, instance=str(t % 2)) for t in range(1, 1000)]
    rows += [row(t * 1000, 0, instance="2") for t in (*range(1000, 2000), *range(4000, 5000))]
    rows += [row(t * 1000, 1, instance="2") for t in range(1, 6000)]
    told = story(tmp_path, rows)
    front = front_connections(told)
    found = segments(told, front, np.arange(2), 100)
    spans = [
        (int(c), told.rows.instances[i], round(int(b) / S, 1), round(int(e) / S, 1), bool(a))
        for c, i, b, e, a in zip(
            found.connection, found.instance, found.begin_us, found.end_us, found.alone, strict=True
        )
    ]
    shared = [
        (0, "0", 0.0, 1.0, False),
        (0, "1", 0.0, 1.0, False),
        (0, "2", 1.0, 2.0, False),
        (0, "2", 4.0, 5.0, False),
    ]
    assert sorted(spans) == [*shared, (1, "2", 0.0, 6.0, True)]
    assert len(segments(told, front, np.arange(2), 4).connection) == 4
    assert set(segments(told, front, np.array([1]), 100).connection.tolist()) == {1}


@given(exchanges_st)
@some_examples
def test_back_changes_are_counted_as_the_run_counts_them(exchanges: list[Exchange]) -> None:
    counts = Counts()
    counts.add(exchanges)
    with tempfile.TemporaryDirectory() as folder:
        file = CsvFile(Path(folder) / "data.csv")
        file.open()
        file.started([Started(START_NS)])
        file.exchanged([each for each in exchanges if each.ended_ns >= START_NS])
        file.close()
        told = read_story(RunPaths(file.path))
    assert len(told.rows) == counts.total
    assert sum(number for _name, number in classes(told)) == counts.failure
    if told.probe < 0:
        assert int(back_connections(told).changed.sum()) == counts.back_changed


def test_backend_connections_of_the_probe_alone_are_told(tmp_path: Path) -> None:
    rows = [
        *(row(1000, 0, back_port=1), row(2000, 2, back_port=2), row(3000, 0, back_port=3), row(4000, 2, back_port=3)),
        row(5000, 0, back_port=3, instance="1"),
    ]
    back = back_connections(story(tmp_path, rows))
    assert back.port.tolist() == [1, 2, 3, 3]
    assert back.probe_only.tolist() == [False, True, False, False]
    assert back.changed.tolist() == [False, False, True, True]
    assert back.answers.tolist() == [1, 1, 2, 1]
    assert back.last_us.tolist() == [1000, 2000, 4000, 5000]


def test_a_failure_says_when_where_and_how_old_its_connection_was(tmp_path: Path) -> None:
    rows = [
        *(row(1000, 0, connection=5), lost(2_500_000, 0, connection=5, carried=1, status="reset: peer")),
        lost(1_500_000, 2, "refused", connection="", front_port="", carried=0),
    ]
    told = story(tmp_path, rows, [change(1, 2 * S)])
    first, second = losses(told, failed(told))
    assert (first.time_us, first.since_us, first.change, first.client, first.probe) == (1_500_000, None, 0, 2, True)
    assert (first.age_us, first.failure, first.instance) == (None, "refused", "")
    assert (second.since_us, second.change, second.client, second.probe) == (500_000, 1, 0, False)
    assert (second.age_us, second.carried, second.status) == (2_500_000 - 700, 1, "reset: peer")
    assert classes(told) == [("refused", 1), ("reset before response, reused", 1)]


def test_thinned_failures_are_the_first_the_last_and_some_between() -> None:
    rows = np.arange(1000)
    assert thinned(rows, 1000) is rows
    few = thinned(rows, 10)
    assert (len(few), few[0], few[-1]) == (10, 0, 999)


@pytest.mark.parametrize(("clients", "probe"), [(2, 2), (3, -1)])
def test_the_probe_is_the_client_after_the_others(tmp_path: Path, clients: int, probe: int) -> None:
    assert story(tmp_path, [row(1000), row(2000, 2)], clients=clients).probe == probe


def test_bare_rows_tell_the_probe_by_its_connections(tmp_path: Path) -> None:
    ours = [row(1000, 0), row(2000, 0, carried=1)]
    fresh = write_rows(tmp_path / "a.csv", [*ours, row(1000, 1), row(2000, 1, connection=1)])
    kept = write_rows(tmp_path / "b.csv", [*ours, row(1000, 1), row(2000, 1, carried=1)])
    assert [read_story(RunPaths(path)).probe for path in (fresh, kept)] == [1, -1]

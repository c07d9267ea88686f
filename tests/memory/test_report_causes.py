"""What a report says of each cause: an example in lanes; and each failure's fate and cause."""

import json
import re
from pathlib import Path
from typing import Any

from proxyreload.record.paths import find
from proxyreload.report.page import page
from proxyreload.report.sequences import LANES, Line, sequences
from proxyreload.report.story import read_story

from .test_explanation import written
from .written import loss_row, lost, row, write_rows

HOSTILE = "</script><script>alert(1)</script>"


def raced(folder: Path, **more: Any) -> Path:
    """Write a run that has lost one request in a race, and return its run file."""
    rows = [
        row(1_000_000, written=999_000, connect=500),
        row(2_020_000, request=6, written=2_019_000, carried=6),
        lost(2_101_200, request=7, written=2_100_000, carried=7, failure="closed before response, reused"),
    ]
    return written(folder, [loss_row(time=2_101_200, **more)], rows)


def test_each_cause_has_an_example_in_lanes(tmp_path: Path) -> None:
    story = read_story(find(raced(tmp_path)))
    assert story.told is not None
    (told,) = sequences(story.told)
    assert (told.cause, told.page) == ("keep-alive race", "docs/causes.md#keep-alive-race")
    assert told.figures == "1 of 1 (1 get): 1 reached no backend: safe to repeat"
    assert told.whose == "loss 1, client 0 of get, over connection 0, port 40000"
    assert told.since_change
    client, proxy, backend = LANES.values()
    assert told.lines[-3:] == [
        Line("+0.1000 s", "request 7 sent after 80.0 ms of rest", client, proxy),
        Line("+0.1012 s", "FIN from the proxy, 1.2 ms after sending", proxy, client),
        Line("", "no backend received it", proxy, (proxy + backend) // 2, lost=True),
    ]
    assert told.lines[0].stays


def test_the_page_shows_it_and_each_failure_with_its_fate_and_cause(tmp_path: Path) -> None:
    text = page([find(raced(tmp_path, generation=3))])
    assert "<strong>keep-alive race</strong>, 1 of 1 (1 get)" in text
    assert "The proxy closed a resting connection while a request was on its way to it." in text
    assert text.count('<svg viewBox="0 0 320 26"') == 6
    (found,) = re.findall(r'class="losses-data">(.*?)</script>', text)
    table = json.loads(found)
    (line,) = table["rows"]
    told = [names[place] for names, place in zip(table["names"], line[6:], strict=True)]
    assert told == [
        *("closed before response, reused", "", "get"),
        *("no backend received it: safe to repeat", "keep-alive race", "3"),
    ]


def test_what_is_in_the_file_of_losses_is_text(tmp_path: Path) -> None:
    text = page([find(raced(tmp_path, cause=HOSTILE, generation=HOSTILE, evidence=HOSTILE))])
    assert HOSTILE not in text


def test_without_a_file_of_losses_a_report_is_as_it_was(tmp_path: Path) -> None:
    path = raced(tmp_path)
    (tmp_path / "losses.csv").unlink()
    story = read_story(find(path))
    assert (story.told, story.file_of_losses) == (None, None)
    assert '<h3 id="causes-1">' not in page([find(path)])


def test_where_nothing_was_lost_there_is_no_why(tmp_path: Path) -> None:
    path = written(tmp_path, [], [row(1_000_000)])
    assert '<h3 id="causes-1">' not in page([find(path)])
    write_rows(tmp_path / "losses.csv", [])

"""A report is drawn by a process of its own, which can be given up."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.report.drawing import LIMIT_S, draw
from proxyreload.system.child import ChildProcess, Exit

from .clocks import Time, error_of, result_of, waits
from .test_workspace import FakeProcess


@attrs.define(eq=False)
class Desk:
    """Where one process draws."""

    folder: Path
    time: Time = attrs.field(factory=Time)
    words: list[str] = attrs.field(factory=list)
    process: FakeProcess = attrs.field(init=False)
    log: Path = attrs.field(init=False)
    obstacle: OSError | None = None

    def spawn(self, _reactor: object, words: Sequence[str], **how: Any) -> ChildProcess:
        if self.obstacle is not None:
            raise self.obstacle
        watch = Exit(cast(Any, self.time))
        self.process, self.words, self.log = FakeProcess(100, watch.fired), list(words), how["log"]
        child = ChildProcess("python", how["log"], cast(Any, self.process), watch)
        watch.fired.addCallback(child._exited)
        return child

    def begin(self) -> Deferred[str]:
        paths = (self.folder / name for name in ("data.csv", "run.json", "report.html"))
        return Deferred.fromCoroutine(draw(cast(Any, self.time), *paths))

    def ends(self, code: int, said: str = "") -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(said)
        self.process.end(code)


@pytest.fixture(name="desk")
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr(ChildProcess, "spawn", desk.spawn)
    return desk


def test_it_is_told_what_to_draw_and_where(desk: Desk) -> None:
    drawn = desk.begin()
    assert waits(drawn)
    files = [desk.folder / name for name in ("data.csv", "report.html", "run.json")]
    assert desk.words[-6:] == ["report", "--claimed", f"--rows={files[0]}", f"--output={files[1]}", "--", str(files[2])]
    desk.ends(0, "report.html: the report of run.json")
    assert result_of(drawn) == ""
    assert not desk.log.exists()


def test_why_it_is_not_drawn_is_said_in_a_line(desk: Desk) -> None:
    drawn = desk.begin()
    desk.ends(2, "proxyreload: a report needs bokeh, which is not installed\n")
    assert result_of(drawn) == "a report needs bokeh, which is not installed"


def test_one_that_crashes_without_a_word_is_told_by_its_end(desk: Desk) -> None:
    drawn = desk.begin()
    desk.ends(-signal.SIGSEGV)
    assert result_of(drawn) == "python was ended by SIGSEGV"


def test_one_that_cannot_be_started_is_said(desk: Desk) -> None:
    desk.obstacle = OSError(11, "Resource temporarily unavailable")
    assert result_of(desk.begin()) == "a process for it cannot be started: Resource temporarily unavailable"


def test_one_that_is_given_up_is_killed_and_leaves_nothing(desk: Desk) -> None:
    drawn = desk.begin()
    beside = desk.folder / "report.html.100.abcd.new"
    beside.write_text("half", encoding="utf-8")
    drawn.cancel()
    error_of(drawn, CancelledError)
    assert not beside.exists()
    assert desk.time.getDelayedCalls() == []


def test_one_that_takes_too_long_is_ended(desk: Desk) -> None:
    drawn = desk.begin()
    desk.time.pump([1.0] * (round(LIMIT_S) + 1))
    assert result_of(drawn) == "it is not drawn after 600 s"

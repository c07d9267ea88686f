"""Whatever is raised ends with a status and a line."""

import os
import signal
from typing import NoReturn

import pytest

from proxyreload import entry
from proxyreload.command import main as command
from proxyreload.system.defect import Told
from proxyreload.system.ending import ENDING


class LeftError(BaseException):
    """The process would have ended here."""


def left(monkeypatch: pytest.MonkeyPatch, outcome: int | BaseException) -> int:
    """Return with which status a command ends that returns or raises this."""
    statuses: list[int] = []

    def leave(status: int) -> NoReturn:
        statuses.append(status)
        raise LeftError

    def run(_words: list[str]) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(command, "run", run)
    before = [signal.getsignal(number) for number in ENDING]
    try:
        with pytest.raises(LeftError):
            entry.main()
    finally:
        for number, what in zip(ENDING, before, strict=True):
            signal.signal(number, what)
    return statuses[0]


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_a_commands_status_is_the_programs(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    assert left(monkeypatch, status) == status


def test_what_was_asked_for_and_told_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    assert left(monkeypatch, Told()) == 0


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(1), KeyboardInterrupt(), MemoryError(), GeneratorExit()])
def test_whatever_else_is_raised_is_3_and_a_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert left(monkeypatch, error) == 3
    assert capfd.readouterr().err.startswith("proxyreload: ")


def test_a_signal_before_anything_was_begun_ends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit, match="3"):
        entry._end(signal.SIGINT, None)
    assert capfd.readouterr().err == "proxyreload: ended by SIGINT before anything was begun\n"

"""What is raised where nobody waits for it, and what is told of an error that nobody expected."""

import errno
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from proxyreload.system.defect import DEBUG, Ended, Told, in_a_line
from proxyreload.system.unhandled import unhandled


def logged(error: BaseException, *, critical: bool = True) -> list[BaseException]:
    """Return what is told of an error that is logged."""
    told: list[BaseException] = []
    log = Logger("somebody")
    with unhandled(told.append):
        if critical:
            log.failure("lost", Failure(error))
        else:
            log.emit(LogLevel.warn, "lost", log_failure=Failure(error))
    log.failure("later", Failure(error))
    return told


def test_it_is_told_while_somebody_listens() -> None:
    error = ZeroDivisionError("never")
    assert logged(error) == [error]


def test_a_warning_and_a_cancellation_are_none() -> None:
    assert logged(ZeroDivisionError(), critical=False) == []
    assert logged(CancelledError()) == []


def test_only_the_first_few_are_told() -> None:
    told: list[BaseException] = []
    with unhandled(told.append):
        for number in range(100):
            Logger("somebody").failure("lost", Failure(ValueError(number)))
    assert [str(each) for each in told] == ["0", "1", "2"]


def raised(error: BaseException) -> BaseException:
    """Return an error that was raised."""
    try:
        raise error  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001
        return caught


@pytest.fixture(name="temp")
def _temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DEBUG, raising=False)
    return tmp_path


def test_where_it_was_raised_is_kept_in_a_file_of_ones_own(temp: Path) -> None:
    line = in_a_line(raised(ValueError("a\nb\x1b[31m" + "c" * 1000)))
    (file,) = temp.iterdir()
    assert line.startswith("internal error: ValueError: a / b\\x1b[31mccc")
    assert line.endswith(f"c… (where: {file})")
    assert len(line) < 300 + len(str(file))
    assert file.stat().st_mode & 0o077 == 0
    assert "in raised\n    raise error" in file.read_text(encoding="utf-8")


def test_or_told_where_somebody_asks_for_it(
    temp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEBUG, "1")
    assert in_a_line(raised(ValueError())) == "internal error: ValueError"
    assert capfd.readouterr().err.startswith("Traceback (most recent call last):")
    assert list(temp.iterdir()) == []


def test_where_nothing_can_be_kept_that_is_no_further_error(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temp / "missing"))
    assert in_a_line(raised(ValueError("x"))) == f"internal error: ValueError: x ({DEBUG}=1 shows where)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyboardInterrupt(), "ended by SIGINT"),
        (Ended("SIGHUP"), "ended by SIGHUP"),
        (SystemExit("bye"), "ended by a call of exit('bye'), with no verdict"),
        (MemoryError(), "out of memory"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "standard output cannot be written: Broken pipe"),
    ],
)
def test_what_is_no_defect_is_told_without_one(error: BaseException, line: str, temp: Path) -> None:
    assert in_a_line(raised(error)) == line
    assert list(temp.iterdir()) == []


def test_a_file_that_cannot_be_opened_is_not_standard_output(temp: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "some/file")
    assert in_a_line(raised(error)).startswith(
        "internal error: OSError: [Errno 28] No space left on device: 'some/file'"
    )
    assert len(list(temp.iterdir())) == 1


def test_that_all_was_printed_is_a_success() -> None:
    assert Told().code == 0

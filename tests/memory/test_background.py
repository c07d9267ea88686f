"""A stream whose writer never waits, and the displays on it."""

import os
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from proxyreload.terminal.background import CONGESTED_AT, BackgroundStream
from proxyreload.terminal.display import PATIENCE_S, STATUS_EVERY, PinnedDisplay, PlainDisplay, display_on

from .clocks import result_of, waits


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def ended(stream: BackgroundStream) -> None:
    """Wait until a stream that was finished is done with its descriptor."""
    stream._thread.join()
    assert stream.finished


def said(pipe: tuple[int, int], stream: BackgroundStream) -> str:
    """Close the writing end, once all is written, and return all that came through."""
    ended(stream)
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0]), "rb") as reading:
        return reading.read().decode("utf-8")


def fill(writing: int) -> None:
    """Fill a pipe until it takes no more."""
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writing, True)


def test_what_is_written_comes_out_in_order(pipe: tuple[int, int]) -> None:
    stream = BackgroundStream(pipe[1])
    for number in range(100):
        stream.write(f"line {number}\n")
        stream.flush()
    stream.finish()
    assert said(pipe, stream) == "".join(f"line {number}\n" for number in range(100))


def test_finishing_writes_what_was_not_flushed(pipe: tuple[int, int]) -> None:
    stream = BackgroundStream(pipe[1])
    stream.write("the last words")
    stream.finish()
    assert said(pipe, stream) == "the last words"


def test_what_cannot_be_encoded_is_replaced(pipe: tuple[int, int]) -> None:
    stream = BackgroundStream(pipe[1])
    stream.write("a\ud800b µ")
    stream.finish()
    assert said(pipe, stream) == "a?b µ"


def test_a_reader_that_has_stopped_does_not_stop_the_writer(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    stream = BackgroundStream(pipe[1])
    assert not stream.congested
    for _ in range(CONGESTED_AT + 1):
        stream.write("more than fits\n")
        stream.flush()
    assert stream.congested
    os.close(pipe[0])
    stream.finish()
    ended(stream)


def test_a_reader_that_has_gone_is_no_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    stream = BackgroundStream(pipe[1])
    stream.write("to nobody\n")
    stream.flush()
    stream.write("still to nobody\n")
    stream.finish()
    ended(stream)


def test_it_says_what_it_is_made_as(pipe: tuple[int, int]) -> None:
    plain = BackgroundStream(pipe[1])
    terminal = BackgroundStream(pipe[1], terminal=True)
    assert (plain.isatty(), terminal.isatty(), plain.writable(), plain.fileno()) == (False, True, True, pipe[1])
    for stream in (plain, terminal):
        stream.finish()
        ended(stream)


def test_a_pipe_gets_plain_lines(pipe: tuple[int, int]) -> None:
    display = display_on(pipe[1])
    assert isinstance(display, PlainDisplay)
    display.show(["one", "two"], "status")
    display.show([], "status")
    display.close()
    assert said(pipe, display.stream) == "one\ntwo\n"


def test_into_a_pipe_the_status_line_goes_now_and_then(pipe: tuple[int, int]) -> None:
    display = PlainDisplay(BackgroundStream(pipe[1]))
    for number in range(STATUS_EVERY * 2):
        display.show([], f"status {number}")
    display.close()
    assert said(pipe, display.stream) == f"status {STATUS_EVERY - 1}\nstatus {STATUS_EVERY * 2 - 1}\n"


def test_a_terminal_keeps_the_lines_and_takes_the_status_line_down(pipe: tuple[int, int]) -> None:
    display = PinnedDisplay(BackgroundStream(pipe[1], terminal=True))
    display.show(["a line"], "the status")
    display.show(["[red]no markup[/red]"], "the status")
    display.close()
    output = said(pipe, display.stream)
    assert "a line" in output
    assert "[red]no markup[/red]" in output
    assert output.index("the status") < output.index("[red]")


def test_a_terminal_that_was_never_drawn_on_closes(pipe: tuple[int, int]) -> None:
    display = PinnedDisplay(BackgroundStream(pipe[1], terminal=True))
    display.close()
    assert said(pipe, display.stream) == ""


def test_who_takes_nothing_is_waited_for_so_long(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    display, time = display_on(pipe[1]), Clock()
    display.show(["more than fits"], "")
    display.close()
    waiting = Deferred.fromCoroutine(display.shown(time))
    time.pump([0.1] * round(PATIENCE_S * 10 - 1))
    assert waits(waiting)
    time.pump([0.1] * 3)
    assert result_of(waiting) is False
    os.close(pipe[0])


def test_that_all_is_shown_is_known(pipe: tuple[int, int]) -> None:
    display, time = display_on(pipe[1]), Clock()
    display.show(["one"], "")
    display.close()
    assert isinstance(display, PlainDisplay)
    ended(display.stream)
    assert result_of(Deferred.fromCoroutine(display.shown(time))) is True
    assert display.stream.taken == len("one\n")


@pytest.mark.parametrize("kind", [PlainDisplay, PinnedDisplay])
def test_whatever_is_in_a_line_it_is_printable(
    pipe: tuple[int, int], kind: type[PlainDisplay] | type[PinnedDisplay]
) -> None:
    display = kind(BackgroundStream(pipe[1], terminal=kind is PinnedDisplay))
    for _draw in range(STATUS_EVERY):
        display.show(["a\x1b]0;title\x07 line\n=2", "\x9b2J"], "last failures: \x1b[31m\n the status\r")
    display.close()
    output = said(pipe, display.stream)
    assert "a\\x1b]0;title\\x07 line\\n=2" in output
    assert "last failures: \\x1b[31m" in output
    assert "the status\\r" in output
    assert not any(each in output for each in ("\x1b]0", "\x07", "\x9b"))

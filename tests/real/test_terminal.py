"""The terminal: the status line pinned below, lines above it; and outputs that are none."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import termios
import time
from collections.abc import Callable, Iterator

import attrs
import pytest

from .command import STATUS_LINE, TIMEOUT_S, Counts, Place, Session
from .screen import Screen

pytestmark = pytest.mark.real

SIZE = (40, 200)


@attrs.define
class Terminal:
    """A pseudo-terminal with a command on it."""

    master: int
    session: Session
    screen: Screen = attrs.field(factory=Screen)
    decoder: codecs.IncrementalDecoder = attrs.field(factory=codecs.getincrementaldecoder("utf-8"))

    def until(self, condition: Callable[[Screen], bool]) -> None:
        """Read until `condition` holds."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition(self.screen):
            assert self._read(deadline), f"it ended with\n{self.screen.lines[-20:]}"

    def until_end(self) -> None:
        """Read all there is."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._read(deadline):
            pass

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"nothing more comes; the screen is\n{self.screen.lines[-20:]}"
        try:
            data = os.read(self.master, 65536)
        except OSError:  # nobody has the other side any more
            return False
        self.screen.feed(self.decoder.decode(data))
        return bool(data)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Terminal]]:
    masters: list[int] = []

    def start(*words: str) -> Terminal:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, SIZE)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = {**place.environment, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            environment.pop(name, None)
        session = place.start(*words, environment=environment, preexec_fn=take_terminal, stdin=slave, stdout=slave)
        os.close(slave)
        masters.append(master)
        return Terminal(master, session)

    yield start
    for master in masters:
        try:
            os.close(master)
        except OSError:
            continue  # the test has closed it


def pinned_below(words: str) -> Callable[[Screen], bool]:
    """Return whether a line with `words` stands above the pinned status line, which is the last."""

    def condition(screen: Screen) -> bool:
        lines = screen.lines
        return (
            bool(lines) and STATUS_LINE.fullmatch(lines[-1]) is not None and any(words in line for line in lines[:-1])
        )

    return condition


def test_status_line_is_pinned_below_the_log(place: Place, start: Callable[..., Terminal]) -> None:
    terminal = start("--plugin", "haproxy", "--duration", "12", *place.ports)
    terminal.until(pinned_below("  client "))
    assert re.match(r"add backend 2 in \d s", terminal.screen.lines[-2])
    terminal.until(pinned_below("change 1: add backend 2 (haproxy:runtime) applied"))
    terminal.until(pinned_below("change 2: remove backend 0 (haproxy:runtime) applied"))
    terminal.until_end()
    result = terminal.session.ended()
    assert (result.status, result.stderr) == (0, "")
    lines, raw = terminal.screen.lines, terminal.screen.raw
    # It was drawn again and again, in one place: what stays is the conclusion's.
    drawn = set(re.findall(r"(\d+\.\d) s  success: ", raw))
    assert len(drawn) > 8
    assert [line for line in lines if "success: " in line] == [lines[-1]]
    found = STATUS_LINE.fullmatch(lines[-1])
    assert found is not None
    summary = result.summary
    assert Counts(*map(int, found.groups())) == Counts(
        summary["success"], summary["failure"], summary["front_changed"], summary["back_changed"]
    )
    # The cursor was hidden, and is shown again.
    assert raw.count("\x1b[?25l") == raw.count("\x1b[?25h") > 0
    assert place.left() == []


def test_in_a_window_made_smaller_the_status_line_stays_a_line(place: Place, start: Callable[..., Terminal]) -> None:
    terminal = start("--plugin", "haproxy", "--duration", "3600", *place.ports)
    terminal.until(pinned_below("  client "))
    termios.tcsetwinsize(terminal.master, (12, 50))
    cut = re.compile(r" *\d+\.\d s  success: .*…")
    terminal.until(lambda screen: cut.fullmatch(screen.lines[-1]) is not None)
    assert len(terminal.screen.lines[-1]) == 50
    termios.tcsetwinsize(terminal.master, SIZE)
    terminal.until(lambda screen: STATUS_LINE.fullmatch(screen.lines[-1]) is not None)
    terminal.session.signal(signal.SIGINT)
    terminal.until_end()
    assert terminal.session.ended().status == 3
    assert [line for line in terminal.screen.lines if "success: " in line] == terminal.screen.lines[-1:]


@pytest.mark.parametrize("key", [b"\x03"], ids=["Ctrl-C"])
def test_key_ends_it_in_order(place: Place, start: Callable[..., Terminal], key: bytes) -> None:
    terminal = start("--plugin", "haproxy", "--duration", "3600", *place.ports)
    terminal.until(pinned_below("  client "))
    os.write(terminal.master, key)
    terminal.until_end()
    result = terminal.session.ended()
    assert (result.status, result.stderr, result.verdict) == (3, "", "ineffective")
    lines = terminal.screen.lines
    assert STATUS_LINE.fullmatch(lines[-1])
    assert lines[-2].startswith("verdict: ineffective (the run was ended before: add backend 2")
    assert result.summary["exchanges"] == len(result.rows)
    assert place.left() == []


def test_terminal_that_is_closed_ends_it_in_order(place: Place, start: Callable[..., Terminal]) -> None:
    terminal = start("--plugin", "haproxy", "--duration", "3600", *place.ports)
    terminal.until(pinned_below("  client "))
    os.close(terminal.master)
    result = terminal.session.ended()
    assert (result.status, result.stderr, result.verdict) == (3, "", "ineffective")
    assert result.summary["exchanges"] == len(result.rows)
    assert place.left() == []


def test_dumb_terminal_gets_plain_lines(place: Place) -> None:
    master, slave = pty.openpty()
    environment = {**place.environment, "TERM": "dumb"}
    session = place.start(
        "--plugin", "haproxy", "--duration", "4", *place.ports, environment=environment, stdin=slave, stdout=slave
    )
    os.close(slave)
    terminal = Terminal(master, session)
    terminal.until_end()
    os.close(master)
    assert session.ended().status == 0
    assert "\x1b" not in terminal.screen.raw
    assert STATUS_LINE.fullmatch(terminal.screen.lines[-1])


def test_reader_that_goes_away_is_no_matter(place: Place) -> None:
    reader, writer = os.pipe()
    session = place.start("--plugin", "haproxy", "--duration", "4", *place.ports, stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:  # as head -1 does
        assert output.readline().startswith(b"haproxy:runtime: ")
    result = session.ended()
    assert (result.status, result.stderr) == (0, "")
    assert result.verdict in {"seamless", "graceful"}
    assert result.summary["exchanges"] == len(result.rows)
    assert max(row.time for row in result.rows) > 3_900_000
    assert place.left() == []


def test_output_that_takes_nothing_is_no_matter(place: Place) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    session = place.start("--plugin", "haproxy", "--duration", "4", *place.ports, stdout=full)
    os.close(full)
    result = session.ended()
    assert (result.status, result.stderr) == (0, "")
    assert result.summary["exchanges"] == len(result.rows)
    assert place.left() == []


def test_reader_that_does_not_read_does_not_stop_the_clients(place: Place) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\n" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))  # full before it starts
    fifo = place.folder / "rows"
    os.mkfifo(fifo)
    words = ("--plugin", "haproxy", "--duration", "3600", "--csv", str(fifo), *place.ports)
    session = place.start(*words, stdout=writer)
    os.close(writer)
    with fifo.open("rb", buffering=0) as rows:
        # Rows come all the same.
        lines = received = 0
        while data := receive(rows.fileno()):
            lines += data.count(b"\n")
            before, received = received, received + len(data)
            if before < WRITTEN <= received:
                session.signal(signal.SIGINT)
    with os.fdopen(reader, "rb") as output:
        said = output.read().decode("utf-8")
    result = session.ended()
    assert (result.status, result.stderr) == (3, "")
    assert STATUS_LINE.fullmatch(said.splitlines()[-1])
    assert received > WRITTEN
    assert result.summary["exchanges"] == lines - 1
    assert place.left() == []


#: Bytes of rows: some ten thousand, over more than a dozen drawings of the log.
WRITTEN = 3_000_000


def receive(descriptor: int) -> bytes:
    """Return what comes next, nothing at the end."""
    ready, _, _ = select.select([descriptor], [], [], TIMEOUT_S)
    assert ready, "no rows come"
    return os.read(descriptor, 65536)

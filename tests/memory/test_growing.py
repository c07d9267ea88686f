"""A file that grows, and what a proxy's log tells the history."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Said
from proxyreload.run.proxywords import LINE_LIMIT, LINES_PER_S, ProxyWords
from proxyreload.system import growing as growing_module
from proxyreload.system.clock import NS_PER_S
from proxyreload.system.growing import LINE_BYTES, READ_AT_ONCE, REST_S, Growing
from proxyreload.system.reactor import IReactor

from .clocks import START_NS, Readers, some_examples
from .connections import parts
from .happened import record


@attrs.define(eq=False)
class Log:
    """A file that is watched, and what has been read of it."""

    path: Path
    reactor: Readers = attrs.field(factory=Readers)
    read: list[bytes] = attrs.field(factory=list)
    growing: Growing = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        growing = Growing.of(cast(IReactor, self.reactor), self.path, self.read.extend)
        assert growing is not None
        self.growing = growing

    def write(self, data: bytes) -> None:
        """Let the other process write."""
        with self.path.open("ab") as file:
            file.write(data)

    def turn(self) -> None:
        """Let the reactor read what is readable, if it watches, and the rest be over."""
        for reader in tuple(self.reactor.watched):
            cast(Growing, reader).doRead()
        self.reactor.advance(REST_S)


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "output.log")
    yield log
    log.growing.close()


def test_only_what_is_written_from_now_on_is_read_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"before\n")
    log = Log(path)
    log.write(b"one\ntwo\nthr")
    log.turn()
    assert log.read == [b"one", b"two"]
    log.write(b"ee\n")
    log.turn()
    assert log.read == [b"one", b"two", b"three"]
    log.growing.close()


def test_the_kernel_says_when_it_is_written_to(log: Log) -> None:
    with pytest.raises(BlockingIOError):
        os.read(log.growing.fileno(), 100)
    log.write(b"one\n")
    assert os.read(log.growing.fileno(), 100)


def test_after_a_look_it_is_left_alone_for_a_while(log: Log) -> None:
    log.write(b"one\n")
    log.growing.doRead()
    assert log.reactor.watched == []
    log.write(b"two\n")
    log.reactor.advance(REST_S)
    assert log.reactor.watched == [log.growing]
    assert log.read == [b"one"]
    log.turn()
    assert log.read == [b"one", b"two"]


def test_of_what_is_written_without_end_only_the_latest_is_read(log: Log) -> None:
    log.write(b"x" * 9 + b"\n" + b"y" * (READ_AT_ONCE - 4) + b"\nold")
    log.write(b"z\n")
    log.turn()
    assert log.read[-1] == b"oldz"
    assert sum(map(len, log.read)) < READ_AT_ONCE


def test_a_line_without_end_is_handed_on_in_parts(log: Log) -> None:
    log.write(b"x" * (LINE_BYTES + 1))
    log.turn()
    assert log.read == [b"x" * (LINE_BYTES + 1)]
    log.write(b"y\n")
    log.turn()
    assert log.read[1:] == [b"y"]


def test_one_that_is_cut_off_is_read_from_where_it_begins_again(log: Log) -> None:
    log.write(b"one\ntwo")
    log.turn()
    os.truncate(log.path, 0)
    log.write(b"new\n")
    log.turn()
    assert log.read == [b"one", b"new"]


@some_examples
@given(text=st.binary(max_size=60).map(lambda text: text.replace(b"x", b"\n")), cuts=st.lists(st.integers(0, 60)))
def test_lines_are_the_same_in_whatever_pieces_they_are_written(
    text: bytes, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = Log(tmp_path_factory.mktemp("growing") / "output.log")
    for part in parts(text, cuts):
        log.write(part)
        log.turn()
    log.growing.close()
    assert log.read == text.split(b"\n")[:-1]


def test_closed_it_has_been_looked_at_once_more_and_nothing_is_left(log: Log) -> None:
    log.write(b"one\n")
    log.growing.connectionLost(Failure(ConnectionDone()))
    log.growing.close()
    log.growing.look()
    assert log.read == [b"one"]
    assert log.reactor.watched == []
    other = Log(log.path)
    other.growing.doRead()
    other.growing.close()
    assert other.reactor.watched == []
    assert other.reactor.getDelayedCalls() == []
    assert (other.growing.fileno(), other.growing.logPrefix()) == (-1, "growing")


def test_what_cannot_be_watched_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = cast(IReactor, Readers())
    assert Growing.of(reactor, tmp_path / "none" / "output.log", lambda _lines: None) is None

    class Libc:
        def inotify_init1(self, _flags: int) -> int:
            return -1

    monkeypatch.setattr(growing_module, "LIBC", Libc())
    assert Growing.of(reactor, tmp_path / "output.log", lambda _lines: None) is None
    monkeypatch.setattr(growing_module, "LIBC", None)
    assert Growing.of(reactor, tmp_path / "output.log", lambda _lines: None) is None


# What it tells.


def heard(*batches: list[bytes], apart_s: float = 0.0) -> list[Said]:
    """Return what is told of lines that come in batches."""
    bus, time = EventBus(), Readers()
    events = record(bus)
    words = ProxyWords(bus, time.ns)
    for batch in batches:
        words.heard(batch)
        time.advance(apart_s)
    return [event for event in events if isinstance(event, Said)]


def test_each_line_has_a_moment_of_its_own_not_before_it_was_read() -> None:
    assert heard([b"b", b"a"], [b"c"]) == [Said("b", START_NS), Said("a", START_NS + 1), Said("c", START_NS + 2)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"  plain \r", "plain"),
        (b"\x1b[1;31mred\x1b[0m words", "red words"),
        (b"2026/11/27 21:00:58 [notice] 7#7: exiting", "[notice] 7#7: exiting"),
        (b"2026-11-27T21:00:58.123Z INF it goes", "INF it goes"),
        (b"[2026-11-27 21:00:58,5+01:00] warning", "warning"),
        (b"2026/11/27 21:00:58", "2026/11/27 21:00:58"),  # it says nothing else
        (b"\x00\xff", "\\x00\N{REPLACEMENT CHARACTER}"),
        (b"x" * 500, "x" * LINE_LIMIT + "…"),
    ],
)
def test_a_line_is_printable_bounded_and_without_a_time_of_its_own(line: bytes, text: str) -> None:
    assert [said.text for said in heard([line])] == [text]


def test_empty_lines_are_none() -> None:
    assert heard([b"", b"  ", b"\x1b[0m"]) == []


def test_a_log_of_requests_is_passed_over() -> None:
    many = [b"line %d" % number for number in range(LINES_PER_S + 5)]
    assert len(heard(many, many)) == LINES_PER_S
    told = heard(many, [b"next"], apart_s=1)
    assert (len(told), told[-1]) == (LINES_PER_S + 1, Said("next", START_NS + NS_PER_S))


def test_what_is_written_to_a_log_is_told_until_it_is_closed(tmp_path: Path) -> None:
    bus, reactor = EventBus(), Readers()
    events = record(bus)
    words, path = ProxyWords(bus, reactor.ns), tmp_path / "output.log"
    words.close()
    words.listen(cast(IReactor, reactor), path)
    path.write_bytes(b"it goes\n")
    words.close()
    assert events == [Said("it goes", START_NS)]
    assert reactor.watched == []

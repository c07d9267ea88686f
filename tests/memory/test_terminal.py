"""The terminal: what must be shown is, the rest is counted."""

from collections.abc import Sequence

import attrs
import pytest
from zope.interface import implementer

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Broken,
    ConnectionChanged,
    Ending,
    Exchange,
    Phase,
    RateChanged,
    ReporterFailed,
    Started,
)
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.terminal import terminal as terminal_module
from proxyreload.terminal.display import IDisplay
from proxyreload.terminal.terminal import DRAW_INTERVAL_S, ORDINARY_LINES, Terminal
from proxyreload.verdict.counts import Counts

from .clocks import START_NS, Time
from .happened import change, exchange, failed, front_closed


@implementer(IDisplay)
@attrs.define(eq=False)
class Screen:
    """Keeps all lines and the latest status line."""

    lines: list[str] = attrs.field(factory=list)
    status: str = "nothing drawn yet"
    above: list[str] = attrs.field(factory=list)
    draws: int = 0
    closed: bool = False

    def show(self, lines: Sequence[str], status: str) -> None:
        self.lines += lines
        *self.above, self.status = status.split("\n")
        self.draws += 1

    def close(self) -> None:
        self.closed = True

    async def shown(self, _reactor: object) -> bool:
        return True


@attrs.define(eq=False)
class Room:
    """A terminal with all around it."""

    log: str = "all"
    ahead: str = ""
    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    counts: Counts = attrs.field(factory=Counts)
    screen: Screen = attrs.field(factory=Screen)
    terminal: Terminal = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.terminal = Terminal(
            self.screen, self.counts, self.log, "data.csv", self.time.ns, lambda _elapsed_s: self.ahead
        )
        self.terminal.subscribe(self.bus)
        self.bus.publish(Started(START_NS))

    def exchanges(self, *exchanges: Exchange) -> None:
        self.counts.add(exchanges)
        for each in exchanges:
            self.bus.exchanged(each)
        self.bus.flush()

    def drawn(self) -> list[str]:
        """Draw, and return the new lines."""
        self.screen.lines.clear()
        self.terminal.draw()
        return list(self.screen.lines)


@pytest.fixture(name="room")
def _room() -> Room:
    return Room()


def test_the_status_line_has_the_elapsed_time_and_the_four_counts(room: Room) -> None:
    room.exchanges(*[exchange()] * 3, failed("timeout"))
    room.time.advance(2)
    room.drawn()
    assert room.screen.status == "   2.0 s  success: 3 failure: 1 front changed: 0 back changed: 0"


def test_above_the_status_line_are_what_comes_next_and_the_rate(room: Room) -> None:
    room.ahead = "remove backend 0 in 3 s"
    room.exchanges(*[exchange(due_ns=START_NS, ended_ns=START_NS + ns(0.001))] * 4)
    room.time.advance(1)
    room.drawn()
    assert room.screen.above == ["remove backend 0 in 3 s  4/s  last second: p99 1.0 ms, max 1.0 ms"]


def test_what_is_pinned_fits_80_columns(room: Room) -> None:
    room.ahead = "remove backend 100 in 600 s"
    room.exchanges(*[exchange(due_ns=START_NS, ended_ns=START_NS + ns(0.9999))] * 10_000)
    room.counts.failure, room.counts.front_changed, room.counts.back_changed = 1000, 1000, 1000
    room.time.advance(1)
    room.drawn()
    assert max(map(len, [*room.screen.above, room.screen.status])) <= 80


def test_above_the_status_line_is_what_each_kind_lost_those_first_that_lost_something(room: Room) -> None:
    tallies = room.terminal.kinds
    tallies.add([exchange()] * 3)
    tallies.add([exchange(kind="fresh")])
    room.drawn()
    assert room.screen.above == ["0/s"]
    tallies.add([exchange(kind="idle"), failed("timeout", kind="aimed")])
    room.drawn()
    assert room.screen.above == ["0/s", "lost/sent: aimed 1/1  get 0/3  fresh 0/1  idle 0/1"]
    assert room.screen.status.startswith("   0.0 s  success: ")


def test_of_another_kind_the_log_and_the_last_failures_say_which(room: Room) -> None:
    room.exchanges(failed("timeout", client=7, kind="idle", plain=False), failed("refused", client=1))
    [idle, plain] = room.drawn()
    assert idle.endswith(" timeout  idle")
    assert plain.endswith(" refused")
    assert room.screen.above[0] == "last failures: 0.0 s client 1 refused, 0.0 s idle client 7 timeout"


def test_latencies_of_the_last_second_are_of_the_clients_asked_for_by_number(room: Room) -> None:
    room.exchanges(exchange(ended_ns=START_NS + ns(0.001)), exchange(ended_ns=START_NS + ns(5), plain=False))
    room.time.advance(1)
    room.drawn()
    assert room.screen.above[-1].endswith("last second: p99 1.0 ms, max 1.0 ms")


def test_before_the_clients_start_there_is_no_status_line() -> None:
    screen = Screen()
    Terminal(screen, Counts(), "all", "data.csv", Time().ns, lambda _s: "").draw()
    assert screen.status == ""


def test_the_rate_is_smoothed(room: Room) -> None:
    room.exchanges(*[exchange()] * 100)
    room.time.advance(1)
    room.drawn()
    room.time.advance(1)
    room.drawn()
    assert room.screen.above[-1].startswith("70/s  ")


def test_above_the_status_line_is_what_the_last_second_was_like(room: Room) -> None:
    room.exchanges(*[exchange(ended_ns=START_NS + ns(0.001 * number)) for number in range(1, 101)])
    room.drawn()
    assert room.screen.above == ["0/s"]
    room.time.advance(1)
    room.drawn()
    assert room.screen.above == ["100/s  last second: p99 99.0 ms, max 100.0 ms"]
    room.time.advance(1)
    room.drawn()
    assert room.screen.above == ["70/s  no answers in the last second"]


def test_above_the_status_line_are_the_last_failures(room: Room) -> None:
    room.exchanges(*[failed("timeout", client=number, ended_ns=START_NS + ns(number)) for number in range(5)])
    room.drawn()
    last = "last failures: 4.0 s client 4 timeout, 3.0 s client 3 timeout, 2.0 s client 2 timeout"
    assert room.screen.above == [last, "0/s"]


def test_with_no_log_there_are_the_status_line_and_what_comes_next() -> None:
    room = Room(log="none", ahead="add backend 2 in 1 s")
    room.exchanges(failed("timeout"))
    room.time.advance(1)
    room.drawn()
    assert room.screen.above == ["add backend 2 in 1 s  1/s"]


def test_another_rate_is_shown(room: Room) -> None:
    room.bus.publish(RateChanged(500, START_NS + ns(1)))
    room.bus.publish(RateChanged(None, START_NS + ns(2)))
    assert room.drawn() == ["   1.000000  rate: 500/s", "   2.000000  rate: closed loop"]


def test_an_exchange_is_a_line_in_columns(room: Room) -> None:
    room.exchanges(exchange(client=3, ended_ns=START_NS + ns(1.234567)))
    assert room.drawn() == ["   1.234567  client 3   front 40000  backend 0 back 50000     200"]


def test_the_probe_is_called_so(room: Room) -> None:
    room.exchanges(exchange(client=10, probe=True))
    assert "  probe 10  " in room.drawn()[0]


def test_of_ordinary_exchanges_a_few_are_shown_and_the_others_counted(room: Room) -> None:
    room.exchanges(*[exchange(number=n) for n in range(815)])
    lines = room.drawn()
    assert len(lines) == ORDINARY_LINES + 1
    assert lines[-1].strip() == f"… {815 - ORDINARY_LINES} more in data.csv"


def test_the_room_is_shared_by_all_batches_until_the_next_drawing(room: Room) -> None:
    for _ in range(4):
        room.exchanges(exchange(), exchange())
    lines = room.drawn()
    assert len(lines) == ORDINARY_LINES + 1
    assert lines[-1].strip() == f"… {8 - ORDINARY_LINES} more in data.csv"
    room.exchanges(exchange())
    assert [line[-3:] for line in room.drawn()] == ["200"]


def test_what_has_been_drawn_is_not_drawn_again(room: Room) -> None:
    room.exchanges(*[exchange()] * 10)
    room.drawn()
    assert room.drawn() == []


def test_every_failure_is_shown(room: Room) -> None:
    room.exchanges(*[exchange()] * 50, *[failed("timeout", number=n) for n in range(200)], *[exchange()] * 50)
    lines = room.drawn()
    assert sum(line.endswith("timeout") for line in lines) == 200
    assert lines[-1].strip() == f"… {100 - ORDINARY_LINES} more in data.csv"


def test_a_failure_has_its_class_and_message(room: Room) -> None:
    room.exchanges(failed("malformed response", message="Invalid status code"))
    assert room.drawn()[0].endswith("front 40000  backend - back -         malformed response: Invalid status code")


@pytest.mark.parametrize(
    ("front", "back", "note"),
    [(True, False, "front changed"), (False, True, "back changed"), (True, True, "front and back changed")],
)
def test_every_changed_connection_is_shown(room: Room, front: bool, back: bool, note: str) -> None:  # noqa: FBT001
    for _ in range(50):
        room.bus.publish(ConnectionChanged(exchange(), front, back))
    lines = room.drawn()
    assert len(lines) == 50
    assert lines[0].endswith(f"200  {note}")


def test_bytes_that_nobody_asked_for_are_shown(room: Room) -> None:
    room.bus.publish(attrs.evolve(front_closed(Ending.UNSOLICITED), message="HTTP/1.1 408"))
    room.bus.publish(front_closed(Ending.IDLE))
    [line] = room.drawn()
    assert line.endswith("client 0   front 40000  unasked bytes while idle: HTTP/1.1 408")


def test_a_failure_over_a_changed_connection_is_shown_once(room: Room) -> None:
    lost = failed("timeout", connection=1)
    room.exchanges(lost)
    room.bus.publish(ConnectionChanged(lost, front=True, back=False))
    assert len(room.drawn()) == 1


def test_every_step_of_a_change_is_shown(room: Room) -> None:
    room.bus.publish(change(Phase.REQUESTED, START_NS + ns(5)))
    room.bus.publish(change(Phase.APPLIED, START_NS + ns(5.25)))
    assert room.drawn() == [
        "   5.000000  change 1: add backend 2 (test:runtime) requested",
        "   5.250000  change 1: add backend 2 (test:runtime) applied",
    ]


def test_a_failed_change_is_shown_with_the_proxys_words(room: Room) -> None:
    room.bus.publish(change(Phase.FAILED, START_NS + ns(5), message="No such backend."))
    assert room.drawn() == ["   5.000000  change 1: add backend 2 (test:runtime) failed: No such backend."]


def test_what_broke_and_which_reporter_failed_are_shown(room: Room) -> None:
    room.bus.publish(Broken("the proxy died", START_NS + ns(5)))
    room.bus.publish(ReporterFailed("report: no space"))
    lines = room.drawn()
    assert lines[0] == "   5.000000  the proxy died"
    assert lines[1].strip() == "report: no space"


def test_what_breaks_before_the_start_has_no_time() -> None:
    screen, bus = Screen(), EventBus()
    terminal = Terminal(screen, Counts(), "all", "data.csv", Time().ns, lambda _s: "")
    terminal.subscribe(bus)
    bus.publish(Broken("the proxy died", START_NS))
    terminal.draw()
    assert [line.strip() for line in screen.lines] == ["the proxy died"]


def test_log_changes_leaves_ordinary_exchanges_out_and_does_not_count_them() -> None:
    room = Room(log="changes")
    room.exchanges(exchange(), failed("timeout"), exchange())
    room.bus.publish(change(Phase.REQUESTED, START_NS))
    lines = room.drawn()
    assert len(lines) == 2
    assert lines[0].endswith("timeout")


def test_log_none_leaves_the_status_line_and_what_broke() -> None:
    room = Room(log="none")
    room.exchanges(exchange(), failed("timeout"))
    room.bus.publish(change(Phase.REQUESTED, START_NS))
    room.bus.publish(ConnectionChanged(exchange(), front=True, back=False))
    room.bus.publish(Broken("the proxy died", START_NS))
    assert [line[-14:] for line in room.drawn()] == ["the proxy died"]
    assert "success: 1 failure: 1" in room.screen.status


def test_more_than_any_terminal_can_take_is_counted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_module, "MUST_SHOW_LIMIT", 20)
    room.exchanges(*[failed("refused") for _ in range(30)])
    lines = room.drawn()
    assert len(lines) == 21
    assert lines[-1].strip() == "… 10 more in data.csv"


def test_it_draws_at_even_intervals(room: Room) -> None:
    room.terminal.start(room.time)
    room.time.pump([DRAW_INTERVAL_S] * 4)
    assert room.screen.draws == 4


def test_stopping_shows_what_is_left_and_closes(room: Room) -> None:
    room.terminal.start(room.time)
    room.exchanges(failed("timeout"))
    room.terminal.stop()
    assert room.screen.lines[0].endswith("timeout")
    assert room.screen.closed
    assert room.time.getDelayedCalls() == []


def test_the_counts_are_the_last_line_that_stays(room: Room) -> None:
    room.exchanges(exchange(), failed("timeout", ended_ns=START_NS + NS_PER_MS))
    room.terminal.conclude(["verdict: lossy (1 failure: 1 timeout)"], START_NS + ns(15))
    room.terminal.stop()
    assert room.screen.lines[-2:] == [
        "verdict: lossy (1 failure: 1 timeout)",
        "  15.0 s  success: 1 failure: 1 front changed: 0 back changed: 0",
    ]
    assert room.screen.status == ""

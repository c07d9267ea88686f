"""Clients that rest, and all send at the first sign that connections are being closed."""

from typing import Any

import attrs
import pytest

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.volley import ARMED_WITHIN_S, Aimer, Volley
from proxyreload.history.events import Ending
from proxyreload.system.sockets import SocketGroup

from .clocks import Readers, Time
from .connections import KernelTransport, answer_bytes
from .kinds import Talk, small

GAP: dict[str, object] = {"gap": [100, 100]}


@attrs.define(eq=False)
class Group:
    """Four clients of a volley, each before a front of its own, all resting; the later ones' connections are newer."""

    time: Time = attrs.field(factory=Time)
    size: int = 4
    volley: Volley = attrs.field(factory=Volley)
    talks: list[Talk] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        for number in range(self.size):
            talk = small("aimed", GAP, number=number, time=self.time, volley=self.volley, timeout_s=1000)
            self.talks.append(talk)
            self.time.advance(1)
            talk.client.start()
            talk.front.answers()

    @property
    def sent(self) -> list[int]:
        """How many requests each has sent."""
        return [len(talk.front.requests) for talk in self.talks]

    def in_order(self) -> list[int]:
        """Return a list that takes the numbers of those that send, in order."""
        order: list[int] = []

        def noted(number: int, send: Any) -> Any:
            def sends(*arguments: Any) -> None:
                order.append(number)
                send(*arguments)

            return sends

        for number, talk in enumerate(self.talks):
            connection: Any = talk.front.wire.connection
            connection.send = noted(number, connection.send)
        return order


@pytest.fixture(name="group")
def _group() -> Group:
    return Group()


def test_they_rest(group: Group) -> None:
    group.time.advance(90)
    assert group.sent == [1, 1, 1, 1]
    assert group.volley.fired == 0


def test_without_a_sign_each_sends_when_its_rest_is_over(group: Group) -> None:
    group.time.pump([1] * 97)
    assert group.sent == [2, 1, 1, 1]


def test_the_first_closing_makes_all_others_send_at_once_the_newest_first(group: Group) -> None:
    order = group.in_order()
    group.talks[1].front.wire.closes()
    assert order == [3, 2, 0]
    assert group.sent == [2, 1, 2, 2]
    assert group.volley.fired == 3
    assert [closed.ending for closed in group.talks[1].front_closed] == [Ending.IDLE]


def test_so_does_a_reset(group: Group) -> None:
    group.talks[0].front.wire.resets()
    assert group.sent == [1, 2, 2, 2]


def test_so_does_a_closing_that_cuts_a_request(group: Group) -> None:
    group.time.pump([1] * 97)
    assert group.sent == [2, 1, 1, 1]
    group.talks[0].front.wire.closes()
    assert group.sent == [2, 2, 2, 2]


def test_so_does_an_answer_that_says_that_it_closes(group: Group) -> None:
    group.time.pump([1] * 97)
    order = group.in_order()
    group.talks[0].front.answers(extra=b"Connection: close\r\n")
    assert order == [3, 2, 1]
    assert [closed.ending for closed in group.talks[0].front_closed] == [Ending.ANNOUNCED]


def test_an_answer_that_does_not_is_no_sign(group: Group) -> None:
    group.time.pump([1] * 97)
    group.talks[0].front.answers()
    assert group.sent == [2, 1, 1, 1]


def test_more_closings_make_nobody_send_twice(group: Group) -> None:
    group.talks[1].front.wire.closes()
    group.talks[0].front.wire.closes()
    group.talks[2].front.wire.closes()
    assert group.volley.fired == 3
    # Those two had sent: it is what they lost, and they rest before the next.
    assert [len(talk.exchanges) for talk in group.talks] == [2, 1, 2, 1]


def test_a_closing_that_is_seen_while_they_look_fires_nobody_again(group: Group) -> None:
    connection: Any = group.talks[3].front.wire.connection

    def sees(_payload: bytes, _pending: object) -> None:
        del connection.send
        group.talks[3].front.wire.closes()

    connection.send = sees
    group.talks[1].front.wire.closes()
    assert group.sent == [2, 1, 2, 2]
    assert group.volley.fired == 2 + 1  # whose request went over a new connection
    assert [exchange.failure for talk in group.talks for exchange in talk.exchanges] == [""] * 4


def test_they_are_armed_again(group: Group) -> None:
    group.talks[1].front.wire.closes()
    for talk in group.talks:
        talk.front.answers()
    group.talks[2].front.wire.closes()
    assert group.sent == [3, 1, 2, 3]
    assert group.volley.fired == 5


def test_who_has_lost_its_connection_is_armed_again_soon(group: Group) -> None:
    lost = group.talks[1].front
    lost.wire.closes()
    assert len(lost.requests) == 1
    group.time.advance(ARMED_WITHIN_S[0] / 2)
    assert len(lost.requests) == 1
    group.time.advance(ARMED_WITHIN_S[1])
    assert len(lost.requests) == 2
    lost.answers()
    group.talks[0].front.wire.closes()
    assert len(lost.requests) == 3


def test_who_has_lost_its_request_is_armed_again_soon(group: Group) -> None:
    group.talks[1].front.wire.closes()
    lost = group.talks[0].front
    lost.wire.closes()
    group.time.advance(ARMED_WITHIN_S[1])
    assert len(lost.requests) == 3


def test_after_the_stop_nobody_sends(group: Group) -> None:
    for talk in group.talks:
        talk.client.stop()
    group.talks[1].front.wire.closes()
    group.time.advance(1000)
    assert group.sent == [1, 1, 1, 1]
    assert group.volley.fired == 0
    assert group.time.getDelayedCalls() == []


def test_who_has_stopped_while_others_have_not_sends_nothing(group: Group) -> None:
    group.talks[2].client.stop()
    group.talks[1].front.wire.closes()
    assert group.sent == [2, 1, 1, 2]


def test_a_volleys_requests_have_their_rests_behind_them(group: Group) -> None:
    group.talks[1].front.wire.closes()
    group.talks[3].front.answers()
    group.time.advance(99)
    assert group.sent[3] == 2
    group.time.advance(1)
    assert group.sent[3] == 3


def test_who_has_seen_its_own_end_sends_nothing_over_it() -> None:
    time = Readers()
    group = SocketGroup.on(time, time.ns)
    assert group is not None
    transports = [KernelTransport(40000 + number) for number in range(4)]
    volley = Volley()
    talks = [small("aimed", GAP, number=number, time=time, volley=volley, timeout_s=1000) for number in range(3)]

    def careful(owner: Any, *_others: object) -> HTTP11Connection:
        connection = HTTP11Connection(owner, time.ns, time.ns(), group)
        connection.careful = True
        return connection

    try:
        for number, talk in enumerate(talks):
            talk.front.kind = careful  # type: ignore[assignment]
            talk.front.transports.append(transports[number])
            talk.client.start()
            transports[number].protocol = talk.front.wire.connection
            assert transports[number].arrived() == b"GET %d-0!\n" % number
            talk.front.wire.answered = 1
            talk.front.wire.says(answer_bytes(b"%d-0" % number))
            assert talk.outcomes == [""]
        talks[1].front.transports.append(transports[3])
        # The proxy closes two of them: the first is read, and the second has not been when it looks.
        transports[0].far.close()
        transports[1].far.close()
        group._work(group._read([(transports[0].near.fileno(), 1)]))
        assert transports[2].arrived() == b"GET 2-1!\n"
        assert volley.fired == 1
        assert talks[1].outcomes == [""]
        group.doRead()  # and now it has been
        assert [closed.ending for closed in talks[1].front_closed] == [Ending.IDLE]
        assert transports[3].arrived() == b"GET 1-1!\n"
        assert talks[1].exchanges[-1].number == 0
    finally:
        group.close()
        for transport in transports:
            transport.release()


def test_each_of_them_is_of_the_volley(group: Group) -> None:
    volley: list[object] = [*group.volley.clients]
    assert volley == [talk.client for talk in group.talks]
    assert all(isinstance(talk.client, Aimer) for talk in group.talks)

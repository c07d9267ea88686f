"""Alarms that ring once, when they were set to."""

import os
from typing import cast

import pytest
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import Clock

from proxyreload.system.alarm import IAlarm, ReactorAlarm, TimerAlarm, alarm

from .clocks import Readers


def test_a_reactor_without_descriptors_has_its_own_timers() -> None:
    assert isinstance(alarm(Clock(), lambda: None), ReactorAlarm)


def rings() -> tuple[Clock, IAlarm, list[float]]:
    """Return an alarm of the reactor's timers and when it has rung."""
    clock, rung = Clock(), list[float]()
    return clock, alarm(clock, lambda: rung.append(clock.seconds())), rung


def test_it_rings_once() -> None:
    clock, set_one, rung = rings()
    set_one.set(500_000_000)
    clock.pump([0.25] * 8)
    assert rung == [0.5]


def test_setting_it_anew_takes_the_place_of_the_time_before() -> None:
    clock, set_one, rung = rings()
    set_one.set(500_000_000)
    set_one.set(1_000_000_000)
    clock.pump([0.25] * 8)
    assert rung == [1.0]


def test_a_time_that_has_passed_rings_at_the_next_turn() -> None:
    clock, set_one, rung = rings()
    set_one.set(-5)
    assert rung == []
    clock.advance(0)
    assert rung == [0.0]


def test_closed_it_does_not_ring() -> None:
    clock, set_one, rung = rings()
    set_one.set(500_000_000)
    set_one.close()
    set_one.close()
    clock.advance(1)
    assert rung == []


def timer() -> tuple[Readers, TimerAlarm, list[int]]:
    """Return an alarm whose timer is a pipe, and how often it has rung."""
    reactor, rung = Readers(), list[int]()
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    set_one = TimerAlarm(cast(IReactorFDSet, reactor), lambda: rung.append(1), reading)
    os.write(writing, b"8 bytes.")
    os.close(writing)
    return reactor, set_one, rung


def test_a_timer_is_watched_by_the_reactor_until_it_is_closed() -> None:
    reactor, set_one, _rung = timer()
    assert reactor.watched == [set_one]
    set_one.close()
    set_one.close()
    assert reactor.watched == []
    assert set_one.fileno() == -1


def test_a_timer_rings_when_it_is_read() -> None:
    _reactor, set_one, rung = timer()
    set_one.doRead()
    set_one.close()
    assert rung == [1]


def test_a_timer_that_was_set_anew_meanwhile_does_not_ring() -> None:
    reactor, rung = Readers(), list[int]()
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    set_one = TimerAlarm(cast(IReactorFDSet, reactor), lambda: rung.append(1), reading)
    set_one.doRead()
    set_one.close()
    os.close(writing)
    assert rung == []


@pytest.mark.parametrize("delay_ns", [1, 0, -5])
def test_a_timer_of_the_kernels_rings_even_for_what_is_past(delay_ns: int) -> None:
    rung = list[int]()
    reactor = Readers()
    set_one = alarm(cast(IReactorTime, reactor), lambda: rung.append(1))
    assert isinstance(set_one, TimerAlarm)
    os.set_blocking(set_one.fileno(), True)
    set_one.set(delay_ns)
    set_one.doRead()
    set_one.close()
    assert rung == [1]

"""What the instrument itself runs out of, and that this is said as such."""

import errno
import resource

import pytest
from twisted.internet.error import ConnectBindError, getConnectError
from twisted.logger import Logger
from twisted.python.failure import Failure

from proxyreload.backend.accepting import AcceptWatch
from proxyreload.client.outcome import connection_failure
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, EndedEarly, Event, ScheduleKept
from proxyreload.history.failures import CONNECT_ERROR, OWN_LIMIT
from proxyreload.system.clock import ns
from proxyreload.system.descriptors import require_descriptors
from proxyreload.verdict.judgement import Verdict, judge

from .clocks import START_NS, Time
from .happened import record
from .test_judgement import Story

INFINITY = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Give limits of (64, 512), the last one the current."""
    told = [(64, 512)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: told[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limit: told.append(limit))
    return told


def test_the_soft_limit_is_raised_as_far_as_is_needed(limits: list[tuple[int, int]]) -> None:
    require_descriptors(300)
    assert limits[-1] == (300, 512)


def test_what_is_enough_is_left_alone(limits: list[tuple[int, int]]) -> None:
    require_descriptors(64)
    limits.append((INFINITY, INFINITY))
    require_descriptors(10**6)
    assert limits == [(64, 512), (INFINITY, INFINITY)]


def test_beyond_the_hard_limit_is_refused(limits: list[tuple[int, int]]) -> None:
    with pytest.raises(UsageError, match="may need 513 open files and sockets, but no more than 512 are allowed"):
        require_descriptors(513)
    assert len(limits) == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])
def test_what_this_host_has_no_more_of_is_no_doing_of_the_proxys(number: int) -> None:
    for error in (getConnectError((number, "no more")), ConnectBindError(number, "no more")):
        assert connection_failure(Failure(error))[0] == OWN_LIMIT


def test_no_route_is_another_matter() -> None:
    assert connection_failure(Failure(getConnectError((errno.EHOSTUNREACH, "no route"))))[0] == CONNECT_ERROR


def test_a_run_that_met_its_own_limit_is_invalid_however_much_was_lost() -> None:
    story = Story().answers("0", "1")
    story.fails("reset before response, reused", OWN_LIMIT)
    judgement = story.judged()
    assert judgement.verdict is Verdict.INVALID
    assert judgement.reasons == ("proxyreload itself had no descriptor, port or memory left for 1 exchange",)


def test_a_run_that_ended_early_proves_nothing() -> None:
    story = Story().answers("0", "1")
    story.observation.take(EndedEarly, [EndedEarly(ns(0.3), 60, START_NS)])
    judgement = judge(story.observation)
    assert judgement.verdict.exit_status is ExitStatus.INVALID
    assert judgement.reasons == ("the run was ended early, after 0.3 of 60 s",)


def test_but_what_it_saw_is_said() -> None:
    story = Story().answers("0", "1")
    story.fails("refused")
    story.observation.take(EndedEarly, [EndedEarly(ns(0.3), 60, START_NS)])
    assert story.judged().reasons[1:] == ("1 failure: 1 refused",)


def test_a_run_most_of_whose_requests_were_never_sent_is_invalid() -> None:
    story = Story().answers("0", "1")
    story.observation.take(ScheduleKept, [ScheduleKept(1482, 0, 0, {}, 0, START_NS, 1346)])
    judgement = judge(story.observation)
    assert judgement.verdict is Verdict.INVALID
    assert judgement.reasons == ("1346 of 1482 requests that were due were never sent",)


@pytest.fixture
def watched() -> tuple[AcceptWatch, EventBus, list[Event]]:
    """Give a watch, its bus and what it told."""
    bus = EventBus()
    return AcceptWatch(bus, Time().ns), bus, record(bus)


def test_a_connection_that_could_not_be_accepted_is_told_once(
    watched: tuple[AcceptWatch, EventBus, list[Event]],
) -> None:
    watch, _bus, events = watched
    log = Logger("twisted.internet.tcp.Port")
    watch.start()
    try:
        log.info("EMFILE encountered; releasing reserved file descriptor.")
        log.info("Could not accept new connection ({acceptError})", acceptError="ENOBUFS")
    finally:
        watch.stop()
    log.info("Could not accept new connection ({acceptError})", acceptError="ENOBUFS")
    reason = "a backend could not accept a connection: proxyreload itself has no more to give (EMFILE)"
    assert events == [Broken(reason, START_NS)]


def test_other_news_of_sockets_are_none(watched: tuple[AcceptWatch, EventBus, list[Event]]) -> None:
    watch, _bus, events = watched
    watch({"log_namespace": "twisted.internet.tcp.Port", "log_format": "{factory} starting on {port}"})
    watch({"log_namespace": "somebody.else", "log_format": "EMFILE"})
    watch({})
    assert events == []

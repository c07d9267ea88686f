"""What the traffic shows of each change."""

import pytest

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Arrival,
    BackClosed,
    Broken,
    ConnectionChanged,
    Ended,
    Ending,
    FrontClosed,
    Phase,
    Started,
    Stopping,
)
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.verdict.phases import SETTLE_NS

from .clocks import START_NS
from .happened import change, exchange, failed, record
from .observing import observed


class Watched:
    """An observation and the bus it watches, with times in seconds since the start."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.observation = observed(self.bus)
        self.bus.publish(Started(START_NS))

    def answers(
        self, instance: str, at_s: float, number: int = 1, *, probe: bool = False, latency_s: float = 0
    ) -> None:
        for _ in range(number):
            at_ns = START_NS + ns(at_s)
            times = {"written_ns": at_ns, "ended_ns": at_ns, "due_ns": at_ns - ns(latency_s)}
            self.bus.exchanged(exchange(instance=instance, probe=probe, **times))

    def fails(self, failure: str, written_s: float, ended_s: float) -> None:
        """Let a request fail later than it was written."""
        self.bus.exchanged(failed(failure, written_ns=START_NS + ns(written_s), ended_ns=START_NS + ns(ended_s)))

    def front_closes(self, ending: Ending, at_s: float = 0, *, probe: bool = False) -> None:
        self.bus.publish(FrontClosed(0, 0, 40000, 5, ending, START_NS + ns(at_s), probe))

    def back_closes(self, instance: str, at_s: float = 0, *, probe_only: bool = False) -> None:
        self.bus.publish(BackClosed(instance, 50000, 5, probe_only, START_NS + ns(at_s)))

    def changes(self, phase: Phase, at_s: float, action: str = "add", instance: str = "2", number: int = 1) -> None:
        self.bus.publish(change(phase, START_NS + ns(at_s), action, instance, number))

    def ends(self, at_s: float) -> None:
        self.bus.publish(Ended(START_NS + ns(at_s)))


@pytest.fixture(name="watched")
def _watched() -> Watched:
    return Watched()


def test_answers_are_counted_by_backend(watched: Watched) -> None:
    watched.answers("0", 1, 3)
    watched.answers("1", 1, 2)
    watched.bus.exchanged(failed("timeout"))
    watched.bus.flush()
    assert watched.observation.answers_by_instance == {"0": 3, "1": 2}


def test_arrivals_are_counted_by_backend_from_the_start_of_the_clients() -> None:
    bus = EventBus()
    observation = observed(bus)
    bus.arrived(Arrival("0", "b0-0", 50000, 0, START_NS - 2))
    bus.publish(Started(START_NS))
    for request_id in ("0-0", "0-1", "p1-0", ""):
        bus.arrived(Arrival("1", request_id, 50000, 0, START_NS + 1))
    bus.arrived(Arrival("1", "b1-7", 50000, 0, START_NS - 1))  # told late: it came before the clients started
    bus.arrived(Arrival("1", "0-1", 50000, 0, START_NS + 1, START_NS + 2, again=True))
    bus.flush()
    assert observation.arrivals_by_instance == {"1": 3}


def test_start_and_end_are_noted(watched: Watched) -> None:
    watched.ends(10)
    observation = watched.observation
    assert observation.ended_ns - observation.started_ns == ns(10)


def test_what_broke_is_noted(watched: Watched) -> None:
    watched.bus.publish(Broken("the proxy died", START_NS))
    assert watched.observation.broken == ["the proxy died"]


def test_a_changed_connection_is_published_after_its_exchange() -> None:
    bus = EventBus()
    observed(bus)
    events = record(bus)
    first, second = exchange(), exchange(connection=1)
    bus.exchanged(first)
    bus.exchanged(second)
    bus.flush()
    assert events == [first, second, ConnectionChanged(second, front=True, back=False)]


def test_an_added_backends_first_answer_is_kept(watched: Watched) -> None:
    watched.answers("0", 1, 10)
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 2.5)
    watched.answers("2", 3)
    watched.answers("2", 4)
    watched.ends(5)
    [added] = watched.observation.changes
    assert (added.requested_ns, added.applied_ns) == (START_NS + ns(2), START_NS + ns(2.5))
    assert (added.first_answer_ns, added.answers) == (START_NS + ns(3), 2)


def test_an_added_backends_answer_counts_even_before_the_proxy_says_it_is_applied(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.answers("2", 2.25)
    watched.changes(Phase.APPLIED, 2.5)
    watched.ends(5)
    assert watched.observation.changes[0].first_answer_ns == START_NS + ns(2.25)


def test_what_a_backend_still_ended_from_before_does_not_show_that_it_was_added_again(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 2.5)
    times = {"written_ns": START_NS + ns(1), "due_ns": START_NS + ns(1), "first_byte_ns": START_NS + ns(1.1)}
    watched.bus.exchanged(exchange(instance="2", long=True, ended_ns=START_NS + ns(3), **times))
    watched.bus.exchanged(failed("truncated", instance="2", long=True, ended_ns=START_NS + ns(3), **times))
    watched.bus.flush()
    [added] = watched.observation.changes
    assert (added.answers, added.effective_ns) == (0, 0)
    watched.answers("2", 3.5)
    watched.ends(5)
    assert (added.answers, added.effective_ns) == (1, START_NS + ns(3.5))


def test_the_probes_answer_shows_an_added_backend(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 2.5)
    watched.answers("2", 3, probe=True)
    watched.ends(5)
    assert watched.observation.changes[0].answers == 1


def removed(watched: Watched) -> None:
    """Let backend 0 give a quarter of the answers until it is removed at 2 s, and one that comes late."""
    watched.answers("0", 1, 5)
    watched.answers("1", 1, 15)
    watched.changes(Phase.REQUESTED, 2, "remove", "0")
    watched.answers("0", 2.25, 2)
    watched.changes(Phase.APPLIED, 2.5, "remove", "0")
    watched.answers("0", 2.75)
    watched.answers("1", 3, 40)
    watched.ends(5)


def test_a_removed_backends_part_of_the_answers_before_is_kept(watched: Watched) -> None:
    removed(watched)
    assert watched.observation.changes[0].share_before == 0.25


def test_a_removed_backends_last_answer_is_kept(watched: Watched) -> None:
    removed(watched)
    assert watched.observation.changes[0].last_answer_ns == START_NS + ns(2.75)


def test_stragglers_are_a_removed_backends_answers_after_the_proxy_said_it_was_out(watched: Watched) -> None:
    removed(watched)
    [change_] = watched.observation.changes
    assert (change_.answers, change_.stragglers) == (3, 1)


def test_silence_is_how_many_answers_others_gave_since_its_last(watched: Watched) -> None:
    removed(watched)
    assert watched.observation.changes[0].silence == 40


def test_the_silence_of_a_removed_backend_ends_when_it_is_added_again(watched: Watched) -> None:
    watched.answers("0", 1)
    watched.changes(Phase.REQUESTED, 2, "remove", "0")
    watched.changes(Phase.APPLIED, 2, "remove", "0")
    watched.answers("1", 3, 30)
    watched.changes(Phase.REQUESTED, 4, "add", "0", 2)
    watched.changes(Phase.APPLIED, 4, "add", "0", 2)
    watched.answers("0", 5, 4)
    watched.ends(6)
    first, second = watched.observation.changes
    assert (first.silence, first.answers) == (30, 0)
    assert second.answers == 4


def test_a_window_goes_from_one_request_of_a_change_to_the_next(watched: Watched) -> None:
    watched.answers("0", 1, 3)
    watched.changes(Phase.REQUESTED, 2)
    watched.answers("0", 3, 5)
    watched.fails("timeout", 3, 3)
    watched.changes(Phase.REQUESTED, 4, "remove", "0", 2)
    watched.fails("timeout", 4, 4.5)
    watched.fails("refused", 4, 4.5)
    watched.ends(5)
    first, second = watched.observation.changes
    assert (first.exchanges, first.failures) == (6, {"timeout": 1})
    assert (second.exchanges, second.failures) == (2, {"timeout": 1, "refused": 1})


def test_a_refusal_keeps_the_proxys_own_words(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.bus.publish(change(Phase.FAILED, START_NS + ns(3), message="No such backend."))
    [refused] = watched.observation.changes
    assert (refused.applied_ns, refused.refused) == (0, "No such backend.")


# Connections that the proxy closed.


def test_front_connections_are_counted_by_how_they_ended(watched: Watched) -> None:
    for ending in (Ending.IDLE, Ending.IDLE, Ending.ANNOUNCED):
        watched.front_closes(ending, 0.5)
    before = watched.observation.before
    assert (before.front, before.front_total) == ({Ending.IDLE: 2, Ending.ANNOUNCED: 1}, 3)


def test_closed_connections_belong_to_the_window_they_fall_in(watched: Watched) -> None:
    watched.front_closes(Ending.IDLE, 0.5)
    watched.changes(Phase.REQUESTED, 2)
    watched.front_closes(Ending.IDLE, 2.5)
    watched.back_closes("1", 2.5)
    observation = watched.observation
    assert (observation.before.front_total, observation.before.back) == (1, 0)
    assert (observation.changes[0].closures.front_total, observation.changes[0].closures.back) == (1, 1)


def test_the_probes_front_connections_do_not_count(watched: Watched) -> None:
    watched.front_closes(Ending.IDLE, 0.5, probe=True)
    assert watched.observation.before.front == {}


def test_backend_connections_that_carried_the_probe_alone_do_not_count(watched: Watched) -> None:
    watched.back_closes("1", 0.5, probe_only=True)
    assert watched.observation.before.back == 0


def test_the_removed_backends_connections_do_not_count(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2, "remove", "0")
    watched.back_closes("0", 2.5)
    watched.changes(Phase.APPLIED, 3, "remove", "0")
    watched.back_closes("0", 3.5)
    watched.back_closes("1", 3.5)
    assert watched.observation.changes[0].closures.back == 1


def test_the_removed_backends_connections_do_not_count_in_later_windows(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2, "remove", "0")
    watched.changes(Phase.APPLIED, 3, "remove", "0")
    watched.changes(Phase.REQUESTED, 4, "add", "2", 2)
    watched.back_closes("0", 4.5)
    assert watched.observation.changes[1].closures.back == 0


def test_a_backend_whose_removal_was_refused_counts_like_any_other(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2, "remove", "0")
    watched.bus.publish(change(Phase.FAILED, START_NS + ns(3), "remove", "0", message="no"))
    watched.back_closes("0", 3.5)
    assert watched.observation.changes[0].closures.back == 1


def test_a_backend_that_was_added_again_counts_like_any_other(watched: Watched) -> None:
    for phase in (Phase.REQUESTED, Phase.APPLIED):
        watched.changes(phase, 2, "remove", "0")
    for phase in (Phase.REQUESTED, Phase.APPLIED):
        watched.changes(phase, 4, "add", "0", 2)
    watched.back_closes("0", 4.5)
    assert watched.observation.changes[1].closures.back == 1


def test_what_closes_before_the_clients_start_does_not_count() -> None:
    bus = EventBus()
    observation = observed(bus)
    bus.publish(BackClosed("1", 50000, 5, probe_only=False, closed_ns=START_NS))
    assert observation.before.back == 0


def test_what_closes_after_the_end_is_the_runs_own_doing(watched: Watched) -> None:
    watched.ends(5)
    watched.front_closes(Ending.IDLE, 5.5)
    watched.back_closes("1", 5.5)
    before = watched.observation.before
    assert (before.front, before.back) == ({}, 0)


def test_what_a_proxy_closes_behind_clients_that_stop_is_no_doing_of_its(watched: Watched) -> None:
    watched.back_closes("1", 4)
    watched.bus.publish(Stopping(START_NS + ns(4.5)))
    watched.back_closes("1", 5)
    watched.ends(6)
    assert watched.observation.before.back == 1


# Latencies.


def test_latencies_are_kept_apart_before_around_and_after_each_change(watched: Watched) -> None:
    watched.answers("0", 1, 3)
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 3)
    watched.answers("0", 3.5, 2)
    watched.bus.flush()
    watched.answers("0", 3 + SETTLE_NS / NS_PER_S + 0.5, 4)
    watched.changes(Phase.REQUESTED, 6, "remove", "0", 2)
    watched.answers("0", 7, 5)
    watched.ends(8)
    phases = [(phase.name, phase.latency.count) for phase in watched.observation.phases]
    assert phases == [("before", 3), ("around 1", 2), ("after 1", 4), ("around 2", 5)]


def test_a_change_that_is_not_applied_yet_has_no_after(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.answers("0", 60)
    watched.bus.flush()
    assert [phase.name for phase in watched.observation.phases] == ["before", "around 1"]


def test_failures_and_the_probe_have_no_latency(watched: Watched) -> None:
    watched.bus.exchanged(failed("timeout"))
    watched.answers("0", 1, probe=True)
    watched.bus.flush()
    assert watched.observation.phases[0].latency.count == 0


def test_latency_is_counted_from_when_the_request_was_due(watched: Watched) -> None:
    watched.answers("0", 1, latency_s=0.25)
    watched.bus.flush()
    assert watched.observation.phases[0].latency.max_us == pytest.approx(250_000, rel=1e-3)


def opened(watched: Watched, opened_s: float, ended_s: float, failure: str = "") -> None:
    """Let there be an answer over a connection that was opened then."""
    times = {"written_ns": START_NS + ns(opened_s) + 1000, "connect_ns": 1000, "ended_ns": START_NS + ns(ended_s)}
    watched.bus.exchanged(failed(failure, **times) if failure else exchange(**times))


def test_a_reload_is_seen_by_the_first_answer_over_a_connection_that_was_opened_after_it(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 1, "reload", "")
    opened(watched, 1.05, 1.06)
    watched.changes(Phase.APPLIED, 1.1, "reload", "")
    (change,) = watched.observation.changes
    watched.answers("0", 1.2)  # over a connection from before
    opened(watched, 1.05, 1.3)  # opened before it was applied
    opened(watched, 1.35, 1.4, "refused")
    watched.bus.flush()
    assert (change.name, change.answers, change.effective_ns) == ("reload", 0, 0)
    opened(watched, 1.5, 1.6)
    opened(watched, 1.7, 1.8)
    watched.bus.flush()
    assert (change.answers, change.effective_ns) == (1, START_NS + ns(1.6))


# By when it happened.


def test_a_loss_belongs_to_the_change_in_whose_window_its_request_was_written(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 1, number=1)
    watched.changes(Phase.REQUESTED, 3, number=2)
    watched.fails("timeout", 2, 7)  # rang long after the next change
    watched.ends(8)
    first, second = watched.observation.changes
    assert (first.failures, first.exchanges) == ({"timeout": 1}, 1)
    assert (second.failures, second.exchanges) == ({}, 0)


def test_what_was_never_written_belongs_to_the_window_in_which_its_connection_was_begun(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 1, number=1)
    watched.changes(Phase.REQUESTED, 3, number=2)
    late = failed("connect timeout", connection=-1, written_ns=0, connect_ns=ns(4), ended_ns=START_NS + ns(6))
    watched.bus.exchanged(late)
    watched.ends(8)
    first, second = watched.observation.changes
    assert (first.failures, second.failures) == ({"connect timeout": 1}, {})


def test_a_loss_from_before_the_first_change_is_no_changes(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.fails("timeout", 1, 3)
    watched.ends(4)
    observation = watched.observation
    assert (observation.changes[0].failures, observation.counts.failure) == ({}, 1)


@pytest.mark.parametrize(
    ("opened_s", "written_s", "status", "outdated"),
    [
        (1.0, 5, 503, 1),
        (1.0, 5, 0, 0),  # nobody answered
        (1.0, 3.5, 503, 0),  # before the change was applied
        (2.5, 5, 503, 0),  # opened when the change was requested already
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_what_is_answered_over_a_connection_from_before_a_change_is_told_apart(
    watched: Watched, opened_s: float, written_s: float, status: int, outdated: int, *, plain: bool
) -> None:
    opening = exchange(plain=plain, connect_ns=NS_PER_MS, written_ns=START_NS + ns(opened_s) + NS_PER_MS)
    lost = failed("status", plain=plain, carried=1, status=status, written_ns=START_NS + ns(written_s))
    anew = exchange(plain=plain, connection=1, connect_ns=1, written_ns=START_NS + ns(written_s + 1))
    watched.bus.exchanged(opening)
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 4)
    for each in (lost, anew):  # in one batch
        watched.bus.exchanged(each)
    watched.ends(8)
    assert watched.observation.changes[0].outdated == outdated


@pytest.mark.parametrize(("at_s", "counted"), [(1.999, (1, 0)), (2.001, (0, 1))])
def test_what_closed_before_a_change_was_requested_cannot_count_against_it(
    watched: Watched, at_s: float, counted: tuple[int, int]
) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.back_closes("1", at_s)
    watched.front_closes(Ending.IDLE, at_s)
    observation = watched.observation
    assert (observation.before.back, observation.changes[0].closures.back) == counted
    assert (observation.before.front_total, observation.changes[0].closures.front_total) == counted


def test_a_batch_that_lasts_longer_than_a_changes_surroundings_is_divided(watched: Watched) -> None:
    watched.changes(Phase.REQUESTED, 2)
    watched.changes(Phase.APPLIED, 3)
    watched.answers("0", 3.5, 2)
    watched.answers("0", 3 + SETTLE_NS / NS_PER_S + 0.5, 4)  # in one batch with those before
    watched.ends(8)
    phases = [(phase.name, phase.latency.count) for phase in watched.observation.phases]
    assert phases == [("before", 0), ("around 1", 2), ("after 1", 4)]

"""Verdicts, and that none is given without proof."""

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import ExitStatus
from proxyreload.history.bus import EventBus
from proxyreload.history.events import BackClosed, Broken, Ended, Ending, FrontClosed, Phase, Started
from proxyreload.system.clock import ns
from proxyreload.verdict.judgement import (
    CHANCE_OF_SILENCE,
    Judgement,
    Verdict,
    by_class,
    detection_limit,
    judge,
    judge_change,
    judge_closures,
    worst,
)

from .clocks import START_NS, some_examples
from .happened import change, exchange, failed, front_closed
from .observing import observed


class Story:
    """A run told as it may have gone: backends 0 and 1, then changes."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.observation = observed(self.bus)
        self.bus.publish(Started(START_NS))
        self.now_s = 0.0
        self.changes = 0

    def answers(self, *instances: str, number: int = 100) -> "Story":
        """Let these backends answer so often each, in turn."""
        for _ in range(number):
            for instance in instances:
                self.now_s += 0.001
                at_ns = START_NS + ns(self.now_s)
                self.bus.exchanged(exchange(instance=instance, written_ns=at_ns, ended_ns=at_ns))
        return self

    def requested(self, action: str, instance: str) -> "Story":
        self.changes += 1
        self.now_s += 0.1
        self.bus.publish(change(Phase.REQUESTED, START_NS + ns(self.now_s), action, instance, self.changes))
        return self

    def applied(self, action: str, instance: str) -> "Story":
        self.now_s += 0.1
        self.bus.publish(change(Phase.APPLIED, START_NS + ns(self.now_s), action, instance, self.changes))
        return self

    def refused(self, action: str, instance: str, words: str) -> "Story":
        self.bus.publish(change(Phase.FAILED, START_NS + ns(self.now_s), action, instance, self.changes, message=words))
        return self

    def changed(self, action: str, instance: str) -> "Story":
        """Carry a change out."""
        return self.requested(action, instance).applied(action, instance)

    def fails(self, *failures: str) -> "Story":
        for failure in failures:
            self.bus.exchanged(
                failed(failure, written_ns=START_NS + ns(self.now_s), ended_ns=START_NS + ns(self.now_s))
            )
        return self

    def front_closes(self, ending: Ending) -> None:
        self.bus.publish(FrontClosed(0, 0, 40000, 5, ending, START_NS + ns(self.now_s), probe=False))

    def back_closes(self, instance: str, *, probe_only: bool = False) -> None:
        self.bus.publish(BackClosed(instance, 50000, 5, probe_only, START_NS + ns(self.now_s)))

    def judged(self) -> Judgement:
        """End the run and judge it."""
        self.bus.publish(Ended(START_NS + ns(self.now_s + 1)))
        return judge(self.observation)

    def change_judged(self, index: int = -1) -> Judgement:
        """End the run and judge one change."""
        self.judged()
        return judge_change(self.observation.changes[index])


@pytest.fixture(name="story")
def _story() -> Story:
    return Story().answers("0", "1")


# Each verdict.


def test_what_a_change_has_replaced_and_still_answers_is_said() -> None:
    story = Story().answers("0", "1").requested("remove", "0").applied("remove", "0").answers("1", number=200)
    for client in (7, 8):
        opened_ns = START_NS + client
        story.bus.exchanged(exchange(client=client, plain=False, connect_ns=1, written_ns=opened_ns + 1, instance="1"))
    late = {"status": 503, "written_ns": START_NS + ns(story.now_s), "ended_ns": START_NS + ns(story.now_s)}
    story.bus.exchanged(failed("status 503", client=7, carried=1, plain=False, kind="idle", **late))
    story.bus.flush()
    said = "1 answered after the change over a connection that was open before it: by what the change replaced"
    assert said in judge_change(story.observation.changes[0]).reasons
    assert said in judge(story.observation).reasons
    story.bus.exchanged(failed("status 503", client=8, carried=1, plain=False, kind="idle", **late))
    story.bus.flush()
    assert judge(story.observation).reasons[1].startswith("2 answered after the change over connections that were")


def test_an_add_that_nobody_felt_is_seamless(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", "2")
    assert story.judged() == Judgement(Verdict.SEAMLESS, ())


def test_a_remove_that_nobody_felt_is_seamless(story: Story) -> None:
    story.changed("remove", "0").answers("1")
    assert story.judged() == Judgement(Verdict.SEAMLESS, ())


def test_closing_the_removed_backends_connections_is_seamless(story: Story) -> None:
    story.requested("remove", "0")
    story.back_closes("0")
    story.applied("remove", "0").answers("1")
    assert story.judged().verdict is Verdict.SEAMLESS


def test_closing_what_carried_the_probe_alone_is_seamless(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", "2")
    story.back_closes("1", probe_only=True)
    assert story.judged().verdict is Verdict.SEAMLESS


def test_bytes_on_an_idle_connection_that_no_request_asked_for_are_never_graceful(story: Story) -> None:
    story.changed("remove", "0").answers("1")
    story.front_closes(Ending.UNSOLICITED)
    judgement = story.change_judged()
    assert judgement == Judgement(Verdict.LOSSY, ("1 idle connection had bytes that no request asked for",))
    assert story.judged().verdict is Verdict.LOSSY


def test_closing_another_backends_connection_is_graceful_at_best(story: Story) -> None:
    story.changed("remove", "0").answers("1")
    story.back_closes("1")
    assert story.change_judged() == Judgement(Verdict.GRACEFUL, ("1 backend connection closed that could have stayed",))
    assert story.judged().verdict is Verdict.GRACEFUL


@pytest.mark.parametrize(
    ("ending", "verdict", "reason"),
    [
        (Ending.ANNOUNCED, Verdict.GRACEFUL, "2 front connections closed, announced"),
        (Ending.IDLE, Verdict.RACY, "2 front connections closed, while idle"),
    ],
)
def test_closing_front_connections_without_a_loss_is_graceful_if_it_is_announced(
    story: Story, ending: Ending, verdict: Verdict, reason: str
) -> None:
    story.changed("add", "2").answers("0", "1", "2")
    story.front_closes(ending)
    story.front_closes(ending)
    assert story.change_judged() == Judgement(verdict, (reason,))


def test_what_a_proxy_closes_without_any_change_is_its_own_time_outs_doing(story: Story) -> None:
    story.answers("0", "1")
    story.front_closes(Ending.IDLE)
    assert story.judged() == Judgement(Verdict.GRACEFUL, ("1 front connection closed, while idle",))


def test_one_failure_is_lossy(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", "2", number=10_000).fails("timeout")
    assert story.judged() == Judgement(Verdict.LOSSY, ("1 failure: 1 timeout",))


def test_losses_are_told_by_class_the_most_frequent_first(story: Story) -> None:
    story.changed("add", "2").answers("2").fails("refused", "timeout", "timeout", "wrong body")
    assert story.judged().reasons == ("4 failures: 2 timeout, 1 refused, 1 wrong body",)


def test_a_failure_before_the_first_change_is_lossy_too(story: Story) -> None:
    story.fails("timeout").changed("add", "2").answers("0", "1", "2")
    assert story.change_judged().verdict is Verdict.SEAMLESS
    assert story.judged().verdict is Verdict.LOSSY


def test_an_added_backend_that_never_answers_is_ineffective(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", number=1000)
    assert story.change_judged() == Judgement(Verdict.INEFFECTIVE, ("backend 2 never answered",))
    assert story.judged().verdict is Verdict.INEFFECTIVE


def test_a_removed_backend_that_still_answers_is_ineffective(story: Story) -> None:
    story.changed("remove", "0").answers("1", "0")
    assert story.change_judged() == Judgement(Verdict.INEFFECTIVE, ("backend 0 still answers",))


def test_a_removed_backend_that_had_never_answered_proves_nothing(story: Story) -> None:
    story.changed("remove", "3").answers("0", "1")
    assert story.change_judged() == Judgement(
        Verdict.INEFFECTIVE, ("backend 3 had not answered before it was removed",)
    )


def test_a_silence_that_may_be_chance_proves_nothing(story: Story) -> None:
    # Half of the answers were its own: after 9 answers of others its silence has still a chance of 1/512.
    story.changed("remove", "0").answers("1", number=9)
    judgement = story.change_judged()
    assert judgement.verdict is Verdict.INEFFECTIVE
    assert "silent for the last 9 answers only" in judgement.reasons[0]


def test_a_silence_that_cannot_be_chance_is_proof(story: Story) -> None:
    story.changed("remove", "0").answers("1", number=10)
    assert CHANCE_OF_SILENCE > 0.5**10
    assert story.change_judged().verdict is Verdict.SEAMLESS


def test_a_backend_of_few_answers_must_be_silent_for_longer() -> None:
    story = Story().answers("1", number=98).answers("0", number=2).changed("remove", "0").answers("1", number=100)
    assert story.change_judged().verdict is Verdict.INEFFECTIVE
    story = Story().answers("1", number=98).answers("0", number=2).changed("remove", "0").answers("1", number=400)
    assert story.change_judged().verdict is Verdict.SEAMLESS


def test_stragglers_are_no_failure(story: Story) -> None:
    story.changed("remove", "0").answers("0", number=3).answers("1")
    assert story.change_judged().verdict is Verdict.SEAMLESS
    assert story.observation.changes[0].stragglers == 3


def test_two_changes_right_after_each_other_are_judged_each_by_itself(story: Story) -> None:
    story.changed("add", "2").changed("remove", "0").answers("1", "2")
    assert story.change_judged(0).verdict is Verdict.SEAMLESS
    assert story.change_judged(1).verdict is Verdict.SEAMLESS


def test_a_refused_change_is_ineffective_with_the_proxys_words(story: Story) -> None:
    story.requested("add", "2").refused("add", "2", "No such backend.").answers("0", "1")
    assert story.change_judged() == Judgement(Verdict.INEFFECTIVE, ("the proxy refused it: No such backend.",))


def test_a_change_that_was_not_applied_is_ineffective_whoever_answers(story: Story) -> None:
    story.requested("add", "2").answers("0", "1", "2")
    assert story.change_judged() == Judgement(Verdict.INEFFECTIVE, ("it was not applied",))


def test_a_change_without_effect_hides_no_loss(story: Story) -> None:
    story.changed("add", "2").answers("0", "1").fails("timeout")
    judgement = story.change_judged()
    assert judgement.verdict is Verdict.INEFFECTIVE
    assert judgement.reasons == ("backend 2 never answered", "1 failure: 1 timeout")
    assert "1 failure: 1 timeout" in story.judged().reasons


def test_what_broke_makes_the_run_invalid_whatever_else_it_shows(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", "2").fails("timeout")
    story.bus.publish(Broken("the proxy died: haproxy was ended by SIGSEGV", START_NS))
    assert story.judged() == Judgement(Verdict.INVALID, ("the proxy died: haproxy was ended by SIGSEGV",))


def test_a_run_without_one_success_is_invalid() -> None:
    assert Story().fails("refused", "refused").judged() == Judgement(
        Verdict.INVALID, ("not one of 2 exchanges succeeded",)
    )


def test_a_run_without_an_exchange_is_invalid() -> None:
    assert Story().judged().verdict is Verdict.INVALID


def test_a_run_that_was_ended_before_its_changes_is_ineffective(story: Story) -> None:
    story.observation.skipped.append("remove backend 0")
    assert story.judged() == Judgement(Verdict.INEFFECTIVE, ("the run was ended before: remove backend 0",))


def test_a_run_without_changes_is_judged_by_what_was_closed(story: Story) -> None:
    assert story.judged() == Judgement(Verdict.SEAMLESS, ())
    other = Story().answers("0")
    other.front_closes(Ending.IDLE)
    assert other.judged() == Judgement(Verdict.GRACEFUL, ("1 front connection closed, while idle",))


def test_a_run_is_as_bad_as_its_worst_change(story: Story) -> None:
    story.changed("add", "2").answers("0", "1", "2")
    story.front_closes(Ending.IDLE)
    story.changed("remove", "0").answers("1", "2")
    assert story.change_judged(0).verdict is Verdict.RACY
    assert story.change_judged(1).verdict is Verdict.SEAMLESS
    assert story.judged().verdict is Verdict.RACY


def test_the_order_from_best_to_worst() -> None:
    order = [Verdict.SEAMLESS, Verdict.GRACEFUL, Verdict.RACY, Verdict.LOSSY, Verdict.INEFFECTIVE, Verdict.INVALID]
    for index, verdict in enumerate(order):
        assert worst(order[: index + 1]) is verdict
        assert worst(list(reversed(order[: index + 1]))) is verdict


def test_the_worst_of_none_is_seamless() -> None:
    assert worst([]) is Verdict.SEAMLESS


# What is said of it.


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.SEAMLESS, ExitStatus.LOSSLESS),
        (Verdict.GRACEFUL, ExitStatus.LOSSLESS),
        (Verdict.LOSSY, ExitStatus.LOST),
        (Verdict.INEFFECTIVE, ExitStatus.INVALID),
        (Verdict.INVALID, ExitStatus.INVALID),
    ],
)
def test_each_verdict_has_its_exit_status(verdict: Verdict, status: ExitStatus) -> None:
    assert verdict.exit_status is status


def test_the_exit_statuses_are_what_scripts_rely_on() -> None:
    assert [int(status) for status in (ExitStatus.LOSSLESS, ExitStatus.LOST, ExitStatus.USAGE, ExitStatus.INVALID)] == [
        *(0, 1, 2, 3),
    ]


def test_classes_of_the_same_number_are_in_the_order_of_their_names() -> None:
    assert by_class({"timeout": 1, "refused": 1, "wrong body": 5}) == "5 wrong body, 1 refused, 1 timeout"


def test_a_clean_run_has_a_detection_limit() -> None:
    text = detection_limit(48_000)
    assert "0 failures in 48000 exchanges" in text
    assert "95 %" in text
    assert "62.5 in a million" in text


def test_no_exchanges_show_nothing() -> None:
    assert detection_limit(0) == "no exchanges, so nothing is known"


LIMIT = re.compile(r"fewer than (\S+) in a million")


@some_examples
@given(st.integers(0, 10**12))
def test_no_clean_run_is_ever_said_to_be_perfect(exchanges: int) -> None:
    text = detection_limit(exchanges)
    assert "100 %" not in text
    limit = LIMIT.search(text)
    assert limit is None or float(limit[1].replace(",", "")) > 0


@pytest.mark.parametrize("exchanges", [1, 2, 3, 10, 100, 1000, 2999])
def test_the_limit_of_a_small_run_is_a_plain_number_below_a_million_in_a_million(exchanges: int) -> None:
    limit = LIMIT.search(detection_limit(exchanges))
    if limit is None:
        assert exchanges <= 3
    else:
        assert "e" not in limit[1]
        assert float(limit[1].replace(",", "")) < 1_000_000


def test_by_which_word_of_its_protocol_a_closing_was_announced_is_said() -> None:
    bus = EventBus()
    observation = observed(bus)
    bus.publish(Started(START_NS))
    bus.publish(change(Phase.REQUESTED, START_NS + 1, "reload", ""))
    for message in ("GOAWAY, last id 7", "GOAWAY, last id 9", "close frame 1001", ""):
        bus.publish(attrs.evolve(front_closed(Ending.ANNOUNCED), closed_ns=START_NS + 2, message=message))
    bus.publish(attrs.evolve(front_closed(Ending.IDLE), closed_ns=START_NS + 2, message="reset"))
    closures = observation.changes[0].closures
    assert judge_closures(closures).reasons == (
        "4 front connections closed, announced (2 goaway, 1 close frame)",
        "1 front connection closed, while idle",
    )
    assert [event.how for event in observation.kept.closed_by] == ["goaway", "goaway", "close frame", "reset"]

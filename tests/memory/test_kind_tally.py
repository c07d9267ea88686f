"""What became of each kind, in each change's window and in the whole run, and when that is racy."""

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, Ended, Ending, Event, Exchange, FrontClosed, Phase, Started
from proxyreload.history.failures import TURNED_AWAY
from proxyreload.ledger.cause import Cause
from proxyreload.record.csvfile import COLUMNS, CsvFile
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import Verdict, judge, judge_change, judge_kind, judge_kinds, who_lost
from proxyreload.verdict.observation import Observation, observe
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.tally import Tallies, Tally, kinds_of

from .clocks import START_NS
from .happened import change, exchange, failed
from .observing import observed, run_json

KINDS = ("get", "idle", "post", "stream")
few_examples = settings(max_examples=60)


@st.composite
def some_exchanges(draw: st.DrawFn) -> list[Exchange]:
    made = []
    for _ in range(draw(st.integers(0, 30))):
        kind = draw(st.sampled_from(KINDS))
        failure = draw(st.sampled_from(["", "", "timeout", "message lost"]))
        made.append(failed(failure, kind=kind) if failure else exchange(kind=kind))
    return made


@few_examples
@given(exchanges=some_exchanges(), cut=st.integers(0, 30), told=st.booleans())
def test_tallies_are_the_same_in_whatever_batches(exchanges: list[Exchange], cut: int, *, told: bool) -> None:
    tallies = Tallies()
    for batch in (exchanges[:cut], exchanges[cut:]):
        tallies.add(batch, kinds_of(batch) if told else None)
    for kind in KINDS:
        of_kind = [each for each in exchanges if each.kind == kind]
        if of_kind:
            tally = tallies.by_kind[kind]
            assert tally.exchanges == len(of_kind)
            assert tally.lost == len([each for each in of_kind if each.failure])
            assert sum(tally.failures.values()) == tally.lost
        else:
            assert kind not in tallies.by_kind


@pytest.mark.parametrize(
    ("tally", "verdict", "reasons"),
    [
        (Tally(5), "seamless", ()),
        (Tally(5, front={Ending.ANNOUNCED: 1}), "graceful", ("1 front connection closed, announced",)),
        (Tally(5, front={Ending.IDLE: 2}), "racy", ("2 front connections closed, while idle",)),
        (
            Tally(5, front={Ending.UNSOLICITED: 1, Ending.IDLE: 1}),
            "lossy",
            ("1 idle connection had bytes that no request asked for", "1 front connection closed, while idle"),
        ),
        (
            Tally(5, {"timeout": 1, "message lost": 2}, {Ending.IDLE: 1}),
            "lossy",
            ("3 failures: 2 message lost, 1 timeout", "1 front connection closed, while idle"),
        ),
    ],
)
def test_a_kind_is_judged_by_what_it_lost_and_how_its_connections_ended(
    tally: Tally, verdict: str, reasons: tuple[str, ...]
) -> None:
    judgement = judge_kind(tally)
    assert (judgement.verdict.value, judgement.reasons) == (verdict, reasons)


def test_who_lost_is_said_beside_who_did_not() -> None:
    tallies = Tallies({"get": Tally(100), "idle": Tally(10, {"timeout": 2}), "post": Tally(5, {"status 503": 1})})
    assert who_lost(tallies) == "idle lost 2 of 10, post lost 1 of 5; get lost nothing"
    assert who_lost(Tallies({"get": Tally(5, {"timeout": 1})})) == ""
    assert who_lost(Tallies({"get": Tally(5), "idle": Tally(5)})) == ""
    assert who_lost(Tallies({"get": Tally(5, {"timeout": 1}), "idle": Tally(5, {"timeout": 1})})).endswith("1 of 5")


def test_how_the_others_fared_is_said_too_and_what_is_for_proof_stands_apart() -> None:
    kinds = {
        "get": Tally(100, {"timeout": 1}),
        "aimed": Tally(50, {"timeout": 40}),
        "idle": Tally(10, front={Ending.IDLE: 3}),
        "post": Tally(5, front={Ending.ANNOUNCED: 1}),
    }
    tallies = Tallies(kinds, frozenset({"aimed"}))
    assert who_lost(tallies) == (
        "get lost 1 of 100; for proof: aimed lost 40 of 50; idle racy, without a loss; post lost nothing"
    )
    del kinds["get"], kinds["aimed"]
    assert who_lost(tallies) == "idle racy, without a loss; post lost nothing"
    assert (
        who_lost(tallies, {"idle": judge_kind(kinds["idle"], by_change=False), "post": judge_kind(kinds["post"])}) == ""
    )


def test_rates_are_of_what_is_not_aimed() -> None:
    tallies = Tallies({"get": Tally(100, {"timeout": 1}), "aimed": Tally(50, {"timeout": 40, "reset": 1})})
    assert (tallies.rated, tallies.proof) == (Tally(150, {"timeout": 41, "reset": 1}), None)
    tallies.aimed = frozenset({"aimed"})
    assert (tallies.rated, tallies.proof) == (Tally(100, {"timeout": 1}), Tally(50, {"timeout": 40, "reset": 1}))
    assert tallies.failures == {"timeout": 41, "reset": 1}


def test_there_are_several_kinds_if_there_is_more_than_what_is_always_sent() -> None:
    assert [Tallies(dict.fromkeys(kinds, Tally(1))).several for kinds in (("get", "fresh"), ("get", "idle"))] == [
        False,
        True,
    ]


def test_racy_is_between_graceful_and_lossy_and_no_success() -> None:
    order = list(Verdict)
    assert order.index(Verdict.GRACEFUL) < order.index(Verdict.RACY) < order.index(Verdict.LOSSY)
    assert (Verdict.GRACEFUL.exit_status, Verdict.RACY.exit_status, Verdict.LOSSY.exit_status) == (0, 1, 1)


# A run.


def closed(at_s: float, ending: Ending, kind: str = "idle", *, probe: bool = False) -> FrontClosed:
    return FrontClosed(0, 0, 40000, 5, ending, START_NS + ns(at_s), probe, kind=kind)


def a_run(*more: tuple[float, Event], aimed: str = "") -> Observation:
    """Return a run of 10 s in which backend 2 is added at 2 s and backend 3 at 6 s, and what else happened."""
    bus = EventBus()
    observation = observed(bus)

    def answers(at_s: float) -> list[tuple[float, Event]]:
        made: list[tuple[float, Event]] = []
        for kind, instance in ((kind, instance) for kind in ("get", "idle", "stream") for instance in "023"):
            if instance == "0" or at_s > 2 * int(instance):
                sent_ns = START_NS + ns(at_s)
                made.append(
                    (
                        at_s,
                        exchange(
                            kind=kind,
                            instance=instance,
                            due_ns=sent_ns,
                            written_ns=sent_ns,
                            first_byte_ns=sent_ns + NS_PER_MS,
                            ended_ns=sent_ns + NS_PER_MS,
                        ),
                    )
                )
        return made

    events: list[tuple[float, Event]] = [(0, Started(START_NS, aimed=frozenset([aimed] if aimed else [])))]
    for at_s, instance, number in ((2, "2", 1), (6, "3", 2)):
        for phase, after_s in ((Phase.REQUESTED, 0.0), (Phase.APPLIED, 0.5)):
            at_ns = START_NS + ns(at_s + after_s)
            events.append((at_s + after_s, change(phase, at_ns, "add", instance, number)))
    for second in range(1, 10):
        events += answers(second + 0.25)
    events += [(10, Ended(START_NS + ns(10))), *more]
    for _, event in sorted(events, key=lambda timed: timed[0]):
        bus.exchanged(event) if isinstance(event, Exchange) else bus.publish(event)
    bus.flush()
    return observation


def verdicts(observation: Observation) -> tuple[str, list[str], dict[str, str]]:
    """Return the verdicts of the run, of its changes, and of its kinds."""
    changes = [judge_change(each).verdict.value for each in observation.changes]
    kinds = {kind: judgement.verdict.value for kind, judgement in judge_kinds(observation).items()}
    return judge(observation).verdict.value, changes, kinds


def test_a_run_of_which_nothing_was_closed_is_seamless() -> None:
    assert verdicts(a_run()) == (
        "seamless",
        ["seamless", "seamless"],
        {"get": "seamless", "idle": "seamless", "stream": "seamless"},
    )


def test_a_connection_closed_unannounced_in_a_window_makes_its_change_its_kind_and_the_run_racy() -> None:
    assert verdicts(a_run((6.2, closed(6.2, Ending.IDLE)))) == (
        "racy",
        ["seamless", "racy"],
        {"get": "seamless", "idle": "racy", "stream": "seamless"},
    )


def test_an_announced_one_does_not() -> None:
    assert verdicts(a_run((6.2, closed(6.2, Ending.ANNOUNCED))))[0] == "graceful"


def test_what_a_proxy_closes_by_itself_before_any_change_makes_nothing_racy(tmp_path: Path) -> None:
    observation = a_run((1.0, closed(1.0, Ending.IDLE)))
    assert verdicts(observation) == (
        "seamless",
        ["seamless", "seamless"],
        {"get": "seamless", "idle": "graceful", "stream": "seamless"},
    )
    told = run_json(observation, tmp_path)["summary"]["kinds"]["idle"]
    assert (told["verdict"], told["front_closed"]) == ("graceful", {"idle": 1})


def test_nor_what_the_probe_sees_or_what_comes_after_the_end() -> None:
    probe, late = closed(6.2, Ending.IDLE, "fresh", probe=True), closed(10.5, Ending.IDLE)
    assert verdicts(a_run((6.2, probe), (10.5, late)))[0] == "seamless"


def test_a_loss_belongs_to_its_kind_and_to_the_change_in_whose_window_it_was_written(tmp_path: Path) -> None:
    written_ns = START_NS + ns(3)
    lost = failed("timeout", kind="stream", written_ns=written_ns, due_ns=written_ns, ended_ns=START_NS + ns(7))
    observation = a_run((7.0, lost))
    assert verdicts(observation) == (
        "lossy",
        ["lossy", "seamless"],
        {"get": "seamless", "idle": "seamless", "stream": "lossy"},
    )
    content = run_json(observation, tmp_path)
    first, second = content["changes"]
    assert first["kinds"]["stream"]["failures"] == {"timeout": 1}
    assert second["kinds"]["stream"]["failures"] == {}
    kinds = content["summary"]["kinds"]
    assert kinds["stream"]["reasons"] == ["1 failure: 1 timeout"]
    assert sum(kind["exchanges"] for kind in kinds.values()) == content["summary"]["exchanges"]
    assert judge(observation).reasons[1].startswith("stream lost 1 of ")


def test_what_an_aimed_kind_loses_makes_its_change_lossy_and_is_in_no_rate(tmp_path: Path) -> None:
    sent_ns = START_NS + ns(6.5)
    lost = failed("timeout", kind="idle", written_ns=sent_ns, due_ns=sent_ns, ended_ns=sent_ns + NS_PER_MS)
    observation = a_run((6.501, lost), aimed="idle")
    assert verdicts(observation)[:2] == ("lossy", ["seamless", "lossy"])
    assert [change.kinds.rated.lost for change in observation.changes] == [0, 0]
    assert sum(change.kinds.rated.exchanges for change in observation.changes) < sum(
        change.exchanges for change in observation.changes
    )
    assert observation.proof == Proof(exchanges=20, lost=1, changes=2, lossy=1)
    content = run_json(observation, tmp_path)
    assert content["summary"]["proof"] == {"exchanges": 20, "failures": 1, "changes": 2, "lossy": 1}
    assert [kind for kind, told in content["summary"]["kinds"].items() if told["aimed"]] == ["idle"]
    assert content["changes"][1]["kinds"]["idle"]["aimed"]
    lines = list(summary_lines(observation, judge(observation), "it"))
    rated = observation.kinds.rated.exchanges
    assert any(line.startswith(f"0 failures in {rated} exchanges: ") for line in lines)
    assert "for proof, not in these figures: 1 of 20 aimed exchanges lost, in 1 of 2 changes" in lines
    assert lines[-1].endswith("(1 failure: 1 timeout; for proof: idle lost 1 of 20; get, stream lost nothing)")
    assert a_run((6.501, lost)).proof is None


def test_failures_per_change_are_of_what_is_not_aimed() -> None:
    bus = EventBus()
    observation = observed(bus)
    bus.publish(Started(START_NS, aimed=frozenset({"aimed"})))
    for number in range(1, 6):
        at_ns = START_NS + ns(number)
        bus.publish(change(Phase.REQUESTED, at_ns, "reload", "", number))
        bus.publish(change(Phase.APPLIED, at_ns + 1, "reload", "", number))
        for kind, outcome in (("aimed", "timeout"), ("get", "timeout" if number == 1 else "")):
            sent = {"written_ns": at_ns + 2, "due_ns": at_ns + 2, "ended_ns": at_ns + 3}
            bus.exchanged(failed(outcome, kind=kind, **sent) if outcome else exchange(kind=kind, **sent))
    bus.flush()
    found = observation.repetition
    assert found is not None
    assert (found.failures, found.lossy, found.per_million) == (1, 1, 200_000)
    assert observation.proof == Proof(exchanges=5, lost=5, changes=5, lossy=5)
    assert any(
        line.startswith("failures per change") and line.endswith("; all this but what was aimed")
        for line in summary_lines(observation, judge(observation), "it")
    )


def test_when_connections_were_closed_while_they_rested_is_written(tmp_path: Path) -> None:
    ends = [(6.2, closed(6.2, Ending.IDLE)), (6.3, closed(6.3, Ending.ANNOUNCED)), (6.4, closed(6.4, Ending.IDLE))]
    observation = a_run(*ends)
    assert run_json(observation, tmp_path)["summary"]["closed_idle"] == [[0, 0, 6_200_000], [0, 0, 6_400_000]]


@pytest.mark.parametrize(
    ("failure", "long", "charged"),
    [
        ("truncated", True, [0, 1]),
        ("message lost", True, [0, 1]),
        ("timeout", True, [1, 0]),
        ("truncated", False, [1, 0]),
    ],
)
def test_a_long_exchange_belongs_to_the_change_that_came_last_before_it_broke(
    failure: str, *, long: bool, charged: list[int]
) -> None:
    written_ns = START_NS + ns(3)
    times = {"written_ns": written_ns, "due_ns": written_ns, "ended_ns": START_NS + ns(7)}
    observation = a_run((7.0, failed(failure, kind="stream", long=long, **times)))
    assert [sum(each.failures.values()) for each in observation.changes] == charged
    assert [each.kinds.of("stream").lost for each in observation.changes] == charged


def test_one_that_broke_before_any_change_is_no_changes(tmp_path: Path) -> None:
    times = {"written_ns": START_NS + ns(1), "due_ns": START_NS + ns(1), "ended_ns": START_NS + ns(1.9)}
    observation = a_run((1.9, failed("truncated", kind="stream", long=True, **times)))
    assert [sum(each.failures.values()) for each in observation.changes] == [0, 0]
    assert run_json(observation, tmp_path)["summary"]["verdict"] == "lossy"


def removal(*ended: tuple[float, float]) -> Observation:
    """Return a run in which backend 0 is removed at 2 s, applied at 2.5 s; what it answers is (written, ended)."""
    bus = EventBus()
    observation = observed(bus)
    bus.publish(Started(START_NS))

    def answer(instance: str, written_s: float, ended_s: float) -> None:
        written_ns, ended_ns = START_NS + ns(written_s), START_NS + ns(ended_s)
        bus.exchanged(exchange(instance=instance, written_ns=written_ns, first_byte_ns=written_ns, ended_ns=ended_ns))

    events: list[tuple[float, str, float]] = [
        (second / 10 + 0.01, "01"[second % 2] if second < 20 else "1", second / 10) for second in range(1, 90)
    ]
    events += [(ended_s, "0", written_s) for written_s, ended_s in ended]
    changed = False
    for ended_s, instance, written_s in sorted(events):
        if ended_s > 2 and not changed:
            changed = True
            bus.publish(change(Phase.REQUESTED, START_NS + ns(2), "remove", "0", 1))
            bus.publish(change(Phase.APPLIED, START_NS + ns(2.5), "remove", "0", 1))
        answer(instance, written_s, ended_s)
    bus.publish(Ended(START_NS + ns(10)))
    bus.flush()
    return observation


def test_what_began_before_a_removal_and_ends_at_the_removed_backend_drains(tmp_path: Path) -> None:
    observation = removal((1.5, 4.0), (2.4, 8.9))
    [change_] = observation.changes
    assert change_.stragglers == 0
    assert change_.drained_ns == START_NS + ns(8.9)
    assert change_.effective_ns < START_NS + ns(2)
    assert judge(observation).verdict is Verdict.SEAMLESS
    [told] = run_json(observation, tmp_path)["changes"]
    assert (told["drained_us"], told["stragglers"]) == (8_900_000, 0)


def test_what_is_sent_there_afterwards_is_a_straggler_and_speaks_against_it(tmp_path: Path) -> None:
    observation = removal((2.6, 8.9))
    [change_] = observation.changes
    assert (change_.stragglers, change_.drained_ns) == (1, 0)
    assert judge(observation).verdict is Verdict.INEFFECTIVE
    assert run_json(observation, tmp_path)["changes"][0]["drained_us"] is None


def test_the_terminal_says_the_same_of_each_kind() -> None:
    observation = a_run((1.0, closed(1.0, Ending.IDLE)), (6.2, closed(6.2, Ending.IDLE, "stream")))
    lines = [line for line in summary_lines(observation, judge(observation), "it:reload") if " exchanges" in line]
    told = {line.split()[0]: line.split()[1].rstrip(",") for line in lines if line.split()[0] in KINDS}
    assert told == {"get": "seamless", "idle": "graceful", "stream": "racy"}


@pytest.mark.parametrize("kinds", [("get",), ("get", "fresh")])
def test_of_one_kind_and_the_probe_it_says_nothing(kinds: Sequence[str]) -> None:
    bus = EventBus()
    observation = observed(bus)
    bus.publish(Started(START_NS))
    for kind in kinds:
        bus.exchanged(exchange(kind=kind))
    bus.flush()
    assert not [line for line in summary_lines(observation, judge(observation), "it") if line.startswith("get")]


def test_a_row_ends_with_its_kind(tmp_path: Path) -> None:
    assert COLUMNS[-1] == "kind"
    bus = EventBus()
    rows = CsvFile(tmp_path / "data.csv")
    rows.open()
    rows.subscribe(bus)
    bus.publish(Started(START_NS))
    for kind in KINDS:
        bus.exchanged(attrs.evolve(exchange(), kind=kind))
    bus.flush()
    rows.close()
    _head, *lines = (tmp_path / "data.csv").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition(",")[2] for line in lines] == list(KINDS)


def test_what_is_turned_away_is_neither_a_success_nor_a_loss() -> None:
    at_ns = START_NS + ns(3)
    observation = observe(
        [
            (Started, [Started(START_NS, {"9": "h2"}, many={9: 10}, hosted=True)]),
            (Exchange, [failed(TURNED_AWAY, kind="h2", client=9, written_ns=at_ns, ended_ns=at_ns)]),
            (Ended, [Ended(START_NS + ns(10))]),
        ]
    )

    counts, tally = observation.counts, observation.kinds.by_kind["h2"]
    assert (counts.total, counts.success, counts.failure, counts.turned_away) == (1, 0, 0, 1)
    assert (tally.lost, tally.turned_away, tally.denied) == (0, 1, 0)
    assert (tally.ledger()["answered_once"], tally.ledger()["lost_never_arrived"]) == (0, 1)
    assert judge_kind(tally).verdict is Verdict.GRACEFUL
    assert judge_kind(tally).reasons == ("1 request turned away, which may be repeated",)
    assert observation.causes == {Cause.TURNED_AWAY: 1}


def test_who_turns_away_what_is_carried_out_is_lossy() -> None:
    at_ns = START_NS + ns(3)
    observation = observe(
        [
            (Started, [Started(START_NS, {"9": "h2"}, many={9: 10}, hosted=True)]),
            (Exchange, [failed(TURNED_AWAY, kind="h2", client=9, number=4, written_ns=at_ns, ended_ns=at_ns)]),
            (Arrival, [Arrival("0", "9-4", 50000, 3, at_ns + 1, at_ns + 2, at_ns + 3)]),
            (Ended, [Ended(START_NS + ns(10))]),
        ]
    )

    tally = observation.kinds.by_kind["h2"]
    assert (tally.lost, tally.turned_away, tally.denied) == (0, 1, 1)
    assert judge_kind(tally).verdict is Verdict.LOSSY
    assert "1 request turned away and carried out all the same" in judge_kind(tally).reasons[1]

"""The story of a run's losses, told from files made by hand."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from proxyreload.command import explain
from proxyreload.explanation.causewords import cause_words, section
from proxyreload.explanation.screen import Size
from proxyreload.explanation.visits import Visits, visits_of
from proxyreload.history.events import Arrival, CutExchange, Said
from proxyreload.ledger import evidencewords
from proxyreload.ledger.cause import Cause, Evidence, Gone, Setting
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.fatewords import fate_words
from proxyreload.ledger.unsettled import Unsettled, Visit
from proxyreload.proxy.registry import choose
from proxyreload.record.lossfile import COLUMNS
from proxyreload.system.clock import NS_PER_S
from proxyreload.system.tcpinfo import LastState

from .clocks import START_NS
from .exits import status_of
from .happened import failed
from .written import Row, change, loss_row, lost, row, run_content, write_rows, write_run

OPTIONS = {"csv": "data.csv", "losses": "losses.csv"}
#: Client 0 beside the proxy, client 1 of a kind that rests, 20 ms away; the probe.
TRAFFIC = [
    {"kind": "get", "clients": 1, "rate": None, "rtt_ms": 0.0},
    {"kind": "idle", "clients": 1, "rate": None, "rtt_ms": 20.0, "gap": [1.0, 5.0]},
    {"kind": "fresh", "clients": 1, "rate": 10.0, "rtt_ms": 0.0, "probe": True},
]


def kind(exchanges: int, failures: int, *, aimed: bool = False) -> dict[str, object]:
    return {
        "verdict": "lossy" if failures else "seamless",
        "reasons": [],
        "exchanges": exchanges,
        "failures": {"timeout": failures} if failures else {},
        "aimed": aimed,
    }


def summary(failure: int) -> dict[str, object]:
    return {"verdict": "lossy", "exchanges": 1000, "success": 1000 - failure, "failure": failure}


def written(
    folder: Path,
    losses: Iterable[Row] = (),
    rows: Iterable[Row] = (),
    more_summary: Mapping[str, object] | None = None,
    **more: Any,
) -> Path:
    """Write a run's three files; its run file says how many failed."""
    losses = list(losses)
    lost_ones = sum(each["failure"] not in ("", "carried out twice") for each in losses)
    content = run_content(
        summary(lost_ones) | dict(more_summary or {}), **{"options": OPTIONS, "traffic": TRAFFIC, **more}
    )
    write_rows(folder / "losses.csv", losses, COLUMNS)
    write_rows(folder / "data.csv", rows)
    return write_run(folder / "run.json", content)


def said(path: Path, *words: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Return what `explain` prints, which must end well and fit."""
    assert status_of("explain", str(path), *words) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    return out


def flat(text: str) -> str:
    """Return text without its line breaks and lanes, for words to be found in."""
    return " ".join(re.sub(r"[|<>-]{2,}x?|\|", " ", text).split())


def test_a_race_is_told_from_the_change_to_what_no_backend_received(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row(1_000_000, written=999_000, connect=500),
        row(2_020_000, request=6, written=2_019_000, carried=6),
        lost(2_101_200, request=7, written=2_100_000, carried=7, failure="closed before response, reused"),
    ]
    out = said(written(tmp_path, [loss_row(time=2_101_200)], rows), capfd=capfd)
    assert "lossy: 1 of 1,000 requests was lost while it:reload was changed once: add\n  backend 2\n" in out
    assert "keep-alive race, 1 of 1: the proxy closed a resting connection" in out
    assert "fate    no backend received it: safe to repeat" in out
    assert "when    change 1, add backend 2" in out
    assert "such as loss 1: client 0 of get, over connection 0, port 40000" in out
    sequence = [line.strip() for line in out.splitlines() if "|" in line]
    assert sequence == [
        "+0.0000 s    |        o        |     change 1, add backend 2, is requested",
        "+0.0010 s    |        o        |     change 1 is applied",
        "+0.0200 s    |<-------|        |     request 6 answered by backend 0",
        "+0.1000 s    |------->|        |     request 7 sent after 80.0 ms of rest",
        "+0.1012 s    |<-------|        |     FIN from the proxy, 1.2 ms after sending",
        "|        |---x    |     no backend received it",
    ]
    assert "(docs/causes.md#keep-alive-race)" in out
    assert out.splitlines()[-1] == "one loss in full: the same with --loss 1"


def test_what_the_kernel_and_the_proxy_say_is_part_of_the_sequence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evidence = (
        "FIN was sent before any of its 118 bytes had come, then RST; no backend received it; "
        "0.9 ms before the proxy said: [notice] 7#7: exiting; 40.0 ms after the proxy said: [notice] 7#7: exit"
    )
    rows = [lost(2_101_200, request=7, written=2_100_000, carried=7, failure="closed before response, reused")]
    path = written(tmp_path, [loss_row(time=2_101_200, evidence=evidence)], rows)
    sequence = [line.strip() for line in said(path, capfd=capfd).splitlines() if "|" in line]
    assert sequence[2:] == [
        "+0.1000 s    |------->|        |     request 7 sent after 80.0 ms of rest",
        "+0.1003 s    |        o        |     proxy says: [notice] 7#7: exiting",
        "|        o        |     FIN was sent before any of its 118 bytes",
        "|        |        |     had come, then RST",
        "+0.1012 s    |<-------|        |     FIN from the proxy, 1.2 ms after sending",
        "|        |---x    |     no backend received it",
    ]
    full = said(path, "--loss", "1", capfd=capfd)
    assert "+0.1412 s    |        o        |     proxy says: [notice] 7#7: exit\n" in full
    assert "proxy says: [notice] 7#7: exiting\n" in full
    assert "had come, then RST; no backend" in flat(full)


def test_no_verdict_without_its_traffic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = {"get": kind(800, 3), "idle": kind(100, 0), "aimed": kind(100, 5, aimed=True)}
    out = flat(said(written(tmp_path, [loss_row()] * 8, more_summary={"kinds": kinds}), capfd=capfd))
    assert (
        "traffic, clients by kind: 1 get, 10 new connections a second; 20 ms away: 1 idle (rest 1-5 s); for 6.0 s"
        in out
    )
    assert "lost: get 3 of 800; for proof: aimed 5 of 100; no loss: idle" in out


def test_a_client_far_away_hears_later_what_the_proxy_did_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    far = loss_row(client=1, kind="idle", time=2_112_000, failure="reset before response, reused")
    rows = [lost(2_112_000, 1, request=7, written=2_100_000, carried=7, kind="idle")]
    out = flat(said(written(tmp_path, [far], rows), capfd=capfd))
    assert "client 1 of idle, 20 ms away" in out
    assert "+0.1000 s request 7 sent after 80.0 ms of rest, 10.0 ms on its way" in out
    assert "+0.1020 s o the proxy has closed the connection +0.1120 s RST from the proxy, 12.0 ms after sending" in out


#: By cause: a loss, its row, and what the sequence says of it.
STORIES: Mapping[Cause, tuple[Row, Row | None, tuple[str, ...]]] = {
    Cause.OURS: (
        loss_row("ours", failure="aborted", fate="lost_unknown", evidence=""),
        None,
        ("request 7 sent", "aborted"),
    ),
    Cause.KEEP_ALIVE_RACE: (loss_row(), None, ("rests from here on", "FIN from the proxy, 1.0 ms after sending")),
    Cause.STALE_GENERATION: (
        loss_row(
            "stale generation",
            failure="status 503",
            time=4_000_000,
            evidence="held by generation 0, the newest was 1; no backend received it; backend 0 was removed, and gone for 1.50 s",
        ),
        lost(4_000_000, request=7, written=2_100_000, failure="status 503", status=503),
        (
            "+0.0010 s | o | change 1 is applied | o | generation 0 has the connection, the newest is 1",
            "+0.5000 s | | o backend 0, which has been removed, stops",
            "the proxy itself answers 503, 1,900 ms after sending",
        ),
    ),
    Cause.OLD_PROCESS_KILLED: (
        loss_row("old process killed", failure="truncated", fate="lost_executed", evidence="backend 1: carried out"),
        lost(2_101_000, request=7, written=2_100_000, first_byte=2_100_500, instance="1", failure="truncated"),
        ("|------->| backend 1 carries it out", "an answer of backend 1 begins", "FIN within the answer"),
    ),
    Cause.LISTEN_QUEUE_DROPPED: (
        loss_row("listen queue dropped", failure="reset before response, fresh", carried=0, idle_us=""),
        lost(2_101_000, request=7, written=2_100_000, connect=400, failure="reset before response, fresh"),
        ("+0.0996 s |------->| | connection opened, within 0.4 ms", "RST in place of an answer, 1.0 ms after sending"),
    ),
    Cause.NOBODY_LISTENED: (
        loss_row("nobody listened", failure="refused", connection="", front_port="", carried=0, idle_us=""),
        lost(2_101_000, request=7, written="", connection="", front_port="", failure="refused"),
        ("+0.1010 s |<-------| | no connection: refused, nobody listens",),
    ),
    Cause.BACKEND_GONE: (
        loss_row("backend gone", failure="status 502", evidence="backend 0: received in part, given up"),
        None,
        ("backend 0 receives part of it; the proxy gives it up there", "the proxy itself answers 502"),
    ),
    Cause.REPEAT_REFUSED: (
        loss_row("repeat refused", failure="status 503", evidence="backend 3 was gone for 0.05 s"),
        None,
        ("+0.0510 s | | o backend 3 is gone", "the proxy itself answers 503"),
    ),
    Cause.PROXY_REFUSED: (
        loss_row("proxy refused", failure="status 429"),
        None,
        ("no backend received it", "answers 429, 1.0 ms after sending"),
    ),
    Cause.PROXY_CUT: (
        loss_row("proxy cut it", fate="lost_executed", evidence="backend 1: answered"),
        None,
        ("backend 1 carries it out and answers", "FIN in place of an answer"),
    ),
    Cause.PROXY_STALLED: (
        loss_row("proxy stalled", failure="timeout", time=7_100_000),
        None,
        ("+5.1000 s o | | gives up, 5,000 ms after sending",),
    ),
    Cause.ANSWER_SPOILT: (
        loss_row("answer spoilt", failure="wrong body", fate="lost_executed", evidence="backend 1: answered"),
        lost(2_101_000, request=7, written=2_100_000, failure="wrong body", status="wrong body: of 0-6"),
        ("wrong body: of 0-6, 1.0 ms after sending",),
    ),
    Cause.REPEATED: (
        loss_row(
            "repeated by the proxy",
            failure="carried out twice",
            fate="answered_twice",
            evidence="carried out again, at backend 1",
            time=2_101_500,
            since_change_us=101_500,
        ),
        row(2_102_000, request=7, written=2_100_000, instance="1"),
        (
            "+0.1015 s | |------->| carried out again, at backend 1",
            "+0.1020 s |<-------| | answer of backend 1: the client sees nothing odd",
        ),
    ),
    Cause.TURNED_AWAY: (
        loss_row("turned away", kind="h2", failure="turned away", evidence="GOAWAY NO_ERROR, last stream 17"),
        None,
        ("turned away, 1.0 ms after sending",),
    ),
    Cause.MADE_UP: (
        loss_row("made up", client="", request="x-1", failure="", fate="never_sent", evidence="", idle_us=""),
        None,
        ("request x-1 comes to a backend",),
    ),
    Cause.UNKNOWN: (
        loss_row("unknown", failure="malformed response", fate=""),
        None,
        ("malformed response, 1.0 ms after sending",),
    ),
}


def test_every_cause_has_its_story_and_its_words() -> None:
    assert set(STORIES) == set(Cause)
    for cause in Cause:
        words = cause_words(cause.value)
        assert words.what, cause
        assert words.cure, cause


def test_the_evidence_is_understood_as_the_ledger_tells_it() -> None:
    lost_one = failed("status 503", ended_ns=START_NS + 3 * NS_PER_S, status=503)
    gone = {"0": Gone("0", START_NS, START_NS + NS_PER_S), "9": Gone("9", 0, START_NS + 2 * NS_PER_S, killed=True)}
    had = [Arrival("1", "0-0", 1, 1, START_NS), Arrival("9", "0-0", 2, 1, START_NS, START_NS, given_up_ns=START_NS + 1)]
    visits = {(each.instance, each.back_port, each.carried): each for each in had}

    def seen(fate: Fate, visited: dict[Visit, Arrival], left: dict[str, Gone]) -> Visits:
        evidence = Evidence(lost_one, Unsettled("0-0", lost_one, visits=visited), fate, Setting(gone=left))
        return visits_of(evidencewords.told(evidence))

    held = Evidence(lost_one, Unsettled("0-0", lost_one), Fate.LOST_NEVER_ARRIVED, Setting(), held=(1, 3))
    assert visits_of(evidencewords.told(held)).held == "generation 1 has the connection, the newest is 3"

    said = [Said("first; then", START_NS + NS_PER_S), Said("second", START_NS + 3 * NS_PER_S + 1_500_000)]
    words = attrs.evolve(held, said=said)
    assert visits_of(evidencewords.told(words)).said == (("first, then", -2_000_000), ("second", 1500))
    for fin in (True, False):
        for gone_ in (True, False):
            for unacknowledged in (0, 5, 118):
                last = LastState(fin, gone_, unacknowledged)
                cut = CutExchange(**attrs.asdict(lost_one), size=118, last_state=last)
                kernel = visits_of(evidencewords.told(attrs.evolve(held, exchange=cut))).kernel
                assert "FIN" in kernel, last

    assert seen(Fate.LOST_NEVER_ARRIVED, {}, {"0": gone["0"]}) == Visits(
        none=True, told=(), gone=(("backend 0, which has been removed, stops", 2_000_000),), again=""
    )
    assert seen(Fate.LOST_EXECUTED, visits, gone) == Visits(
        none=False,
        told=("backend 1 receives part of it", "backend 9 carries it out; the proxy gives it up there"),
        gone=(("backend 9 is gone", 1_000_000),),
        again="",
    )


def test_every_fate_has_its_words() -> None:
    for fate in Fate:
        words = fate_words(fate.value)
        assert {words.one, words.some, words.all}.isdisjoint({fate.value}), fate


@pytest.mark.parametrize("cause", STORIES, ids=lambda cause: cause.name)
def test_each_cause_has_an_example_and_a_cure(cause: Cause, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loss, its_row, words = STORIES[cause]
    path = written(tmp_path, [loss], [] if its_row is None else [its_row])
    for out in (said(path, capfd=capfd), said(path, "--loss", "1", capfd=capfd)):
        told = " ".join(out.split())
        sequence = " ".join(re.sub(r"\n +\|        \|        \| {5}", " ", out).split())
        assert cause_words(cause.value).what in told
        assert cause_words(cause.value).cure in told
        assert section(cause.value) in told
        for word in words:
            assert word in re.sub(r" \|(?=$| [a-z])", "", sequence) or word in sequence, word


def test_the_most_frequent_cause_comes_first_and_all_are_named_if_there_is_no_room(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    causes = [cause.value for cause in Cause]
    losses = [loss_row(cause) for number, cause in enumerate(causes, 1) for _ in range(number)]
    out = said(written(tmp_path, losses), capfd=capfd)
    assert len(out.splitlines()) <= 40
    total = sum(range(1, len(causes) + 1))
    found = re.findall(rf"^(\S.*?), ([0-9]+) of {total}: ", out, re.MULTILINE)
    assert found[:2] == [("unknown", str(len(causes))), ("made up", str(len(causes) - 1))]
    assert [int(number) for _cause, number in found] == sorted((int(number) for _c, number in found), reverse=True)
    assert f"and {len(causes) - len(found)} other causes: " in out
    assert out.count("client   proxy    backend") == 1


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("height", [24, 40])
def test_a_terminal_is_filled_no_further_than_it_goes(
    width: int, height: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "_size", lambda: Size(width, height))
    long = "x" * 200
    losses = [loss for loss, _row, _words in STORIES.values()]
    losses += [loss_row(cause=long, kind=long, failure=long, fate=long, evidence=long)]
    changes = [change(number, 2_000_000 + number, instance=long) for number in range(1, 9)]
    losses += [loss_row(change=number) for number in range(1, 9)]
    path = written(tmp_path, losses, changes=changes, plugin=long)
    assert status_of("explain", str(path)) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for number in range(1, len(losses) + 1):
        assert status_of("explain", str(path), "--loss", str(number)) == 0
        assert max(map(len, capfd.readouterr().out.splitlines())) <= width


def test_several_changes_and_fates_each_have_their_number(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    losses = [loss_row(change=2, fate="lost_executed"), *[loss_row()] * 2, loss_row(change="", since_change_us="")]
    changes = [change(1, 2_000_000), change(2, 3_000_000, action="remove", instance="0")]
    out = flat(said(written(tmp_path, losses, changes=changes), capfd=capfd))
    assert (
        "fate 3 reached no backend: safe to repeat; 1 carried out: the client cannot know, repeating does it twice"
        in out
    )
    assert "when before any change: 1; change 1, add backend 2: 2; change 2, remove backend 0: 1" in out


def test_the_example_is_none_that_was_aimed_where_there_are_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    losses = [*[loss_row(kind="aimed")] * 5, loss_row(idle_us=10), loss_row(idle_us=9_000)]
    kinds = {"aimed": kind(100, 5, aimed=True), "get": kind(900, 2)}
    assert "such as loss 7: client 0 of get" in said(
        written(tmp_path, losses, more_summary={"kinds": kinds}), capfd=capfd
    )


def test_where_nothing_was_lost_it_says_what_that_can_show(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    limit = "0 failures in 1000 exchanges: with 95 % confidence fewer than 3,000 in a million are lost"
    told = {"verdict": "graceful", "detection_limit": limit}
    out = flat(said(written(tmp_path, more_summary=told), capfd=capfd))
    assert out.startswith("graceful: none of 1,000 requests was lost while it:reload was changed once")
    assert out.endswith(limit)
    assert "rested" not in out


@pytest.mark.parametrize("losses", [[], [loss_row("repeated by the proxy", failure="carried out twice")]])
def test_racy_is_no_clean_pass(losses: list[Row], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = flat(said(written(tmp_path, losses, more_summary={"verdict": "racy"}), capfd=capfd))
    assert "racy: none of 1,000 requests was lost" in out
    assert "who is farther away, or sends a moment later, loses a request (docs/causes.md#keep-alive-race)" in out


def test_what_helps_has_its_address_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [loss_row()], plugin="haproxy", mechanism="reload")
    cure = choose("haproxy:reload").mechanism.cure
    assert cure is not None
    for words in ((), ("--loss", "1")):
        assert status_of("explain", str(path), *words) == 0
        assert f" {cure.link}\n" in capfd.readouterr().out


def test_what_was_sent_before_the_change_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [loss_row(since_change_us=-1_500_000)])
    out = flat(said(path, "--loss", "1", capfd=capfd))
    assert "its request was sent 1,500 ms before change 1, add backend 2, was requested" in out
    assert "-1.5000 s" in out


@pytest.mark.parametrize("verdict", ["invalid", "ineffective", "lossy"])
def test_what_a_verdict_rests_on_besides_losses_comes_first(
    verdict: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = {"verdict": verdict, "reasons": ["the proxy hangs"]}
    out = flat(said(written(tmp_path, more_summary=told), capfd=capfd))
    assert out.startswith(
        f"{verdict}: the proxy hangs. None of 1,000 requests was lost while it:reload was changed once"
    )


def test_files_of_different_runs_are_told_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [loss_row()], more_summary={"failure": 3})
    assert "run.json tells of 3: the files are not of one run" in flat(said(path, capfd=capfd))


def test_without_rows_the_story_is_told_as_far_as_it_goes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there may be another run's
    path = written(tmp_path, [loss_row()])
    (tmp_path / "data.csv").unlink()
    out = flat(said(path, capfd=capfd))
    assert "rows (data.csv) are not beside it" in out
    assert "request 7 sent after 80.0 ms of rest" in out


def test_the_mechanisms_own_cure_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [loss_row()], plugin="nginx", mechanism="reload")
    assert "what helps with nginx:reload: keepalive_min_timeout" in flat(said(path, capfd=capfd))
    repeated, its_row, _words = STORIES[Cause.REPEATED]
    graceful = {"verdict": "graceful"}
    path = written(tmp_path, [repeated], [its_row or {}], graceful, plugin="nginx", mechanism="reload")
    assert "what helps" not in said(path, capfd=capfd)


def test_of_somebody_elses_proxy_and_backends_it_says_what_is_not_known(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loss = loss_row(fate="", change="", since_change_us="", evidence="it had carried 7 and rested for 80.0 ms")
    out = flat(said(written(tmp_path, [loss], plugin=None, mechanism=None, changes=[]), capfd=capfd))
    assert out.startswith("lossy: 1 of 1,000 requests was lost; http://it.test:8080/ was not changed")
    assert "fate not known: the backends are somebody else's when before any change" in out
    assert "no backend received it" not in out


def test_one_loss_is_told_in_full(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [
        row(1_000_000, written=999_000, connect=500),
        *(row(2_000_000 + number, request=number, written=2_000_000, carried=number) for number in range(2, 7)),
        lost(2_101_200, request=7, written=2_100_000, carried=7, failure="closed before response, reused"),
        row(2_200_000, request=8, connection=1, front_port=40009),
    ]
    near = [loss_row(client=1, kind="idle", time=2_150_000), loss_row("proxy cut it", time=2_301_201)]
    path = written(tmp_path, [loss_row(time=2_101_200, generation="1"), *near], rows)
    out = said(path, "--loss", "1", capfd=capfd)
    told = flat(out)
    assert "over connection 0, port 40000, which had carried 7 requests, and had rested for 80.0 ms" in told
    assert "2.101200 s after the clients had started; its request was sent 100 ms after change 1, add backend 2" in told
    assert "held by generation 1 of the proxy's processes" in told
    assert "seen it had carried 7 and rested for 80.0 ms; no backend received it" in told
    assert [line.split()[0] for line in out.splitlines() if re.match(" +[0-9]+ +[+]0.0000 s ", line)] == ["4", "5", "6"]
    assert re.search(r"^  -> +7 +\+0\.1000 s +\+0\.1012 s  - +closed before response, reused$", out, re.MULTILINE)
    assert "the client's next, request 8 over connection 1, sent at +0.1997 s, was answered" in told
    assert "1 other within 100 ms of it: 1 idle, keep-alive race" in told
    assert "-1.0015 s connection opened" in told


def test_the_file_is_run_json_where_none_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, [loss_row()])
    monkeypatch.chdir(tmp_path)
    assert status_of("explain") == 0
    assert "1 of 1,000 requests was lost" in capfd.readouterr().out

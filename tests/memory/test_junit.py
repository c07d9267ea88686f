"""JUnit XML: what a continuous integration server is told."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from proxyreload.comparison.row import row_of
from proxyreload.comparison.trial import Trial
from proxyreload.comparison.trialcases import as_junit
from proxyreload.errors import StartError, UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Ended, Phase, Started
from proxyreload.proxy.interfaces import Cure
from proxyreload.record.junit import UNFINISHED, Case, JUnitFile, document, judged
from proxyreload.system.claim import Claim
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.verdict.judgement import Judgement, Verdict, judge
from proxyreload.verdict.observation import Observation

from . import observing
from .clocks import START_NS
from .happened import change, exchange, failed

LOSSY = Judgement(Verdict.LOSSY, ("3 failures: 2 timeout, 1 refused",))
CURE = Cure("the other one", "https://example.test/")


def observed(*, losses: int = 0) -> Observation:
    """Return a run of 10 s in which backend 2 is added at 2 s, seen, and 20 ms in being applied."""
    bus = EventBus()
    observation = observing.observed(bus)
    at_ns = START_NS + ns(2)
    bus.publish(Started(START_NS))
    bus.publish(change(Phase.REQUESTED, at_ns))
    bus.publish(change(Phase.APPLIED, at_ns + 20 * NS_PER_MS))
    bus.publish(exchange(instance="2", written_ns=at_ns + 29 * NS_PER_MS, ended_ns=at_ns + 30 * NS_PER_MS))
    for _loss in range(losses):
        bus.publish(failed("refused", written_ns=at_ns + 39 * NS_PER_MS, ended_ns=at_ns + 40 * NS_PER_MS))
    bus.publish(Ended(START_NS + ns(10)))
    bus.flush()
    return observation


def written(path: Path, observation: Observation, *, of: str = "fake:quick") -> ET.Element:
    """Record a run and return the file's root."""

    async def execute() -> Judgement:
        return judge(observation)

    outcome = Deferred.fromCoroutine(JUnitFile(path, of).record(execute, observation))
    outcomes: list[object] = []
    outcome.addBoth(outcomes.append)
    assert isinstance(outcomes[0], Judgement)
    return ET.parse(path).getroot()


def test_a_lossless_run_passes_with_what_it_can_show(tmp_path: Path) -> None:
    root = written(tmp_path / "junit.xml", observed())
    assert root.tag == "testsuites"
    (suite,) = root
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "fake:quick",
        "2",
        "0",
        "0",
    )
    added, run = suite
    assert (added.get("classname"), added.get("name"), added.get("time")) == (
        "fake:quick",
        "change 1: add backend 2",
        "0.020",
    )
    assert (run.get("name"), run.get("time")) == ("run", "10.000")
    output = run.find("system-out")
    assert output is not None
    assert output.text is not None
    assert "0 failures in 1 exchange" in output.text


def test_a_loss_fails_its_change_and_the_run_with_classes_and_counts(tmp_path: Path) -> None:
    (suite,) = written(tmp_path / "junit.xml", observed(losses=3))
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0")
    for case in suite:
        failure = case.find("failure")
        assert failure is not None
        assert failure.get("type") == "lossy"
        assert "3 failures: 3 refused" in str(failure.get("message"))


@pytest.mark.parametrize("verdict", Verdict)
def test_a_case_passes_where_the_exit_status_does(verdict: Verdict) -> None:
    case = judged("run", "fake:quick", 1, Judgement(verdict, ()))
    assert case.outcome == {0: "", 1: "failure", 3: "error"}[verdict.exit_status]


def test_a_run_that_is_not_valid_is_an_error(tmp_path: Path) -> None:
    observation = observed()
    observation.broken.append("the proxy died: killed by signal 11")
    (suite,) = written(tmp_path / "junit.xml", observation)
    (error,) = suite.iter("error")
    assert (suite.get("errors"), error.get("type")) == ("1", "invalid")
    assert error.get("message") == "the proxy died: killed by signal 11"


def test_a_change_that_was_not_seen_is_an_error(tmp_path: Path) -> None:
    observation = observed()
    observation.changes[0].answers = 0
    (suite,) = written(tmp_path / "junit.xml", observation)
    assert [error.get("type") for error in suite.iter("error")] == ["ineffective", "ineffective"]


def test_a_run_that_could_not_start_is_an_error_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"

    async def execute() -> Judgement:
        assert "did not come to its end" in path.read_text()  # what is left of a run that is killed
        message = "port 1030 is in use"
        raise StartError(message)

    outcomes: list[object] = []
    recording = JUnitFile(path, "fake:quick").record(execute, observed())
    Deferred.fromCoroutine(recording).addErrback(outcomes.append)
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].check(StartError)
    (error,) = ET.parse(path).getroot().iter("error")
    assert error.get("message") == "port 1030 is in use"


def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "junit.xml"
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        JUnitFile(path, "fake:quick").open()


def test_a_file_that_cannot_be_written_at_the_end_leaves_the_judgement_and_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JUnitFile(tmp_path / "junit.xml", "fake:quick")
    observation = observed()

    def full(_self: Claim, _text: str) -> None:
        raise OSError(28, "No space left on device")

    async def execute() -> Judgement:
        monkeypatch.setattr(Claim, "replace", full)
        return judge(observation)

    outcomes: list[object] = []
    Deferred.fromCoroutine(file.record(execute, observation)).addBoth(outcomes.append)
    assert isinstance(outcomes[0], Judgement)
    assert file.unwritten == f"{file.path} cannot be written: No space left on device"
    assert UNFINISHED in file.path.read_text(encoding="utf-8")
    Claim.of(file.path).release()


def test_a_file_that_another_run_writes_is_told_before_the_run(tmp_path: Path) -> None:
    file = JUnitFile(tmp_path / "junit.xml", "fake:quick")
    file.open()
    with pytest.raises(UsageError, match="cannot be written: another run is writing it"):
        JUnitFile(file.path, "fake:slow").open()
    file.close()


def test_the_words_of_a_proxy_are_escaped() -> None:
    root = ET.fromstring(
        document("s", [Case("n", "a<b", outcome="error", message='\x1b[31m"no"\x00 & \udc80 ]]>\ufffe')])
    )
    (error,) = root.iter("error")
    assert error.get("message") == '\\x1b[31m"no"\\x00 & \\udc80 ]]>\\ufffe'


@given(st.text(st.characters(), max_size=50))
def test_whatever_is_said_the_document_can_be_read(text: str) -> None:
    cases = [Case(text, text, outcome="failure", message=text, output=text), Case(text, text)]
    root = ET.fromstring(document(text, cases).encode("utf-8"))
    failing, passing = root.iter("testcase")
    assert failing.get("name") == passing.get("name")
    assert len(list(root.iter("failure"))) == 1


def test_a_long_word_is_cut() -> None:
    assert len(document("s", [Case("n", "o", message="x" * 100_000, outcome="error")])) < 2000


# A comparison.


def test_a_comparison_has_a_case_for_each_trial() -> None:
    run = Path("run.json")
    good = Judgement(Verdict.SEAMLESS, ())
    rows = [
        row_of("a:one", [Trial(1, run, good), Trial(2, run, LOSSY)], {Verdict.LOSSY: CURE}),
        row_of("b:two", [Trial(1, run, why="cannot upgrade: it has no way", cannot=True)]),
        row_of("c:three", [Trial(1, run, why="it did not start")]),
        row_of("d:four", [], why="not run: ended before its turn"),
    ]
    (suite,) = ET.fromstring(as_junit(rows))
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["5", "1", "2", "1"]
    assert [case.get("classname") for case in suite] == ["a:one", "a:one", "b:two", "c:three", "d:four"]
    (failure,) = suite.iter("failure")
    assert failure.get("message") == LOSSY.reasons[0]
    assert "what helps: the other one, https://example.test/" in str(suite[1].findtext("system-out"))


def test_a_comparison_that_did_not_end_is_an_error() -> None:
    (suite,) = ET.fromstring(as_junit([]))
    assert suite.get("errors") == "1"

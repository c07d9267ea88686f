"""The schemas that are published: what is written is as they say, and they say nothing that is not written."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from proxyreload.bisection.bisection import Bisection, Found, Step
from proxyreload.bisection.interfaces import ITrier
from proxyreload.bisection.sequential import SequentialTest
from proxyreload.capacity.capacityfile import as_json
from proxyreload.command.bisect import _as_json
from proxyreload.command.capacity import _measured
from proxyreload.command.compare import CompareOptions, _texts
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.condition import UNCHANGED, Condition
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.trial import TrialDisruption, TrialPrice
from proxyreload.errors import ExitStatus
from proxyreload.history.events import (
    Arrival,
    BaselineTaken,
    Ended,
    Ending,
    Event,
    FarKept,
    FrontClosed,
    FrontSecured,
    Held,
    Holding,
    KindTaken,
    LeftUndone,
    OldGeneration,
    Paced,
    Phase,
    RateChanged,
    RecordLost,
    ScheduleKept,
    Shown,
    Spent,
    Started,
    WentAway,
)
from proxyreload.history.order import when
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.plan.scenario import Scenario
from proxyreload.plan.scenario import Step as Planned
from proxyreload.plan.settings import (
    BackendSettings,
    CollectorSettings,
    FileSettings,
    LoadSettings,
    Settings,
    Target,
    TlsSettings,
)
from proxyreload.plan.traffic import group
from proxyreload.proxy.registry import Choice
from proxyreload.record.runfile import RunFile
from proxyreload.schemas.published import schemas
from proxyreload.system.clock import NS_PER_S, ns
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.registry import kind_named, kinds
from proxyreload.verdict.judgement import Judgement, Verdict, judge
from proxyreload.verdict.observation import observe
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.threshold import Decided, Decision, Outcome, parsed

from .clocks import START_NS
from .compared import trial
from .conforming import met, parts, schema, unseen_keys, wrong
from .exits import status_of
from .happened import back_closed, change, exchange, failed
from .test_capacity import asked
from .test_capacity import found as capacities
from .test_comparison import CURES, ROWS

NAMES = tuple(schemas())
each = pytest.mark.parametrize("name", NAMES)
#: Each is a document of a thousand values that is looked at whole.
few_examples = settings(max_examples=30)


@each
def test_each_is_a_schema_that_stands_by_itself_and_explains_every_key(name: str) -> None:
    content = schema(name)
    Draft202012Validator.check_schema(content)
    assert content["$id"] == f"urn:proxyreload:{name}:{content['properties']['format']['const']}"
    for part in parts(content):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in content["$defs"]
        for key, below in part.get("properties", {}).items():
            assert below is False or described(content, below), key


def described(content: Mapping[str, Any], below: Mapping[str, Any]) -> bool:
    """Return whether it is said what a key means, there or in what that refers to."""
    name = below.get("$ref", "").rpartition("/")[2]
    return "description" in below or "const" in below or bool(name and content["$defs"][name]["description"])


def test_what_two_have_in_common_they_describe_in_the_same_words() -> None:
    run, compare = schema("run")["$defs"], schema("compare")["$defs"]
    common = run.keys() & compare.keys()
    assert {"decision", "per_change", "proof", "traffic", "options", "scenario"} <= common
    assert {name: run[name] for name in common} == {name: compare[name] for name in common}


def test_closed_lists_are_the_programs_own() -> None:
    parts_of_run = schema("run")["$defs"]
    assert parts_of_run["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert parts_of_run["causes"]["propertyNames"]["enum"] == [cause.value for cause in Cause]
    assert list(parts_of_run["ledger"]["properties"]) == [fate.value for fate in Fate]
    assert list(parts_of_run["front_closed"]["properties"]) == [ending.value for ending in Ending]
    assert parts_of_run["outcome"]["enum"] == [outcome.value for outcome in Outcome]
    exits = {int(verdict.exit_status) for verdict in Verdict}
    assert set(parts_of_run["summary"]["properties"]["exit_status"]["enum"]) == exits


# Documents that have everything.


def at(second: float) -> int:
    return START_NS + ns(second)


def secured(second: float, serial: str, *, resumed: bool = False, probe: bool = False) -> FrontSecured:
    shown = Shown(serial, resumed, offered=resumed, version="TLSv1.3")
    return FrontSecured(0, 0, 40000, shown, at(second - 0.01), at(second), probe)


def held(second: float, newest: int, living: set[int], generation: int) -> Held:
    return Held(newest, {40000: generation}, at(second), frozenset(living), {40000: Holding(0, 0)})


def changed(number: int, second: float, action: str, instance: str = "", **more: Any) -> list[Event]:
    """Return a change that is applied after a tenth of a second."""
    phases = ((Phase.REQUESTED, second), (Phase.APPLIED, second + 0.1))
    return [change(phase, at(when_s), action, instance, number, **more) for phase, when_s in phases]


def answered(second: float, **more: Any) -> list[Event]:
    """Return a request that backend 1 answered."""
    number = round(second * 100)
    arrival = Arrival("1", f"0-{number}", 50000, 0, at(second), at(second), at(second))
    times = {"due_ns": at(second), "written_ns": at(second), "ended_ns": at(second + 0.01)}
    return [arrival, exchange(number=number, instance="1", **times, **more)]


def lost(second: float, failure: str = "closed before response, reused", **more: Any) -> Event:
    times = {"due_ns": at(second), "written_ns": at(second), "ended_ns": at(second + 0.02)}
    return failed(failure, number=round(second * 100), carried=3, **{**times, **more})


#: What had begun at backend 0 before that was removed, and ended there later.
STREAM: list[Event] = [
    Arrival("0", "1-0", 50000, 0, at(0.3), at(0.3)),
    Arrival("0", "1-0", 50000, 0, at(0.3), at(0.3), at(1.5), again=True),
    exchange(client=1, written_ns=at(0.3), due_ns=at(0.3), ended_ns=at(1.52), kind="stream", long=True),
]
HISTORY: list[Event] = [
    *STREAM,
    *(secured(0.1, "a"), secured(0.1, "a", probe=True), held(0.2, 0, {0}, 0), Spent(2, 20_000_000, NS_PER_S, at(0.2))),
    *answered(0.5),
    *changed(1, 1, "remove", "0"),
    *(lost(1.05), FrontClosed(0, 0, 40000, 5, Ending.IDLE, at(1.06), probe=False), back_closed("1")),
    *answered(1.5),
    *changed(2, 2, "rotate", certificate="b"),
    *(secured(2.2, "a"), secured(2.3, "b", resumed=True), secured(2.4, "b"), secured(2.4, "a")),
    *changed(3, 3, "edit", route="/proxyreload-edited-3"),
    *(held(3.2, 1, {0, 1}, 0), held(3.4, 1, {1}, 1), Spent(3, 30_000_000, 2 * NS_PER_S, at(3.5))),
    FrontClosed(0, 1, 40000, 5, Ending.ANNOUNCED, at(3.6), probe=False, message="GOAWAY NO_ERROR"),
    FrontClosed(0, 1, 40000, 5, Ending.CUT, at(3.6), probe=False, message="reset"),
    FrontClosed(0, 1, 40000, 5, Ending.UNSOLICITED, at(3.6), probe=False),
    WentAway(0, 1, 40000, 5, 17, "NO_ERROR", 1, 2, at(3.6), message="bye"),
    Paced(0, 1, 7, at(3), ns(0.1), (1, 2, 3), at(3.7)),
    *(event for number in (4, 5) for event in changed(number, number, "reload")),
    change(Phase.REQUESTED, at(6), "upgrade", "", 6),
    change(Phase.FAILED, at(6.1), "upgrade", "", 6, message="No."),
    *(lost(6.3, kind="aimed"), lost(6.4, "turned away", kind="h2")),
    *(LeftUndone("delete it", "busy", at(6.5)), RateChanged(20.0, at(6.6)), RecordLost("0", at(6.6), at(6.7))),
    OldGeneration(2, 1, ns(1), at(7), "nobody looked"),
    BaselineTaken({90: 300}, 300, {"timeout": 2}, ns(1), at(0), {"post": KindTaken({90: 3}, 3, {})}),
    ScheduleKept(1000, 2, ns(0.003), {4: 7}, ns(0.005), at(8), 1),
    FarKept(ns(0.02), {0: 98, 20: 1}, at(8)),
]

#: Every option is set, to something else than nothing.
SETTINGS = Settings(
    Target.front(8080),
    Scenario("all", 8.0, (0, 1), (Planned("remove", 0, 1.0), Planned("pause", pause_s=1.0), Planned("reload")), ()),
    load=LoadSettings(
        rate_per_s=100.0,
        groups=(
            *(group(kind, 2, 0.02) for kind in kinds().values()),
            attrs.evolve(group(kind_named("idle"), 2), refused="it does not answer"),
        ),
    ),
    backends=BackendSettings(stop_removed_s=1.0, kill_removed_s=1.0),
    tls=TlsSettings(ca=Path("ca.pem"), front=True),
    collector=CollectorSettings("http://127.0.0.1:4318/v1/traces"),
    files=FileSettings(junit=Path("junit.xml"), report=Path("report.html"), summary=Path("summary.md")),
    binary="/it",
    upgrade_to="/it-too",
    commands={"add": "add it"},
    command=("proxyreload", "--plugin", "it"),
    fail_on=parsed(["lossy"]),
)
DECISION = Decision(
    ExitStatus.LOST, Outcome.FAILS, (Decided("lossy", Outcome.FAILS, "the run is lossy"),), "nothing was judged"
)
CONFIGURATION = {"name": "it.conf", "files": {"it.conf": {"sha256": "0" * 64, "text": "@@front@@"}}}


def run_document(folder: Path, events: Iterable[Event] = HISTORY) -> dict[str, Any]:
    """Return a run's file, with everything in it that there can be."""
    begun = Started(START_NS, {"0": "get", "1": "stream"}, frozenset({"aimed"}), hosted=True)
    observation = observe((type(event), [event]) for event in (begun, *sorted(events, key=when), Ended(at(8))))
    file = RunFile(folder / "run.json")
    told = {"plugin": "it", "mechanism": "reload", "proxy_version": "it 1", "successor_version": "it 2"}
    file.open({**SETTINGS.as_run(), **told, "configuration": CONFIGURATION})
    file.finish(observation, judge(observation), DECISION)
    file.close()
    content: dict[str, Any] = json.loads(file.path.read_text(encoding="utf-8"))
    return content


CONDITIONS = (UNCHANGED, Condition("far", "killed"))


def compared_rows() -> list[Row]:
    """Return the rows of mechanisms of which everything is known, or nothing; in two versions."""
    whole = attrs.evolve(
        trial(Verdict.LOSSY, 0, 3, 0, 1, 0),
        kinds={"get": (900, 4), "post": (0, 0)},
        causes={"get": Counter({Cause.KEEP_ALIVE_RACE: 4})},
        verdicts={"get": Verdict.LOSSY},
        carries_not={"grpc": "it does not answer"},
        left_out={"grpc": "it does not answer"},
        front_closed=Counter({ending.value: 1 for ending in Ending}),
        proof=Proof(100, 40, 5, 4),
        drained_ns=(5_000_000,),
        price=TrialPrice(5, 50_000_000, (NS_PER_S,), (NS_PER_S,), 2, 1, {"idle": 3}),
        disruptions={"get": TrialDisruption(NS_PER_S, 0, NS_PER_S), "stream": TrialDisruption(NS_PER_S, None, None)},
        storm=7,
        wall_ns=NS_PER_S,
    )
    invalid = attrs.evolve(whole, judgement=Judgement(Verdict.INVALID, ("it died",)), why="it died")
    return [row_of(f"fake:slow@{version}", [each], CURES) for version, each in (("1.0", whole), ("2.0", invalid))]


def compare_document() -> dict[str, Any]:
    """Return what a comparison leaves."""
    options = CompareOptions()
    options.parseOptions(["fake:slow"])
    comparison = Comparison(cast(IReactor, None), lambda: 0, [], SETTINGS, Path(), 1, conditions=CONDITIONS)
    text = _texts(options, [*compared_rows(), *ROWS], comparison)[Path("compare.json")]
    content: dict[str, Any] = json.loads(text)
    return content


def bisect_document() -> dict[str, Any]:
    """Return what a bisection leaves that found nothing, with what it would have found."""
    bisection = Bisection(["1.0", "1.1", "1.2", "2.0"], cast(ITrier, None), 0.2)
    test = SequentialTest(0.2, 0.01)
    for _change in range(100):
        test = test.after(hit=False) if test.decision is None else test
    bisection.steps += [Step("1.0", test), Step("1.1", test, "undecided"), Step("2.0", test, "unknown", cannot=True)]
    choice = cast(Choice, type("It", (), {"name": "it:reload"}))
    content: dict[str, Any] = json.loads(
        _as_json(choice, bisection, Found("1.0", "2.0", ["1.1"]), "it was ended", "it?")
    )
    return content


def capacity_document() -> dict[str, Any]:
    """Return what a measurement leaves, of mechanisms of which all is known, or nothing."""
    content: dict[str, Any] = json.loads(as_json(capacities(), _measured("what", asked())))
    return content


#: By the name of their schema; the first of each has nearly everything.
Documents = Mapping[str, Sequence[dict[str, Any]]]


@pytest.fixture(name="documents", scope="module")
def _documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    folder = tmp_path_factory.mktemp("run")
    runs = [run_document(folder), run_document(folder, STREAM)]
    return {
        "run": runs,
        "compare": [compare_document()],
        "bisect": [bisect_document()],
        "capacity": [capacity_document()],
    }


@each
def test_what_is_written_is_as_it_says(name: str, documents: Documents) -> None:
    assert [wrong(name, document) for document in documents[name]] == [[]] * len(documents[name])


@each
def test_it_names_no_key_that_is_not_written(name: str, documents: Documents) -> None:
    assert unseen_keys(name, documents[name]) == set()


# Documents that are not as it says.


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every table or list with each key or index of it."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from places(below)


@each
@given(data=st.data())
@few_examples
def test_a_value_of_another_type_is_told(name: str, documents: Documents, data: st.DataObject) -> None:
    document = deepcopy(documents[name][0])
    there = list(places(document))
    where, key = there[data.draw(st.integers(0, len(there) - 1), "which")]
    where[key] = 1 if isinstance(where[key], str | list) else "odd" if where[key] is not None else {"odd": 1}
    assert wrong(name, document)


@each
@given(data=st.data())
@few_examples
def test_a_key_that_is_not_there_is_told(name: str, documents: Documents, data: st.DataObject) -> None:
    document = deepcopy(documents[name][0])
    tables = [one for one in met(name, document, "required") if isinstance(one.value, dict)]
    required = [(one.value, key) for one in tables for key in one.part["required"] if key in one.value]
    where, key = required[data.draw(st.integers(0, len(required) - 1), "which")]
    del where[key]
    assert wrong(name, document)


@each
@given(data=st.data())
@few_examples
def test_a_key_that_nobody_knows_is_told(name: str, documents: Documents, data: st.DataObject) -> None:
    document = deepcopy(documents[name][0])
    tables = [one for one in met(name, document, "additionalProperties") if isinstance(one.value, dict)]
    closed = [one.value for one in tables if one.part["additionalProperties"] is False]
    where = closed[data.draw(st.integers(0, len(closed) - 1), "which")]
    where["odd"] = 1
    assert wrong(name, document)


def test_a_kind_of_somebody_elses_may_have_keys_of_its_own_and_classes_of_failure(documents: Documents) -> None:
    theirs: dict[str, Any] = {
        "kind": "theirs",
        "clients": 1,
        "rate": None,
        "rtt_ms": 0.0,
        "depth": 3,
        "width": [1, 2.5],
    }
    document = deepcopy(documents["run"][0])
    document["traffic"].append(theirs)
    document["changes"][0]["failures"]["too deep"] = 1
    assert wrong("run", document) == []
    theirs["width"] = ["wide"]
    assert wrong("run", document)


@pytest.mark.parametrize("changes", [True, False])
def test_a_run_that_is_over_has_its_changes_and_one_that_is_not_has_none(
    documents: Documents, *, changes: bool
) -> None:
    document = {**documents["run"][0], "finished": not changes}
    if not changes:
        del document["changes"]
    assert wrong("run", document)


# The command.


@each
def test_the_command_prints_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("schema", name) == ExitStatus.LOSSLESS
    assert json.loads(capfd.readouterr().out) == schema(name)


@pytest.mark.parametrize("words", [(), ("runs",), ("run", "compare"), ("\x1b[2J",)])
def test_another_name_is_told_in_a_line(words: Sequence[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("schema", *words) == ExitStatus.USAGE
    said = capfd.readouterr().err
    assert said.startswith("proxyreload: schema takes bisect, capacity, compare, run, not ")
    assert (said.count("\n"), "\x1b" in said) == (1, False)

"""The change ``edit``: a route that has nothing to do with the traffic, and whether it is answered as edited."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from zope.interface import implementer

from proxyreload.client.agent import OneConnectionAgent
from proxyreload.errors import ChangeError, StartError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Edited, Phase
from proxyreload.plan.operations import SHOWN_LIMIT_S, Operations
from proxyreload.proxy.interfaces import IEdits, Mechanism
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Edits, Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.record.runfile import change_as_run
from proxyreload.run.readiness import Readiness
from proxyreload.verdict.judgement import Verdict, is_effective, judge_change, proved

from .clocks import Time, error_of, result_of, waits
from .happened import exchange, record
from .observing import observed
from .plugins import FakeProxy

ROUTE = Route(1)


@implementer(IEdits)
class EditedProxy(FakeProxy):
    """One that edits."""

    async def edit(self) -> None:
        await self._wait("edit", Upstream(-1, "", 0))


class Scene:
    """Operations on such a proxy, that is seen to answer as the test says."""

    def __init__(self, *, ours: bool = True) -> None:
        self.time, self.proxy, self.edits, self.words = Time(), EditedProxy(), Edits(), ""
        self.asked: list[Route] = []
        bus = EventBus()
        self.events, self.observation = record(bus), observed(bus)
        proxy = {"edits": self.edits, "asks": self.asks} if ours else {}
        self.operations = Operations(
            cast(Any, self.time), self.time.ns, bus, self.proxy, {}, "test:edits", **cast(Any, proxy)
        )

    async def asks(self, route: Route) -> str:
        self.asked.append(route)
        return self.words

    @property
    def last(self) -> Change:
        return [event for event in self.events if isinstance(event, Change)][-1]


@pytest.mark.parametrize(
    ("status", "locations", "as_edited"),
    [
        (302, [ROUTE.to], True),
        (301, ["https://proxyreload.test:8080" + ROUTE.to], True),
        (401, [], True),
        (302, [Route(2).to], False),
        (302, [], False),
        (200, [ROUTE.to], False),
        (404, [], False),
    ],
)
def test_an_answer_is_as_edited_or_not(status: int, locations: list[str], *, as_edited: bool) -> None:
    why_not = f"the edited route {ROUTE.path} was answered with status {status}, not as edited"
    assert ROUTE.why_not(status, locations) == ("" if as_edited else why_not)


def test_each_edit_has_a_route_of_its_own_also_after_one_that_was_refused() -> None:
    edits = Edits()
    first = edits.renew()
    assert (edits.current, first) == (first, Route(1))
    second = edits.renew()
    for _time in range(2):
        edits.put_back()
        assert edits.current == first
    assert edits.renew() not in (first, second)


def test_an_edit_is_effective_when_its_route_is_answered_as_edited() -> None:
    scene = Scene()
    scene.words = "status 404"
    edited = scene.operations.request("edit")
    assert (scene.edits.current, scene.last.route) == (ROUTE, ROUTE.path)
    scene.proxy.done()
    assert (scene.last.phase, waits(edited)) == (Phase.APPLIED, True)
    (change,) = scene.observation.changes
    assert is_effective(change) == (False, f"the edited route {ROUTE.path} was not asked for")
    assert not proved(scene.observation, 1)
    scene.time.advance(0.5)
    scene.words = ""
    scene.time.advance(0.5)
    assert result_of(edited).phase is Phase.APPLIED
    assert set(scene.asked) == {ROUTE}
    assert proved(scene.observation, 1)
    assert change.effective_ns == scene.time.ns()
    assert judge_change(change).verdict is Verdict.SEAMLESS
    assert change_as_run(change, change.requested_ns, 0, hosted=True)["route"] == ROUTE.path


def test_one_that_is_never_seen_is_ineffective_and_the_run_goes_on() -> None:
    scene = Scene()
    scene.words = "status 404"
    edited = scene.operations.request("edit")
    scene.proxy.done()
    scene.time.pump([0.5] * int(SHOWN_LIMIT_S / 0.5 + 1))
    assert result_of(edited).phase is Phase.APPLIED
    (change,) = scene.observation.changes
    assert is_effective(change) == (False, "status 404")
    assert change.effective_ns == 0
    assert judge_change(change).verdict is Verdict.INEFFECTIVE


def test_one_that_is_refused_leaves_the_route_of_before() -> None:
    scene = Scene()
    edited = scene.operations.request("edit")
    scene.proxy.fails(ChangeError("no such map"))
    assert result_of(edited).message == "no such map"
    assert (scene.edits.current, scene.asked) == (None, [])
    assert not any(isinstance(event, Edited) for event in scene.events)


def test_of_somebody_elses_edit_nobody_knows_how_it_shows() -> None:
    scene = Scene(ours=False)
    edited = scene.operations.request("edit")
    scene.proxy.done()
    assert (result_of(edited).phase, scene.last.route) == (Phase.APPLIED, "")
    (change,) = scene.observation.changes
    assert is_effective(change) == (False, "no connection that was opened after it was answered")
    at_ns = scene.time.ns() + 1_000_000
    scene.operations.sink.exchanged(exchange(written_ns=at_ns + 1000, connect_ns=1000, ended_ns=at_ns + 2000))
    scene.operations.sink.flush()  # type: ignore[attr-defined]
    assert proved(scene.observation, 1)


def test_a_mechanism_that_cannot_edit_says_why() -> None:
    told = Mechanism("told", "", cast(Any, FakeProxy), cannot={"edit": "it has one route"})
    assert told.why_not("edit") == "it has one route"
    assert Mechanism("edits", "", cast(Any, EditedProxy)).why_not("edit") == ""


class Workspace:
    """What is known of the edits."""

    def __init__(self) -> None:
        self.edits = Edits()


class Started(EditedProxy):
    """A proxy that is started again, unless it is not."""

    refuses = False
    routes: list[Route | None]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    async def start(self, upstreams: Any) -> None:
        type(self).routes.append(self.workspace.edits.current)
        if self.refuses and self.workspace.edits.current is not None:
            msg = "no such directive"
            raise StartError(msg)


class Plain(FakeProxy):
    """One that knows no route."""

    def __init__(self, _workspace: Workspace) -> None:
        super().__init__()


def restarted(proxy: type[FakeProxy], edit: Callable[[Any], Awaitable[None]]) -> tuple[Deferred[None], Workspace]:
    class Restart(Restarting):
        PROXY = proxy

    workspace = Workspace()
    mechanism = Restart(cast(Any, workspace))

    async def done() -> None:
        await mechanism.start([])
        workspace.edits.renew()
        await edit(mechanism)

    return Deferred.fromCoroutine(cast(Coroutine[Deferred[Any], Any, None], done())), workspace


@pytest.mark.parametrize("refuses", [False, True])
def test_a_restart_starts_it_with_the_route_or_as_it_was(*, refuses: bool) -> None:
    Started.routes, Started.refuses = [], refuses
    done, workspace = restarted(Started, lambda mechanism: mechanism.edit())
    if refuses:
        assert str(error_of(done, ChangeError)) == "no such directive"
        assert (Started.routes, workspace.edits.current) == ([None, ROUTE, None], None)
    else:
        result_of(done)
        assert (Started.routes, workspace.edits.current) == ([None, ROUTE], ROUTE)


def test_a_restart_of_what_knows_no_route_says_so() -> None:
    done, _workspace = restarted(Plain, lambda mechanism: mechanism.edit())
    assert str(error_of(done, ChangeError)) == "its configuration has no such route"


class Answer:
    """An answer with a status, and perhaps a place."""

    def __init__(self, code: int, location: str) -> None:
        self.code, self.headers = code, Headers({"Location": [location]} if location else {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(302, ROUTE.to), ""),
        (Answer(200, ""), f"the edited route {ROUTE.path} was answered with status 200, not as edited"),
        (None, f"the edited route {ROUTE.path} was not answered"),
    ],
)
def test_the_front_is_asked_for_the_route(monkeypatch: pytest.MonkeyPatch, answer: Answer | None, words: str) -> None:
    asked: list[bytes] = []

    async def request(_agent: object, _method: bytes, uri: bytes, _headers: object) -> Answer:
        asked.append(uri)
        if answer is None:
            raise ConnectionRefusedError
        return answer

    monkeypatch.setattr(OneConnectionAgent, "request", request)
    connector = Change(1, "", "", "", Phase.APPLIED, 0)  # anything that can be evolved
    monkeypatch.setattr("proxyreload.run.readiness.attrs.evolve", lambda connector, **_how: connector)
    readiness = Readiness(cast(Any, Time()), cast(Any, connector), "http://proxyreload.test:8080/x", from_ours=True)
    assert result_of(Deferred.fromCoroutine(readiness.why_not_edited(ROUTE))) == words
    assert asked == [b"http://proxyreload.test:8080/proxyreload-edited-1"]

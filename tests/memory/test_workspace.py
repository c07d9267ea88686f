"""A process that starts, or takes over from another: whose end is then a death, and whose is not; what it says."""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import attrs
import psutil
import pytest
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy import tree
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S, GRACE_S, Workspace
from proxyreload.system.child import ChildProcess, Exit
from proxyreload.system.waiting import LateError

from .clocks import Time, error_of, result_of, waits


@attrs.define(eq=False)
class FakeProcess:
    """A process that ends when it is told to, or is killed."""

    pid: int
    ended: Deferred[None]
    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            self.end(-number)

    def end(self, code: int) -> None:
        self.returncode = code
        self.ended.callback(None)


@attrs.define(eq=False)
class Takeover:
    """An old process, and another that is to take over from it."""

    clock: Time = attrs.field(factory=Time)
    workspace: Workspace = attrs.field(init=False)
    processes: list[FakeProcess] = attrs.field(factory=list)
    deaths: list[ChildProcess] = attrs.field(factory=list)
    old: ChildProcess = attrs.field(init=False)
    in_charge: bool = False
    refuses: bool = False
    serves: bool = True
    asked: list[ChildProcess] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.workspace = Workspace(
            reactor=cast(Any, self.clock),
            binary=Path("proxy"),
            front_host="127.0.0.1",
            front_port=1,
            hostname="localhost",
            answers=self.answers,
            on_death=self.deaths.append,
        )

    async def answers(self) -> bool:
        return self.serves

    async def is_in_charge(self, child: ChildProcess) -> bool:
        self.asked.append(child)
        if self.refuses:
            raise ChangeError
        return self.in_charge

    def spawn(self, _reactor: object, arguments: Sequence[str], *, log: Path, **_more: object) -> ChildProcess:
        watch = Exit(cast(Any, self.clock))
        process = FakeProcess(100 + len(self.processes), watch.fired)
        self.processes.append(process)
        child = ChildProcess(arguments[0], log, cast(Any, process), watch)
        watch.fired.addCallback(child._exited)
        return child

    def begin(self) -> Deferred[ChildProcess]:
        self.old = self.workspace.spawn("old")
        return Deferred.fromCoroutine(self.workspace.replace(self.old, ["new", "-x"], self.is_in_charge))

    def look_again(self) -> None:
        self.clock.advance(0.1)


@pytest.fixture
def takeover(monkeypatch: pytest.MonkeyPatch) -> Iterator[Takeover]:
    takeover = Takeover()
    monkeypatch.setattr(ChildProcess, "spawn", takeover.spawn)
    yield takeover
    if takeover.workspace.folder.exists():
        takeover.workspace.folder.rmdir()


def test_time_outs_are_an_operators_unless_the_traffic_rests_longer(takeover: Takeover) -> None:
    workspace = takeover.workspace
    assert (workspace.idle_timeout_s, workspace.whole_timeout_s) == (60, 60)
    workspace.quiet_s, workspace.lasts_s = 45.1, 3600.0
    assert (workspace.idle_timeout_s, workspace.whole_timeout_s) == (91, 7200)


@pytest.mark.parametrize(("secret", "mode"), [(True, 0o600), (False, 0o644)])
def test_a_secret_configuration_is_for_this_user_alone(takeover: Takeover, mode: int, *, secret: bool) -> None:
    takeover.workspace.configuration = attrs.evolve(Configuration.of({"it.conf": "@@front@@"}), secret=secret)
    before = os.umask(0o022)
    try:
        path = takeover.workspace.configure(())
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("127.0.0.1:1", mode)
        path.unlink()
    finally:
        os.umask(before)


def test_it_is_returned_once_it_is_in_charge_and_the_old_one_may_end(takeover: Takeover) -> None:
    replacing = takeover.begin()
    takeover.look_again()
    assert waits(replacing)
    takeover.in_charge = True
    takeover.look_again()
    successor = result_of(replacing)
    assert set(takeover.asked) == {successor}
    assert successor.pid == takeover.processes[1].pid
    takeover.processes[0].end(0)
    assert takeover.deaths == []
    takeover.processes[1].end(1)
    assert takeover.deaths == [successor]


def test_the_old_one_may_end_before_the_other_says_that_it_is_in_charge(takeover: Takeover) -> None:
    replacing = takeover.begin()
    takeover.processes[0].end(0)
    takeover.look_again()
    assert waits(replacing)
    takeover.in_charge = True
    takeover.look_again()
    assert result_of(replacing).pid == takeover.processes[1].pid
    assert takeover.deaths == []


def test_who_has_handed_over_is_old_with_all_below_it_but_its_successor(
    takeover: Takeover, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = {100: [101, 200], 200: [201], 101: [300]}
    monkeypatch.setattr(tree, "children", lambda pid: below.get(pid, []))
    replacing = takeover.begin()
    takeover.in_charge = True
    takeover.look_again()
    assert (takeover.old.pid, result_of(replacing).pid) == (100, 101)
    assert takeover.workspace.retired() == {100, 200, 201}
    takeover.processes[0].end(0)
    assert takeover.workspace.retired() == set()


def test_who_cannot_be_asked_is_not_in_charge_yet(takeover: Takeover) -> None:
    takeover.refuses = True
    replacing = takeover.begin()
    takeover.look_again()
    assert waits(replacing)
    takeover.refuses, takeover.in_charge = False, True
    takeover.look_again()
    assert result_of(replacing).pid == takeover.processes[1].pid


def test_one_that_ends_is_a_change_that_failed_and_the_old_one_must_go_on(takeover: Takeover) -> None:
    replacing = takeover.begin()
    log = takeover.workspace.path("output.log")
    log.write_text("no such \x1bword\n", encoding="utf-8")
    takeover.processes[1].end(1)
    takeover.look_again()
    log.unlink()
    assert str(error_of(replacing, ChangeError)) == "new exited with status 1; it said:\n  no such \\x1bword"
    assert takeover.deaths == []
    takeover.processes[0].end(0)
    assert takeover.deaths == [takeover.old]


def test_one_that_ends_as_it_comes_into_charge_has_not_taken_over(takeover: Takeover) -> None:
    replacing = takeover.begin()
    takeover.in_charge = True
    takeover.processes[1].end(-signal.SIGSEGV)
    takeover.look_again()
    assert str(error_of(replacing, ChangeError)) == "new was ended by SIGSEGV; it said:\n  nothing"


def test_one_that_takes_too_long_is_killed(takeover: Takeover) -> None:
    replacing = takeover.begin()
    takeover.clock.pump([1.0] * int(COMMAND_TIMEOUT_S + GRACE_S))
    assert str(error_of(replacing, ChangeError)) == "new is not in charge after 30 s; it said:\n  nothing"
    assert takeover.processes[1].returncode == -signal.SIGKILL
    assert takeover.deaths == []


def test_without_the_old_one_either_the_proxy_is_dead(takeover: Takeover) -> None:
    replacing = takeover.begin()
    takeover.processes[0].end(0)
    assert takeover.deaths == []
    takeover.processes[1].end(1)
    takeover.look_again()
    error_of(replacing, ChangeError)
    assert takeover.deaths == [takeover.old]


def test_the_end_of_one_that_hands_over_is_no_death(takeover: Takeover) -> None:
    child = takeover.workspace.spawn("old")
    takeover.workspace.retire(child)
    takeover.processes[0].end(0)
    assert takeover.deaths == []


@pytest.mark.parametrize("ends_first", [True, False])
def test_the_end_of_one_that_has_not_handed_over_is_a_death(takeover: Takeover, *, ends_first: bool) -> None:
    child = takeover.workspace.spawn("old")
    takeover.workspace.retire(child)
    if ends_first:
        takeover.processes[0].end(0)
    takeover.workspace.reinstate(child)
    if not ends_first:
        assert takeover.deaths == []
        takeover.processes[0].end(0)
    assert takeover.deaths == [child]


def test_one_that_dies_as_it_starts_is_an_error_of_the_start_and_no_death(takeover: Takeover) -> None:
    takeover.serves = False
    child = takeover.workspace.spawn("new")
    starting = Deferred.fromCoroutine(takeover.workspace.until_answering(child))
    takeover.processes[0].end(1)
    takeover.look_again()
    assert str(error_of(starting, StartError)) == "new exited with status 1 at the start; it said:\n  nothing"
    assert takeover.deaths == []


def test_one_that_dies_after_it_has_started_is_a_death(takeover: Takeover) -> None:
    child = takeover.workspace.spawn("new")
    result_of(Deferred.fromCoroutine(takeover.workspace.until_answering(child)))
    takeover.processes[0].end(1)
    assert takeover.deaths == [child]


def test_what_is_said_from_now_on_is_told_in_whole_lines(takeover: Takeover) -> None:
    log = takeover.workspace.log
    log.write_text("before\n", encoding="utf-8")
    said = takeover.workspace.said_from_now()
    assert said() == []
    with log.open("a", encoding="utf-8") as file:
        file.write("one\ntwo\nthr")
    assert said() == ["one", "two"]
    with log.open("a", encoding="utf-8") as file:
        file.write("ee\n")
    assert said() == ["one", "two", "three"]
    log.unlink()


def test_what_a_proxy_keeps_elsewhere_goes_with_the_folder(
    takeover: Takeover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "strangers", list)
    shared, other, gone = (tmp_path / name for name in ("shared", "other", "gone"))
    shared.touch()
    other.touch()
    takeover.workspace.remove_too(shared)
    takeover.workspace.remove_too(gone)
    result_of(Deferred.fromCoroutine(takeover.workspace.close()))
    assert list(tmp_path.iterdir()) == [other]
    assert not takeover.workspace.folder.exists()


# What is given back, whatever cannot be.


async def fails() -> None:
    message = "it cannot be closed"
    raise ValueError(message)


def refuses() -> Awaitable[object]:
    message = "it cannot even be asked"
    raise KeyError(message)


@pytest.mark.parametrize(("closer", "error"), [(fails, ValueError), (refuses, KeyError)])
def test_a_server_that_cannot_be_closed_does_not_keep_the_others_nor_the_folder(
    takeover: Takeover,
    monkeypatch: pytest.MonkeyPatch,
    closer: Callable[[], Awaitable[object]],
    error: type[Exception],
) -> None:
    monkeypatch.setattr(tree, "strangers", list)
    closed: list[str] = []

    async def closes(name: str) -> None:
        closed.append(name)

    takeover.workspace.at_close(partial(closes, "first"))
    takeover.workspace.at_close(closer)
    takeover.workspace.at_close(partial(closes, "last"))
    closing = Deferred.fromCoroutine(takeover.workspace.close())
    error_of(closing, error)
    assert closed == ["first", "last"]
    assert not takeover.workspace.folder.exists()


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_server_that_never_closes_does_not_keep_the_others_nor_the_folder(
    takeover: Takeover, monkeypatch: pytest.MonkeyPatch, *, stubborn: bool
) -> None:
    monkeypatch.setattr(tree, "strangers", list)
    closed: list[str] = []

    async def never() -> None:
        try:
            await Deferred[None]()
        except CancelledError:
            if not stubborn:
                raise
            await Deferred[None]()

    async def closes(name: str) -> None:
        closed.append(name)

    takeover.workspace.at_close(partial(closes, "first"))
    takeover.workspace.at_close(never)
    takeover.workspace.at_close(partial(closes, "last"))
    closing = Deferred.fromCoroutine(takeover.workspace.close())
    takeover.clock.advance(GRACE_S - 0.25)
    assert waits(closing)
    takeover.clock.advance(0.25)
    error_of(closing, LateError)
    assert closed == ["first", "last"]
    assert not takeover.workspace.folder.exists()
    assert takeover.clock.getDelayedCalls() == []


@attrs.define(eq=False)
class Stranger:
    """A process that somebody else has started, and that only force ends."""

    pid: int = 200
    signals: list[str] = attrs.field(factory=list)

    def status(self) -> str:
        return psutil.STATUS_RUNNING

    def terminate(self) -> None:
        self.signals.append("terminate")

    def kill(self) -> None:
        self.signals.append("kill")


@pytest.fixture(name="stranger")
def _stranger(monkeypatch: pytest.MonkeyPatch) -> Stranger:
    stranger = Stranger()
    monkeypatch.setattr(tree, "strangers", lambda: [] if "kill" in stranger.signals else [stranger])
    return stranger


def test_who_does_not_end_is_ended_by_force_after_a_while(takeover: Takeover, stranger: Stranger) -> None:
    closing = Deferred.fromCoroutine(takeover.workspace.close())
    takeover.clock.pump([0.05] * int((GRACE_S - 0.5) / 0.05))
    assert (stranger.signals, waits(closing)) == (["terminate"], True)
    takeover.clock.pump([0.05] * 12)
    result_of(closing)
    assert stranger.signals == ["terminate", "kill"]


def test_in_a_hurry_force_is_used_at_once(takeover: Takeover, stranger: Stranger) -> None:
    takeover.workspace.hurry()
    closing = Deferred.fromCoroutine(takeover.workspace.close())
    assert stranger.signals == ["kill"]
    takeover.clock.advance(0.05)
    result_of(closing)
    assert not takeover.workspace.folder.exists()


def test_a_hurry_reaches_what_is_being_closed_already(takeover: Takeover, stranger: Stranger) -> None:
    closing = Deferred.fromCoroutine(takeover.workspace.close())
    takeover.clock.pump([0.05] * 4)
    assert stranger.signals == ["terminate"]
    takeover.workspace.hurry()
    takeover.clock.pump([0.05] * 2)
    result_of(closing)
    assert stranger.signals == ["terminate", "kill"]


# A process that has handed over may live on for what is under way.


@pytest.mark.parametrize("ends", [False, True])
def test_an_old_process_is_waited_for_until_it_listens_no_more_or_is_gone(
    takeover: Takeover, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    held = {100: [7], 101: [8]}
    monkeypatch.setattr("proxyreload.proxy.workspace.inodes", lambda pid: iter(held.get(pid, [])))
    monkeypatch.setattr("proxyreload.proxy.workspace.listening_at", lambda _port: {7, 8})
    old, _other = takeover.workspace.spawn("old"), takeover.workspace.spawn("other")
    takeover.workspace.retire(old)
    deaf = Deferred.fromCoroutine(takeover.workspace.until_deaf(old))
    takeover.look_again()
    assert waits(deaf)
    if ends:
        takeover.processes[0].end(0)
    else:
        del held[100]
    takeover.look_again()
    result_of(deaf)
    assert old.exit_code == (0 if ends else None)


def test_one_that_goes_on_listening_has_not_handed_over(takeover: Takeover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "listens", lambda _self, _child: True)
    old = takeover.workspace.spawn("old")
    deaf = Deferred.fromCoroutine(takeover.workspace.until_deaf(old))
    takeover.clock.pump([1.0] * int(COMMAND_TIMEOUT_S + 1))
    assert str(error_of(deaf, ChangeError)) == "not within 30 s: old (pid 100) listens no more"


def test_what_goes_on_after_a_change_is_told_where_it_fails_and_ends_with_the_workspace(
    takeover: Takeover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "strangers", list)
    undone: list[tuple[str, str]] = []
    takeover.workspace._meanwhile.on_undone = lambda what, error: undone.append((what, str(error)))

    async def waiting() -> None:
        await Deferred[None]()

    result_of(takeover.workspace.meanwhile(fails(), "it lets go"))
    over = takeover.workspace.meanwhile(waiting(), "it waits")
    assert (undone, waits(over)) == ([("it lets go", "it cannot be closed")], True)
    result_of(Deferred.fromCoroutine(takeover.workspace.close()))
    assert (len(undone), over.called) == (1, True)

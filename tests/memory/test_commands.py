"""A command that is run for a change: where, with what, and how it is ended with all that it has started."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from proxyreload.errors import ChangeError
from proxyreload.proxy import workspace as workspace_module
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S, GRACE_S, Workspace
from proxyreload.system.child import ChildProcess, Exit

from .clocks import Time, error_of, result_of, waits
from .test_workspace import FakeProcess

GROUP = 100


@attrs.define(eq=False)
class Shell:
    """A place where one command is run, in a process group of which everything is known."""

    clock: Time = attrs.field(factory=Time)
    ours: bool = True
    workspace: Workspace = attrs.field(init=False)
    process: FakeProcess = attrs.field(init=False)
    how: dict[str, Any] = attrs.field(factory=dict)  #: what it was started with
    signals: list[int] = attrs.field(factory=list)  #: what its group was sent
    others: bool = False  #: whether its group has more processes, which only SIGKILL ends
    obedient: bool = True  #: whether the command itself ends on SIGTERM

    def __attrs_post_init__(self) -> None:
        self.workspace = Workspace(
            reactor=cast(Any, self.clock),
            binary=Path(),
            front_host="127.0.0.1",
            front_port=1,
            hostname="localhost",
            answers=self.answers,
            on_death=lambda _child: None,
            ours=self.ours,
        )

    async def answers(self) -> bool:
        return True

    def spawn(self, _reactor: object, arguments: Sequence[str], **how: Any) -> ChildProcess:
        watch = Exit(cast(Any, self.clock))
        self.process = FakeProcess(GROUP, watch.fired)
        self.how = how
        child = ChildProcess(arguments[0], how["log"], cast(Any, self.process), watch)
        watch.fired.addCallback(child._exited)
        return child

    def killpg(self, group: int, number: int) -> None:
        assert group == GROUP
        if self.process.returncode is not None and not self.others:
            raise ProcessLookupError
        if number:
            self.signals.append(number)
        if number == signal.SIGKILL:
            self.others = False
        if number == signal.SIGKILL or (number == signal.SIGTERM and self.obedient):
            self.ends(-number)

    def ends(self, code: int, said: str = "") -> None:
        if self.process.returncode is None:
            self.how["log"].write_text(said, encoding="utf-8")
            self.process.end(code)

    def begin(self, **how: Any) -> Deferred[str]:
        return Deferred.fromCoroutine(self.workspace.run("sh", "-c", "it", **how))

    def passes(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    shell = Shell()
    monkeypatch.setattr(ChildProcess, "spawn", shell.spawn)
    monkeypatch.setattr(os, "killpg", shell.killpg)
    yield shell
    for log in shell.workspace.folder.iterdir():
        log.unlink()
    shell.workspace.folder.rmdir()


def test_what_it_says_is_returned_and_its_log_is_gone(shell: Shell) -> None:
    running = shell.begin()
    assert waits(running)
    shell.ends(0, "done\n")
    assert result_of(running) == "done\n"
    assert list(shell.workspace.folder.iterdir()) == []


def test_it_is_run_in_the_private_folder_if_no_other_is_named(shell: Shell) -> None:
    shell.begin()
    assert shell.how["folder"] == shell.workspace.folder
    shell.ends(0)


def test_it_has_the_folder_and_the_environment_that_are_named_on_top_of_our_own(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "kept")
    shell.begin(environment={"PROXYRELOAD_ACTION": "add"}, folder=Path("/somewhere"))
    assert shell.how["folder"] == Path("/somewhere")
    assert (shell.how["environment"]["PROXYRELOAD_ACTION"], shell.how["environment"]["OURS"]) == ("add", "kept")
    shell.ends(0)


def test_one_that_fails_is_told_with_its_last_words(shell: Shell) -> None:
    running = shell.begin()
    shell.ends(3, "one\ntwo\nno \x1bway\n")
    assert str(error_of(running, ChangeError)) == "sh exited with status 3:\n  one\n  two\n  no \\x1bway"


def test_one_that_is_cancelled_is_asked_to_end_and_waited_for(shell: Shell) -> None:
    shell.obedient = False
    running = shell.begin()
    over: list[str | Failure] = []
    running.addBoth(over.append)
    running.cancel()
    shell.passes(1)
    assert (over, shell.signals) == ([], [signal.SIGTERM])
    shell.ends(0)
    shell.passes(1)
    assert [failure.type for failure in cast(list[Failure], over)] == [CancelledError]
    assert shell.signals == [signal.SIGTERM]


def test_what_a_cancelled_one_has_started_is_ended_by_force_if_it_does_not_end(shell: Shell) -> None:
    shell.others = True
    running = shell.begin()
    over: list[str | Failure] = []
    running.addBoth(over.append)
    running.cancel()
    shell.passes(GRACE_S - 1)
    assert (over, shell.process.returncode) == ([], -signal.SIGTERM)
    shell.passes(2)
    assert [failure.type for failure in cast(list[Failure], over)] == [CancelledError]
    assert shell.signals == [signal.SIGTERM, signal.SIGKILL]


def test_one_that_takes_too_long_is_ended(shell: Shell) -> None:
    running = shell.begin()
    shell.passes(COMMAND_TIMEOUT_S + 1)
    assert str(error_of(running, ChangeError)) == "sh has not ended within 30 s"
    assert shell.signals == [signal.SIGTERM]


@pytest.mark.parametrize("ours", [True, False])
def test_orphans_of_a_proxy_that_is_not_ours_are_not_adopted(*, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    adopts: list[bool] = []
    monkeypatch.setattr(workspace_module, "become_subreaper", lambda: adopts.append(True))
    Shell(ours=ours).workspace.folder.rmdir()
    assert adopts == [True] * ours

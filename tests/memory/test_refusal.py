"""What a proxy that has not started says of its configuration, and what is no refusal of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from proxyreload.comparison.trial import attempt
from proxyreload.errors import ChangeError, CommandError, ExitedError, RefusedError, StartError
from proxyreload.proxy.interfaces import IChecks, IProxy
from proxyreload.proxy.refusal import refusal, refused
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.workspace import Workspace
from proxyreload.run.run import Run

from .clocks import Time, error_of, result_of
from .plugins import FakeProxy

DIED = StartError("it has not started within 60 s")


@attrs.define
class Place:
    """What of a workspace is asked for: a folder, and commands of which each ends as the test says."""

    ends: Exception | None = None
    folder: Path = Path("/run/of-this-test")
    reactor: Time = attrs.field(factory=Time)
    homes: dict[str, str] = attrs.field(factory=dict)

    async def run(self, *_arguments: str, **_more: object) -> str:
        if self.ends is not None:
            raise self.ends
        return "fine"


@implementer(IChecks)
@attrs.define(eq=False)
class Checking(FakeProxy):
    """A proxy whose program says of its configuration what the test says."""

    says: Callable[[], str | None] = lambda: ""

    async def why_refused(self) -> str | None:
        return self.says()


def told(proxy: IProxy, error: StartError) -> str:
    return result_of(Deferred.fromCoroutine(refusal(proxy, cast(Workspace, Place()), error)))


def exited(status: int, words: str) -> ExitedError:
    return ExitedError(f"it exited with status {status}", status, words)


def fails() -> str:
    msg = "it was ended by SIGSEGV"
    raise ChangeError(msg)


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        (
            1,
            "  unknown directive 'x' in /run/of-this-test/a.conf:3\n  test failed",
            "unknown directive 'x' in a.conf:3",
        ),
        (255, "unknown option \x1b[2J", "unknown option \\x1b[2J"),
        (1, "listen tcp 127.0.0.1:80: bind: address already in use", ""),
        (1, "bind() to 0.0.0.0:80 failed (13: Permission denied)", ""),
        (2, "panic: runtime error: index out of range\ngoroutine 1 [running]:", ""),
        (101, "thread 'main' panicked at src/main.rs", ""),
        (127, "error while loading shared libraries: libfoo.so.1: cannot open shared object file", ""),
        (-11, "unknown directive", ""),
        (0, "unknown directive", ""),
        (1, "", ""),
    ],
)
def test_without_a_check_it_is_what_it_said_as_it_exited_by_itself(status: int, words: str, said: str) -> None:
    assert told(FakeProxy(), exited(status, words)).partition(" / ")[0] == said


def test_one_that_has_not_exited_has_refused_nothing() -> None:
    assert told(FakeProxy(), DIED) == ""


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (lambda: "unknown keyword", "unknown keyword"),
        (lambda: "", ""),  # it takes it: that it exited has another reason, whatever it said
        (lambda: None, "cannot parse"),  # it has no check
        (fails, ""),
    ],
)
def test_its_own_check_decides_where_it_has_one(says: Callable[[], str | None], said: str) -> None:
    assert told(Checking(says=says), exited(1, "cannot parse")) == said


def test_what_it_refuses_is_bounded() -> None:
    assert len(told(Checking(says=lambda: "x" * 100_000), DIED)) < 1100


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (None, ""),
        (CommandError("it exited with status 1", 1, "  unknown directive"), "  unknown directive"),
        (CommandError("it exited with status 127", 127, "no such library"), ChangeError),
        (CommandError("it was ended by SIGKILL", -9, "unknown"), ChangeError),
        (ChangeError("it has not ended within 30 s"), ChangeError),
    ],
)
def test_a_check_that_was_not_run_to_its_end_says_nothing(ends: Exception | None, said: str | type[Exception]) -> None:
    over = Deferred.fromCoroutine(refused(cast(Workspace, Place(ends)), "proxy", "-t"))
    if isinstance(said, str):
        assert result_of(over) == said
    else:
        assert error_of(over, said) is ends


@pytest.mark.parametrize(("started", "said"), [(Checking(says=lambda: "no"), "no"), (FakeProxy(), None)])
def test_what_is_stopped_and_started_is_asked_itself(started: Any, said: str | None) -> None:
    class Restart(Restarting):
        PROXY = staticmethod(lambda _workspace: started)  # type: ignore[assignment]

    proxy = Restart(cast(Workspace, Place()))
    result_of(Deferred.fromCoroutine(proxy.start([])))
    assert result_of(Deferred.fromCoroutine(proxy.why_refused())) == said


@pytest.mark.parametrize(
    ("versioned", "own", "cannot"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_what_refuses_to_start_cannot_where_its_version_alone_may_be_why(
    *, versioned: bool, own: bool, cannot: bool
) -> None:
    """A configuration of the user's may be wrong by itself: then the run has not been made, and is no *cannot*."""

    async def execute() -> None:
        msg = "it exited with status 1 at the start"
        raise RefusedError(msg, "unknown option")

    files = SimpleNamespace(run=Path("run.json"))
    run = SimpleNamespace(
        settings=SimpleNamespace(files=files, configuration=None if own else object()), execute=execute
    )
    trial = result_of(Deferred.fromCoroutine(attempt(cast(Run, run), 1, versioned=versioned)))
    assert trial.cannot is cannot
    assert ("unknown option" in trial.why) is cannot
    assert trial.judgement is None

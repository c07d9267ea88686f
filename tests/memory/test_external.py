"""A proxy that somebody else runs, changed by the user's commands: what may be asked for, and what a command is told."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from proxyreload.command.options import RunOptions
from proxyreload.errors import CannotError, ChangeError, StartError
from proxyreload.plan.settings import Settings
from proxyreload.proxy import registry as finding
from proxyreload.proxy.upstream import Upstream
from proxyreload_external import Command

from .clocks import Time, error_of, result_of
from .plugins import PLUGINS

EXTERNAL = EntryPoint("external", "proxyreload_external:plugin", finding.GROUP)
URL = "https://proxy.example.test:8443/path"
COMMANDS = ("--add-command", "add it", "--remove-command", "remove it")
A, B, C = (Upstream(number, "127.0.0.1", 1030 + number) for number in range(3))


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: (*PLUGINS, EXTERNAL))


def settings(*words: str) -> Settings:
    """Return the settings that these words make."""
    options = RunOptions()
    options.parseOptions(words)
    made: Settings = options.settings
    return made


def test_without_a_url_the_proxy_is_expected_on_the_front_port() -> None:
    made = settings("--plugin", "external", *COMMANDS, "--front-port", "9000")
    assert (made.target.host, made.target.port, made.is_ours) == ("127.0.0.1", 9000, False)
    assert made.commands == {"add": "add it", "remove": "remove it"}


def test_with_a_url_it_is_there_and_the_front_port_is_nobodys() -> None:
    made = settings("--plugin", "external", URL, *COMMANDS, "--front-port", "1030")
    assert (made.target.url, made.target.host, made.target.port) == (URL, "proxy.example.test", 8443)


def test_commands_are_for_nobody_else() -> None:
    for words in ((URL,), ("--plugin", "fake")):
        with pytest.raises(UsageError, match="--remove-command is for --plugin external"):
            settings(*words, "--remove-command", "x")


@pytest.mark.parametrize("option", ["--binary", "--upgrade-to"])
def test_its_program_is_nobodys_here(option: str) -> None:
    for words in ((URL,), ("--plugin", "external", *COMMANDS)):
        with pytest.raises(UsageError, match=f"{option} is for a proxy that is started here"):
            settings(*words, option, "/bin/true")


def test_what_has_no_command_cannot_be_done() -> None:
    made = settings("--plugin", "external", *COMMANDS)
    choice = made.choice
    assert choice is not None
    choice.require({"add", "remove"}, made.commands)
    with pytest.raises(CannotError, match="external:command cannot reload: no --reload-command"):
        choice.require({"add", "reload"}, made.commands)


@attrs.define(eq=False)
class Ran:
    """A workspace that writes down what is run."""

    commands: dict[str, str]
    reactor: Time = attrs.field(factory=Time)
    front: str = "127.0.0.1:8080"
    serves: bool = True
    refuses: bool = False
    ran: list[tuple[tuple[str, ...], dict[str, str], Path]] = attrs.field(factory=list)

    async def answers(self) -> bool:
        return self.serves

    async def run(self, *arguments: str, environment: dict[str, str], folder: Path) -> str:
        self.ran.append((arguments, environment, folder))
        if self.refuses:
            msg = "sh exited with status 1"
            raise ChangeError(msg)
        return ""

    @property
    def behind(self) -> str:
        """What the latest command was told shall be behind the proxy."""
        return self.ran[-1][1]["PROXYRELOAD_BACKENDS"]


def started(workspace: Ran) -> Command:
    """Return the proxy, with two backends behind it."""
    proxy = Command(cast(Any, workspace))
    result_of(Deferred.fromCoroutine(proxy.start([A, B])))
    return proxy


def test_a_command_is_run_as_it_is_where_we_were_started_and_told_what_it_is_about() -> None:
    workspace = Ran({"add": 'echo "$PROXYRELOAD_PORT"'})
    result_of(Deferred.fromCoroutine(started(workspace).add_backend(C)))
    (arguments, environment, folder) = workspace.ran[0]
    assert arguments == ("/bin/sh", "-c", 'echo "$PROXYRELOAD_PORT"')
    assert folder == Path.cwd()
    assert environment == {
        "PROXYRELOAD_ACTION": "add",
        "PROXYRELOAD_BACKEND": "2",
        "PROXYRELOAD_NAME": "backend2",
        "PROXYRELOAD_HOST": "127.0.0.1",
        "PROXYRELOAD_PORT": "1032",
        "PROXYRELOAD_ADDRESS": "127.0.0.1:1032",
        "PROXYRELOAD_BACKENDS": "127.0.0.1:1030 127.0.0.1:1031 127.0.0.1:1032",
    }


def test_every_command_is_told_what_shall_be_behind_the_proxy_afterwards() -> None:
    workspace = Ran({action: action for action in ("add", "remove", "reload", "upgrade", "rotate", "edit")})
    proxy = started(workspace)
    result_of(Deferred.fromCoroutine(proxy.remove_backend(A)))
    assert workspace.behind == "127.0.0.1:1031"
    for change in (proxy.reload(), proxy.upgrade(Path()), proxy.rotate(), proxy.edit()):
        result_of(Deferred.fromCoroutine(change))
        assert workspace.behind == "127.0.0.1:1031"
        assert "PROXYRELOAD_BACKEND" not in workspace.ran[-1][1]
    assert [environment["PROXYRELOAD_ACTION"] for _arguments, environment, _folder in workspace.ran] == [
        *("remove", "reload", "upgrade", "rotate", "edit")
    ]


def test_what_was_refused_is_not_brought_along_by_the_next_change() -> None:
    workspace = Ran({"add": "add", "reload": "reload"}, refuses=True)
    proxy = started(workspace)
    refused = error_of(Deferred.fromCoroutine(proxy.add_backend(C)), ChangeError)
    assert str(refused) == "--add-command: sh exited with status 1"
    workspace.refuses = False
    result_of(Deferred.fromCoroutine(proxy.reload()))
    assert workspace.behind == "127.0.0.1:1030 127.0.0.1:1031"


def test_a_proxy_that_does_not_answer_in_time_is_told_with_the_backends_it_must_have() -> None:
    workspace = Ran({}, serves=False)
    starting = Deferred.fromCoroutine(Command(cast(Any, workspace)).start([A, B]))
    workspace.reactor.pump([0.5] * 40)
    assert str(error_of(starting, StartError)) == (
        "no proxy on 127.0.0.1:8080 answers from a backend (127.0.0.1:1030, 127.0.0.1:1031) within 15 s"
    )

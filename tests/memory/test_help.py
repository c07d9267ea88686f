"""What every command says of itself: help, completion and the manual page, from the one declaration."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxyreload.cli.commands import COMMANDS
from proxyreload.cli.completers import Anything, Files, Folders, Mechanisms, Words
from proxyreload.cli.declared import Option, options_of
from proxyreload.cli.help import WIDTH, Help
from proxyreload.cli.shells.bash import bash_script
from proxyreload.cli.shells.fish import fish_script
from proxyreload.cli.shells.zsh import zsh_script
from proxyreload.command.man import page
from proxyreload.command.program import ProgramOptions
from proxyreload.command.twistd import TwistdOptions
from proxyreload.errors import ExitStatus
from proxyreload.proxy import registry as finding

from .exits import status_of
from .plugins import PLUGINS

DECLARED: dict[str, Help] = {"": ProgramOptions(), **{command.name: command.declared() for command in COMMANDS}}
#: Twisted's own options are Twisted's to complete.
OURS = {name: declared for name, declared in DECLARED.items() if name != "twistd"}
SCRIPTS = (bash_script, fish_script, zsh_script)

each = pytest.mark.parametrize("name", DECLARED, ids=lambda name: name or "proxyreload")


def said(*words: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Return what a command prints, which must end well."""
    assert status_of(*words) == 0
    return capfd.readouterr().out


def options(declared: dict[str, Help]) -> Iterator[Option]:
    """Yield the options of commands."""
    for each_one in declared.values():
        yield from options_of(each_one)


@each
def test_help_fits_whatever_the_terminal_says(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "unknown")
    text = said(*filter(None, [name]), "--help", capfd=capfd)
    assert max(map(len, text.splitlines())) <= WIDTH == 80
    assert text.startswith(f"Usage: proxyreload{f' {name}' if name else ''}")


def test_help_for_twistd_fits_too() -> None:
    twistd = TwistdOptions()
    twistd.subCommand = "proxyreload"
    service = next(iter(twistd.subCommands))[2]()
    service.parent = twistd
    text = str(service)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("Usage: proxyreload twistd [options] proxyreload [options] --plugin")


@each
def test_help_has_every_option_each_with_words_what_it_does_and_an_example(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = said(*filter(None, [name]), "--help", capfd=capfd)
    for option in options_of(DECLARED[name]):
        assert re.search(rf"--{option.long}=? +\S", text), option.long
        assert len(option.text.split()) > 1, option.long
    assert re.search(r"^Examples?:\n    .*proxyreload", text, re.MULTILINE)


def test_help_has_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    text = said("--help", capfd=capfd)
    for command in COMMANDS:
        assert f"    {command.name:<12} {command.summary}\n" in text


@each
def test_an_example_is_a_command_line_that_is_understood(name: str) -> None:
    for example in DECLARED[name].examples:
        found = re.search(r"proxyreload ([^|)]*)", example)
        assert found is not None
        words = shlex.split(found[1])
        if name:
            assert words.pop(0) == name
        type(DECLARED[name])().parseOptions(words)


def test_every_value_is_completed_by_what_all_shells_know() -> None:
    kinds = (Anything, Files, Folders, Mechanisms, Words, type(None))
    for option in options(OURS):
        assert isinstance(option.completer, kinds), option


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__module__)
def test_every_shell_completes_every_option_and_command(script: object) -> None:
    assert callable(script)
    text = script(ProgramOptions())
    for option in options(DECLARED):
        assert re.search(rf"(--|-l ){option.long}\b", text), option.long
    for command in COMMANDS:
        assert command.name in text


@pytest.mark.parametrize("words", [(), ("csh",), ("bash", "zsh")])
def test_only_shells_that_are_known_are_completed(words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert status_of("completion", *words) == ExitStatus.USAGE
    assert capfd.readouterr().err.startswith("proxyreload: completion takes bash, zsh, fish, not ")


def test_names_are_those_of_every_plugin_that_can_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS)
    lines = said("plugins", "--names", capfd=capfd).splitlines()
    assert lines == ["fake\tat once", "fake:quick\tat once", "fake:slow\tafter a while"]


# The manual page.


def test_the_page_has_every_option_once_for_each_command() -> None:
    lines = list(page())
    bare = "\n".join(lines).replace("\\-", "-")
    for name, declared in DECLARED.items():
        own = [o for o in options_of(declared) if not name or o.long not in ("help", "version", "plugin-path")]
        section = bare.partition(f".SS {name}\n" if name else ".SH OPTIONS\n")[2]
        section = re.split(r"^\.S[HS]", section, flags=re.MULTILINE)[0]
        assert re.findall(r"^(?:\\fB-\w\\fR, )?\\fB--([\w-]+)", section, re.MULTILINE) == [o.long for o in own]


def test_the_page_tells_every_exit_status() -> None:
    section = "\n".join(page()).partition(".SH EXIT STATUS\n")[2].partition(".SH")[0]
    assert re.findall(r"\\fB(\d)\\fR", section) == [str(int(status)) for status in ExitStatus]


def test_no_line_of_the_page_is_taken_for_a_request() -> None:
    requests = {line.split()[0] for line in page() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi", ".EX", ".EE"}


def test_whoever_asks_for_help_waits_for_nothing_that_a_run_needs() -> None:
    code = (
        "import sys\n"
        "from proxyreload.command.program import ProgramOptions\n"
        "str(ProgramOptions())\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('proxyreload.', 'attr', 'hdrh', 'treq'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "proxyreload.command.options" in loaded
    heavy = ("proxyreload.plan.", "proxyreload.verdict.", "proxyreload.client.", "proxyreload.web.", "hdrh", "treq")
    assert [name for name in loaded if name.startswith(heavy)] == []

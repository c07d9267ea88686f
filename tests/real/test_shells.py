"""Completion, by the shells themselves, and the manual page, by man."""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from .command import Place

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in ("bash", "zsh", "fish")
]
#: A line before the cursor, and words that must and must not be offered.
LINES = [
    ("proxyreload ", {"compare", "selftest"}, {"haproxy"}),
    ("proxyreload --ba", {"--backends", "--backend-host"}, {"--clients"}),
    ("proxyreload --plugin hapro", {"haproxy", "haproxy:master-worker"}, {"nginx"}),
    ("proxyreload --plugin haproxy:master-w", {"haproxy:master-worker"}, {"haproxy:hard"}),
    ("proxyreload --log ", {"all", "changes", "none"}, {"run.json"}),
    ("proxyreload --scenario ", {"mine.toml"}, {"run.json"}),
    ("proxyreload --lo", {"--log", "--losses"}, {"--clients"}),
    ("proxyreload --clients ", set(), {"mine.toml"}),
    ("proxyreload compare nginx haproxy:re", {"haproxy:reload", "haproxy:reload-idle"}, {"nginx", "compare"}),
    ("proxyreload compare --ro", {"--rounds"}, {"--plugin"}),
    ("proxyreload explain ", {"run.json"}, {"mine.toml", "haproxy"}),
    ("proxyreload report ", {"run.json"}, {"mine.toml", "haproxy"}),
    ("proxyreload reproduce ", {"run.json"}, {"mine.toml", "haproxy"}),
    ("proxyreload reproduce --lo", {"--loss"}, {"--into"}),
    ("proxyreload completion ", {"bash", "zsh", "fish"}, {"run.json"}),
]


@pytest.fixture
def environment(place: Place) -> Mapping[str, str]:
    """Files to complete, and the program on PATH."""
    for name in ("mine.toml", "run.json"):
        place.write(name, "")
    program = place.write("proxyreload", f'#!/bin/sh\nexec {sys.executable} -m proxyreload "$@"\n', mode=0o755)
    path = os.pathsep.join([str(Path(program).parent), os.environ["PATH"]])
    return {**place.environment, "PATH": path, "TERM": "dumb", "HOME": str(place.temp), "PROMPT": "> "}


def printed(place: Place, environment: Mapping[str, str], *words: str) -> str:
    """Return what a command prints, which must end well and complain of nothing."""
    done = subprocess.run(words, cwd=place.folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_offers_what_fits_and_nothing_else(place: Place, environment: Mapping[str, str], shell: str) -> None:
    script = place.write(f"completion.{shell}", printed(place, environment, "proxyreload", "completion", shell))
    asked = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}[shell]
    answers = asked(place, environment, script, [line for line, _wanted, _unwanted in LINES])
    for (line, wanted, unwanted), answer in zip(LINES, answers, strict=True):
        offered = [word for word in answer if word not in line.split()]
        assert wanted <= set(offered), (line, offered)
        # Behind the files that fit fish shows the others.
        offered = offered[: len(wanted)] if shell == "fish" else offered
        assert not unwanted & set(offered), (line, offered)


def ask_bash(place: Place, environment: Mapping[str, str], script: str, lines: Sequence[str]) -> list[list[str]]:
    """Return what its function replies to each line, with the parts that bash leaves as they are."""
    code = f"""source {script}
        compopt() {{ :; }}
        COMP_WORDBREAKS=''
        for COMP_LINE; do
            COMP_POINT=${{#COMP_LINE}}
            _proxyreload
            echo "${{COMPREPLY[*]}}"
        done
    """
    return [line.split() for line in printed(place, environment, "bash", "-c", code, "bash", *lines).splitlines()]


def ask_fish(place: Place, environment: Mapping[str, str], script: str, lines: Sequence[str]) -> list[list[str]]:
    """Return what it would offer for each line, without the descriptions."""
    code = f"source {script}; for line in $argv; echo (complete -C $line | cut -f 1); end"
    return [
        line.split() for line in printed(place, environment, "fish", "--no-config", "-c", code, *lines).splitlines()
    ]


def ask_zsh(place: Place, environment: Mapping[str, str], script: str, lines: Sequence[str]) -> list[list[str]]:
    """Return what it shows on a terminal after each line and two tabs, the line included."""
    controller, terminal = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=place.folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        os.write(
            controller, f"autoload -U compinit; compinit -D; source {script}; LISTMAX=1000; echo set''tled\n".encode()
        )
        read_until(controller, b"settled")
        # The echo comes when the completion is over; the line itself has become a comment.
        return [shown(controller, f"{line}\t\t\x01echo q''ed # \n", b"qed") for line in lines]
    finally:
        os.close(controller)
        shell.kill()
        shell.wait()


def shown(controller: int, typed: str, end: bytes) -> list[str]:
    """Type something and return the words that come until `end`."""
    os.write(controller, typed.encode())
    return re.findall(r"[\w:.-]+", read_until(controller, end).decode("utf-8", "replace"))


def read_until(descriptor: int, end: bytes) -> bytes:
    """Return all that comes until `end`."""
    said = b""
    while end not in said:
        said += os.read(descriptor, 4096)
    return said


def test_bash_is_left_what_is_behind_the_colon(place: Place, environment: Mapping[str, str]) -> None:
    script = place.write("completion.bash", printed(place, environment, "proxyreload", "completion", "bash"))
    code = f"source {script}; COMP_LINE=$1 COMP_POINT=${{#1}}; _proxyreload; echo ${{COMPREPLY[*]}}"
    line = "proxyreload --plugin=haproxy:master-w"
    assert printed(place, environment, "bash", "-c", code, "bash", line) == "master-worker\n"


# The manual page.


def test_the_page_in_the_checkout_is_that_of_the_program(place: Place) -> None:
    result = place.run("man")
    assert (result.status, result.stderr) == (0, "")
    page = result.stdout
    assert (ROOT / "assets" / "proxyreload.1").read_text(encoding="utf-8") == page, "make man"


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_the_page_without_a_warning(place: Place) -> None:
    page = str(ROOT / "assets" / "proxyreload.1")
    environment = {**place.environment, "MANWIDTH": "80", "MANROFFSEQ": "", "LC_ALL": "C.UTF-8"}
    text = printed(place, environment, "man", "--warnings=w", "--local-file", page)
    assert "proxyreload - what happens to clients" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80

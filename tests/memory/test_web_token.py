"""Where the live page's token comes from, and that nothing says it again."""

import os
from pathlib import Path

import pytest
from twisted.python.usage import UsageError as WrongUsage

from proxyreload.command.options import RunOptions
from proxyreload.errors import UsageError
from proxyreload.web import token as token_module
from proxyreload.web.place import WebSettings
from proxyreload.web.token import LONGEST, SHORTEST, VARIABLE

TOKEN = "correct-horse"
URL = "http://example.test/"


def settings(*words: str, environment: dict[str, str] | None = None, web: bool = True) -> WebSettings | None:
    options = RunOptions()
    options.parseOptions(["--no-backends", URL, *(["--web", "8090"] if web else []), *words])
    assert TOKEN not in repr(options.settings)
    return WebSettings.of(options, {} if environment is None else environment)


def token(*words: str, environment: dict[str, str] | None = None) -> str:
    made = settings(*words, environment=environment)
    assert made is not None
    assert TOKEN not in repr(made)
    return made.token


def wrong(*words: str, environment: dict[str, str] | None = None, web: bool = True) -> str:
    with pytest.raises((UsageError, WrongUsage)) as raised:
        settings(*words, environment=environment, web=web)
    why = str(raised.value)
    assert TOKEN not in why
    assert "\n" not in why
    return why


def written(folder: Path, content: bytes) -> str:
    path = folder / "token"
    path.write_bytes(content)
    return str(path)


def test_it_comes_from_the_command_line_a_file_or_the_environment(tmp_path: Path) -> None:
    inherited = {VARIABLE: TOKEN, "HOME": "/"}
    assert token() == ""
    assert token("--token", TOKEN) == TOKEN
    assert token("--token-file", written(tmp_path, TOKEN.encode())) == TOKEN
    assert token(environment=inherited) == TOKEN
    assert inherited == {"HOME": "/"}, "what is started by a run inherits it"


def test_what_is_said_on_the_command_line_is_meant(tmp_path: Path) -> None:
    inherited = {VARIABLE: "of another shell"}
    assert token("--token", TOKEN, environment=dict(inherited)) == TOKEN
    assert token("--token-file", written(tmp_path, TOKEN.encode()), environment=dict(inherited)) == TOKEN
    assert wrong("--token", TOKEN, "--token-file", written(tmp_path, TOKEN.encode())) == (
        "give one of --token and --token-file"
    )


def test_without_a_page_the_environment_is_none_of_our_business_and_options_are_a_mistake(tmp_path: Path) -> None:
    inherited = {VARIABLE: "x"}
    assert settings(environment=inherited, web=False) is None
    assert inherited == {}
    assert wrong("--token", "x", web=False) == "--token is for the live page: --web"
    file = written(tmp_path, TOKEN.encode())
    assert wrong("--token-file", file, web=False) == "--token-file is for the live page: --web"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_may_end_in_a_line_break(tmp_path: Path, end: bytes) -> None:
    assert token("--token-file", written(tmp_path, TOKEN.encode() + end)) == TOKEN


BAD = [
    "",
    "x" * (SHORTEST - 1),
    "x" * (LONGEST + 1),
    f"{TOKEN} {TOKEN}",
    f"{TOKEN}\n{TOKEN}",
    f" {TOKEN}",
    f"{TOKEN}\x00",
    f"{TOKEN}\xe9",
    f"{TOKEN}\n\n",
]


@pytest.mark.parametrize("bad", BAD)
def test_one_that_is_none_is_told_by_where_it_comes_from(tmp_path: Path, bad: str) -> None:
    why = f"a token is {SHORTEST} to {LONGEST} printable ASCII characters without spaces"
    file = written(tmp_path, bad.encode())
    assert wrong("--token", bad) == f"--token: {why}"
    assert wrong("--token-file", file) == f"--token-file {file}: {why}"
    assert wrong(environment={VARIABLE: bad}) == f"{VARIABLE}: {why}"


@pytest.mark.parametrize("good", ["x" * SHORTEST, "x" * LONGEST, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_whatever_can_stand_in_a_header_may_be_one(tmp_path: Path, good: str) -> None:
    assert token("--token", good) == token("--token-file", written(tmp_path, good.encode())) == good


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert wrong("--token-file", str(tmp_path / "none")).endswith("none: No such file or directory")
    assert wrong("--token-file", str(tmp_path)).endswith(": Is a directory")
    assert "a token is" in wrong("--token-file", "/dev/zero")
    assert "a token is" in wrong("--token-file", "/dev/null")


def test_a_pipe_is_read_and_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(token_module, "PIPE_S", 0.0)
    assert wrong("--token-file", str(pipe)) == f"--token-file {pipe}: nothing came in 0 s"
    reading, writing = os.pipe()
    os.write(writing, TOKEN.encode() + b"\n")
    os.close(writing)
    given = {"token": None, "token-file": f"/dev/fd/{reading}"}
    assert token_module.token_of(given, {}) == TOKEN
    os.close(reading)


@pytest.mark.parametrize("words", [("--token", TOKEN), (f"--token={TOKEN}",)])
def test_the_words_that_are_written_down_are_without_it(words: tuple[str, ...]) -> None:
    options = RunOptions()
    options.parseOptions(["--no-backends", URL, "--web", "8090", *words])
    assert options.settings.command == ("--no-backends", "--web", "8090", "--token", "…", URL)

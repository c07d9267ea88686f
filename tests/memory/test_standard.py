"""What is said on standard error: bounded, printable, and never waited for."""

import os

import pytest

from proxyreload.system import standard
from proxyreload.system.standard import put, say

from .test_background import fill


def test_each_line_is_printable_and_bounded_and_so_are_they_all(capfd: pytest.CaptureFixture[str]) -> None:
    say("one\x1b[31m\n" + "x" * 5000 + "\n" + "more\n" * 100)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "proxyreload: one\\x1b[31m"
    assert lines[1] == "x" * 1000 + "…"
    assert len(lines) == 20


def test_what_cannot_be_encoded_is_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    say("a \udcff file")
    assert capfd.readouterr().err == "proxyreload: a \\udcff file\n"


def test_who_does_not_read_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "_PATIENCE_MS", 0)
    reading, writing = os.pipe()
    fill(writing)
    assert put(writing, b"words") is False
    os.close(reading)
    assert put(writing, b"words") is False
    os.close(writing)


def test_all_of_it_is_written_in_pieces() -> None:
    reading, writing = os.pipe()
    assert put(writing, b"x" * 20_000)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b"x" * 20_000

"""What the one file does about its bootloader."""

import sys

import pytest

import proxyreload
from proxyreload.system import frozen
from proxyreload.system.frozen import its_environment, take_back, this_program, version


def test_a_proxy_gets_the_users_libraries() -> None:
    environment = {"PATH": "/bin", "LD_LIBRARY_PATH": "/tmp/_MEI1", "LD_LIBRARY_PATH_ORIG": "/mine", "_PYI_X": "1"}
    ours = take_back(environment)
    assert environment == {"PATH": "/bin", "LD_LIBRARY_PATH": "/mine"}
    assert ours == {"LD_LIBRARY_PATH": "/tmp/_MEI1", "LD_LIBRARY_PATH_ORIG": "/mine", "_PYI_X": "1"}


def test_a_user_who_set_none_has_none_again() -> None:
    environment = {"LD_LIBRARY_PATH": "/tmp/_MEI1"}
    assert take_back(environment) == {"LD_LIBRARY_PATH": "/tmp/_MEI1"}
    assert environment == {}


def test_started_again_it_gets_back_what_the_bootloader_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_taken", {"LD_LIBRARY_PATH": "/tmp/_MEI1"})
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    assert its_environment()["LD_LIBRARY_PATH"] == "/tmp/_MEI1"


def test_installed_it_is_started_by_its_python() -> None:
    assert this_program() == [sys.executable, "-m", "proxyreload"]
    assert version() == f"proxyreload {proxyreload.__version__}"


def test_frozen_it_is_started_as_it_is_and_names_its_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "FROZEN", True)
    assert this_program() == [sys.executable]
    assert version().startswith(f"proxyreload {proxyreload.__version__} (frozen, Python 3.")

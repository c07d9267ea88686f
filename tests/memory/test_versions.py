"""Versions, and which of those that can be had is meant."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import FetchError, StartError, UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.sources.catalogue import FRESH, Catalogue
from proxyreload.sources.store import Offer, already_there, folder_of
from proxyreload.sources.version import Span, Version, is_version
from proxyreload.system.cachefolder import CACHE_VARIABLE

from .sourced import FakeSource, release

numbers_st = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@pytest.fixture(name="cache", autouse=True)
def _fixture_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def catalogue(*sources: FakeSource, told: list[str] | None = None) -> Catalogue:
    return Catalogue("fakeproxy", sources, (told if told is not None else []).append)


# Versions.


def test_versions_are_ordered_by_their_numbers_and_a_candidate_comes_first() -> None:
    texts = ["0.15.19", "1.36.2", "1.36.2.post1", "2.0.0-rc.1", "2.0.0", "2.8", "2.8.20", "2.10.0"]
    versions = [Version.of(text) for text in texts]
    assert all(one < other for one, other in pairwise(versions))
    assert [str(version) for version in versions] == texts
    assert [str(version) for version in versions if not version.is_final] == ["2.0.0-rc.1"]


@given(numbers_st, numbers_st)
def test_a_version_begins_with_its_line_and_no_other(numbers: list[int], more: list[int]) -> None:
    line, version = Version(tuple(numbers)), Version((*numbers, *more))
    assert version.begins_with(line)
    assert not line.begins_with(version)
    assert not Version((*numbers[:-1], numbers[-1] + 1, *more)).begins_with(line)
    assert Version.of(str(version)) == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("3", "3.2", "3.2.26", "1.36.2.post1", "2.0.0-rc.1", "1.0a1")),
        *(
            (text, False)
            for text in ("", "haproxy", "./3.2", "3.2/haproxy", "3.", ".3", "3..2", "v3", "3 2", "9" * 200)
        ),
    ],
)
def test_a_path_or_a_program_is_no_version(text: str, *, expected: bool) -> None:
    assert is_version(text) is expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("2.2..3.4", ["2.2.9", "2.6.12", "2.8.25", "3.0.11", "3.4.7"]),
        ("2.8..2.8", ["2.8.25"]),
        ("2.8.20..2.8.25", ["2.8.20", "2.8.21", "2.8.25"]),
        ("2..3", ["2.8.25", "3.5.0"]),
        ("2.8.21..3", ["2.8.21", "2.8.25", "3.0.11", "3.4.7", "3.5.0"]),
    ],
)
def test_a_range_has_as_many_as_its_ends_are_exact(span: str, expected: list[str]) -> None:
    there = ["3.0.11", "2.2.9", "2.6.12", "2.8.20", "2.8.25", "2.8.21", "3.4.7", "3.5.0", "3.4.8-rc1"]
    assert Span.of("--versions", span).of_these(there, Version.of) == expected


@pytest.mark.parametrize("text", ["", "2.2", "2.2..", "..3", "3.4..2.2", "a..b", "2.2..3.4..4"])
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"--versions takes FIRST\.\.LAST"):
        Span.of("--versions", text)


# Which one is meant.


def test_the_newest_of_a_line_is_meant() -> None:
    source = FakeSource(["3.2.9", "3.2.26", "3.20.1", "3.3.0"])
    assert str(catalogue(source).meant("3.2").version) == "3.2.26"


def test_a_candidate_is_taken_only_where_it_is_named() -> None:
    source = FakeSource(["3.2.0", "3.2.1-rc1"])
    assert str(catalogue(source).meant("3.2").version) == "3.2.0"
    assert str(catalogue(source).meant("3.2.1-rc1").version) == "3.2.1-rc1"


def test_what_is_there_by_all_its_numbers_is_taken_without_asking() -> None:
    source = FakeSource(["3.2.9", "3.2.26"])
    Offer(source, release("3.2.9")).fetched()
    assert str(catalogue(source).meant("3.2.9").version) == "3.2.9"
    assert source.asked == 0
    assert str(catalogue(source).meant("3.2").version) == "3.2.26"


def test_of_one_version_the_one_that_is_there_is_taken_else_the_first_sources() -> None:
    first, second = FakeSource(["3.2.9"], "First one"), FakeSource(["3.2.9"], "Second one")
    assert catalogue(first, second).meant("3.2").source is first
    Offer(second, release("3.2.9")).fetched()
    assert catalogue(first, second).meant("3.2").source is second


def test_a_source_is_asked_once_a_day() -> None:
    source = FakeSource(["3.2.9"])
    told: list[str] = []
    for _time in range(2):
        catalogue(source, told=told).listing()
    assert (source.asked, told) == (1, ["asking Fake fakeproxy which versions there are"])
    yesterday = (datetime.now(UTC) - FRESH).timestamp() - 1
    os.utime(folder_of(source) / "releases.json", (yesterday, yesterday))
    catalogue(source).listing()
    assert source.asked == 2


@pytest.mark.parametrize("content", ["", "{", "null", '[{"version": "x"}]', "[1]", "\x00"])
def test_a_list_that_is_spoilt_is_asked_for_again(content: str) -> None:
    source = FakeSource(["3.2.9"])
    folder_of(source).mkdir(parents=True)
    (folder_of(source) / "releases.json").write_text(content, encoding="utf-8")
    assert [str(offer.version) for offer in catalogue(source).listing().offers] in (["3.2.9"], [])


def test_who_cannot_be_asked_is_told_and_what_is_there_goes_on() -> None:
    away, there = FakeSource(name="Away one"), FakeSource(["3.2.9"])
    Offer(away, release("3.1.0")).fetched()
    listing = catalogue(away, there).listing()
    assert [str(offer.version) for offer in listing.offers] == ["3.1.0", "3.2.9"]
    assert listing.unasked == ["Away one: no route to host"]
    told: list[str] = []
    assert str(catalogue(away, there, told=told).meant("3.2").version) == "3.2.9"
    assert "Away one: no route to host" in told


def test_what_nobody_has_is_one_line_with_what_there_is() -> None:
    with pytest.raises(FetchError) as caught:
        catalogue(FakeSource(["3.2.9", "3.0.1"]), FakeSource(name="Away one")).meant("4")
    assert str(caught.value) == "no fakeproxy 4 can be had; there are: 3.2.9, 3.0.1; Away one: no route to host"


def test_unasked_the_newest_that_is_settled_is_taken() -> None:
    source = FakeSource(["3.2.9", "3.4.0", "3.0.1"], unsettled=["3.4.0"])
    assert str(catalogue(source).newest().version) == "3.2.9"


# Fetching.


def test_what_is_fetched_is_whole_and_in_the_place_that_the_source_was_told() -> None:
    source = FakeSource(["3.2.9"])
    program = catalogue(source).program_of("3.2")
    assert program == source.places[0] / "bin" / "fakeproxy"
    assert Binary("fakeproxy", "").version(program) == "fakeproxy 3.2.9"
    assert [str(offer.version) for offer in already_there([source])] == ["3.2.9"]
    assert catalogue(source).program_of("3.2") == program
    assert source.fetched == ["3.2.9"]


def test_what_could_not_be_fetched_leaves_nothing() -> None:
    source = FakeSource(["3.2.9"], breaks=True)
    with pytest.raises(FetchError, match=r"Fake fakeproxy 3\.2\.9: the connection was reset"):
        catalogue(source).program_of("3.2")
    assert list(already_there([source])) == []
    assert sorted(path.name for path in folder_of(source).iterdir()) == ["lock", "releases.json"]


def test_a_release_without_the_program_is_told_and_leaves_nothing() -> None:
    source = FakeSource(["3.2.9"], program="sbin/another")
    with pytest.raises(FetchError, match=r"Fake fakeproxy has no program sbin/another"):
        catalogue(source).program_of("3.2")
    assert list(folder_of(source).glob("3*")) == []


def test_what_somebody_left_halfway_is_cleared_away() -> None:
    source = FakeSource(["3.2.9"])
    left = folder_of(source) / ".left"
    left.mkdir(parents=True)
    catalogue(source).program_of("3.2")
    assert not left.exists()


def test_one_of_which_something_was_taken_is_fetched_anew() -> None:
    source = FakeSource(["3.2.9"])
    program = catalogue(source).program_of("3.2")
    program.unlink()
    assert catalogue(source).program_of("3.2") == program
    assert source.fetched == ["3.2.9", "3.2.9"]


def test_two_that_want_the_same_at_once_fetch_it_once() -> None:
    source = FakeSource(["3.2.9"])
    offer = Offer(source, release("3.2.9"))
    with ThreadPoolExecutor(4) as pool:
        programs = set(pool.map(lambda _number: offer.fetched(), range(8)))
    assert (len(programs), source.fetched) == (1, ["3.2.9"])


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.write_text("a file in its place")
    with pytest.raises(FetchError, match="Fake fakeproxy cannot be kept: "):
        Offer(FakeSource(), release("3.2.9")).fetched()


# A plugin's program.


def binary(sources: Sequence[FakeSource]) -> Binary:
    return Binary("fakeproxy", "build it", sources=sources)


def test_a_version_is_asked_for_where_a_program_may_be_named() -> None:
    source = FakeSource(["3.2.9"])
    assert binary([source]).find("3.2") == source.places[0] / "bin" / "fakeproxy"
    with pytest.raises(UsageError, match=r"--upgrade-to \./3\.2: no such program"):
        binary([source]).find("./3.2", "--upgrade-to")
    with pytest.raises(UsageError, match=r"--binary 3\.2: no such program"):
        Binary("fakeproxy", "build it").find("3.2")


def test_where_nothing_is_installed_the_newest_that_was_fetched_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    source = FakeSource(["3.2.9", "3.10.0"])
    with pytest.raises(StartError, match="is not installed"):
        binary([source]).find()
    for name in ("3.10.0", "3.2.9"):
        catalogue(source).program_of(name)
    assert binary([source]).find().parts[-4] == "3.10.0"
    assert source.asked == 1


def test_what_is_called_oddly_stays_within_its_folder() -> None:
    odd = attrs.evolve(release("1.0"), name="1:1.0/../../x")
    assert odd.folder_name == "1%3A1.0%2F..%2F..%2Fx"

"""Famous bugs are found, and are gone with their cures; without these a case comes out different."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from proxyreload.casebook.bugfile import known, names
from proxyreload.casebook.finding import found

from .command import Place
from .proxies import SOZU

pytestmark = pytest.mark.real

CASES = [pytest.param(name, marks=SOZU.marks if name.startswith("sozu") else ()) for name in names()]


@pytest.mark.parametrize("name", CASES)
def test_a_case_shows_itself_and_is_healed(place: Place, name: str) -> None:
    session = place.run("case", name, "--folder", str(place.folder / "cases"), *place.ports)
    assert session.stdout.endswith("1 of 1 as expected\n"), session.stdout + session.stderr
    assert session.status == 0
    folder, bug = place.folder / "cases" / name, known(name)
    for turn, asked in (("shown", bug.shown), ("cured", bug.cured)):
        ran = json.loads((folder / turn / "run.json").read_text(encoding="utf-8"))
        assert asked.mechanism.partition("@")[2] in ran["proxy_version"]
    # Without its cure it would come out different.
    losses = folder / "shown" / "losses.csv"
    assert not found(folder / "shown" / "run.json", losses, bug.expected.kind).meets(bug.healed)
    assert place.left() == []


def test_without_its_cure_a_case_comes_out_different(place: Place) -> None:
    told = place.run("case", "nginx-reload-race", "--without-cure", *place.ports)
    assert told.status == 1
    assert told.stdout.endswith("0 of 1 as expected\n")
    assert "DIFFERENT" in told.stdout
    assert "NOT as expected" in told.stderr


def test_a_version_that_a_case_names_is_the_one_that_is_run(place: Place) -> None:
    name = "haproxy-old-server-list"
    version = known(name).shown.mechanism.partition("@")[2]
    assert version
    fetched = place.run("versions", "--get", f"haproxy@{version}")
    assert fetched.status == 0, fetched.stderr
    assert f"run with: HAProxy version {version}" in place.run("case", name, "--tell").stdout
    assert f"run with: HAProxy version {version}" in place.run("cases").stdout


def test_a_case_that_the_program_there_is_does_not_show_cannot_and_nothing_has_failed(place: Place) -> None:
    text = files("proxyreload.casebook").joinpath("bugs", "haproxy-reload-race.toml").read_text(encoding="utf-8")
    (place.folder / "mine.toml").write_text(text.replace("2.4 and later", "before 1.5"), encoding="utf-8")
    told = place.run("case", "mine.toml", *place.ports)
    assert told.status == 0, told.stderr
    assert told.stdout.endswith("0 of 0 as expected, 1 cannot\n")
    assert re.search(r"mine: cannot: HAProxy version \S+ .* is none of those that show it: before 1\.5", told.stderr)
    assert not (place.folder / "cases" / "mine" / "shown" / "run.json").exists()


def test_they_are_listed_and_told_of(place: Place) -> None:
    listed = place.run("cases").stdout
    assert re.findall(r"^(\S+) ", listed, re.MULTILINE) == names()
    for name in names():
        told = place.run("case", name, "--tell").stdout
        assert told.startswith(f"{name}: {known(name).title}\n")
        assert all(source in told for source in known(name).sources)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("case",), "proxyreload: name a case (proxyreload cases lists them), or a file\n"),
        (("case", "nginx-reload-race", "nginx-reload-race"), "proxyreload: two cases are called nginx-reload-race\n"),
        (("case", "mine.toml"), "proxyreload: mine.toml: No such file or directory\n"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(place: Place, words: tuple[str, ...], message: str) -> None:
    told = place.run(*words)
    assert (told.status, told.stderr) == (2, message)


def test_the_page_has_each_with_its_title_its_sources_and_its_cure() -> None:
    page = Path(__file__).parents[2] / "docs" / "cases.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert list(rows) == names()
    for name, row in rows.items():
        bug = known(name)
        assert all(told in row for told in (bug.title, bug.shown.mechanism, bug.cure, *bug.sources))

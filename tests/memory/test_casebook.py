"""Famous bugs: their files, and whether what was found is what is to be found."""

from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred

from proxyreload.casebook import bugfile
from proxyreload.casebook.altered import altered
from proxyreload.casebook.bug import Bug, Expectation, Turn
from proxyreload.casebook.bugfile import known, names, parse
from proxyreload.casebook.casebook import Casebook, Outcome, Planned, Result, Unplanned
from proxyreload.casebook.finding import Finding
from proxyreload.casebook.showing import Program, why_cannot
from proxyreload.casebook.versionwords import Versions
from proxyreload.errors import UsageError
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.plan.scenario import parse as parse_scenario
from proxyreload.proxy.registry import choose
from proxyreload.sources.version import Version
from proxyreload.verdict.judgement import Verdict

from .clocks import result_of

WHOLE = """\
title = "It loses requests"
source = ["https://bugs.test/1"]
told = "It does."
versions = "all"
mechanism = "control:runtime"
words = ["--change", "reload"]

[expect]
verdict = ["lossy", "racy"]
kind = "aimed"
cause = "keep-alive race"
fate = "answered_twice"

[cure]
told = "another"
source = "https://docs.test/"
mechanism = "control:stays"
verdict = "seamless"
"""


@pytest.mark.parametrize("name", names())
def test_each_that_comes_with_the_program_can_be_read_and_run(name: str) -> None:
    bug = known(name)
    for turn in (bug.shown, bug.cured):
        plugin, colon, mechanism = turn.mechanism.partition("@")[0].partition(":")
        choice = choose(f"{plugin}{colon}{mechanism}")
        assert choice.plugin.name == plugin
    assert bug.sources
    assert bug.cure_source.startswith("https://")
    if bug.scenario:
        assert parse_scenario(bug.scenario, name).steps
    assert bug.shown != bug.cured


def test_a_file_says_it_all() -> None:
    assert parse(WHOLE, "its-bug.toml") == Bug(
        name="its-bug",
        title="It loses requests",
        sources=("https://bugs.test/1",),
        told="It does.",
        versions="all",
        scenario="",
        shown=Turn("control:runtime", ("--change", "reload")),
        expected=Expectation({Verdict.LOSSY, Verdict.RACY}, "aimed", Cause.KEEP_ALIVE_RACE, Fate.ANSWERED_TWICE),
        cured=Turn("control:stays", ("--change", "reload")),
        cure="another",
        cure_source="https://docs.test/",
        healed=Expectation({Verdict.SEAMLESS}, "aimed", never=Fate.ANSWERED_TWICE),
    )


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("title", "titel", "my.toml:1: unknown key 'titel'; there are: title, source, told, versions, mechanism, "),
        ('title = "It loses requests"', "title = 3", "my.toml:1: title must be a text of 2000 characters at most"),
        ('"It loses requests"', '"""a\nb"""', "my.toml:2: title must be a line of 200 characters at most"),
        ('["https://bugs.test/1"]', '"https://bugs.test/1"', "my.toml:2: source must be a list of texts"),
        ('verdict = ["lossy", "racy"]', 'verdict = "bad"', "my.toml:9: verdict must be of seamless, graceful, racy, "),
        ('verdict = ["lossy", "racy"]', "verdict = []", "my.toml:9: verdict must be of seamless, graceful, racy, "),
        ('verdict = ["lossy", "racy"]', "", "my.toml:8: verdict must be of seamless, graceful, racy, "),
        ('"keep-alive race"', '"bad luck"', "my.toml:11: cause must be one of ours, keep-alive race, "),
        ('"answered_twice"', "3", "my.toml:12: fate must be one of answered_once, "),
        ("[cure]", "[curse]", "my.toml:14: unknown key 'curse'; there are: title, "),
        ('"control:stays"', '"control:runtime"', "my.toml:14: the cure changes nothing: it takes another mechanism, "),
        ("versions", "config = 3\nversions", "my.toml:4: write each change of the configuration under [[config]]"),
        (
            "[expect]",
            "[[config]]\ntext = 'a'\n[expect]",
            "my.toml:8: a change of the configuration has text and becomes",
        ),
        ('told = "It does."', "told = [", "my.toml:4: "),
        ('told = "It does."', "a.b.c.d.e = 1", "my.toml:3: nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(before: str, after: str, message: str) -> None:
    assert before in WHOLE
    with pytest.raises(UsageError) as error:
        parse(WHOLE.replace(before, after, 1), "my.toml")
    assert str(error.value).startswith(message)


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no case 'it'; there are: .*nginx-reload-race"):
        known("it")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.toml", None, "none.toml: No such file or directory"),
        ("latin.toml", b"title = '\xe9'", "latin.toml: not UTF-8"),
        ("long.toml", b"#" * (bugfile._SIZE_LIMIT + 1), "long.toml: longer than 65536 bytes"),
        ("Its_Bug.toml", WHOLE.encode(), "a case's name has small letters, digits and hyphens"),
    ],
)
def test_a_file_that_is_none_is_told_in_a_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as error:
        known(str(tmp_path / name))
    assert str(error.value).endswith(message)


LOST = Finding("lossy", "aimed", 3, 100, {"keep-alive race": 2, "proxy cut it": 1}, {"lost_never_arrived": 3})
EXPECTED = Expectation({Verdict.LOSSY}, "aimed", Cause.KEEP_ALIVE_RACE)


@pytest.mark.parametrize(
    ("finding", "expected", "right"),
    [
        (LOST, EXPECTED, True),
        (LOST, Expectation({Verdict.RACY, Verdict.GRACEFUL}, "aimed"), False),
        (LOST, Expectation({Verdict.LOSSY}, "aimed", Cause.PROXY_CUT), False),
        (LOST, Expectation({Verdict.LOSSY}, fate=Fate.LOST_NEVER_ARRIVED), True),
        (LOST, Expectation({Verdict.LOSSY}, fate=Fate.ANSWERED_TWICE), False),
        (LOST, Expectation({Verdict.LOSSY}, never=Fate.LOST_NEVER_ARRIVED), False),
        (LOST, Expectation({Verdict.LOSSY}, never=Fate.ANSWERED_TWICE), True),
        # Where nothing was lost by chance there is no cause.
        (Finding("racy", "aimed", 0, 100), Expectation({Verdict.RACY}, "aimed", Cause.KEEP_ALIVE_RACE), True),
        (Finding(why="it did not start"), EXPECTED, False),
    ],
)
def test_a_finding_meets_what_is_expected_or_does_not(finding: Finding, expected: Expectation, *, right: bool) -> None:
    assert finding.meets(expected) is right


def test_both_are_told_in_a_line() -> None:
    assert str(LOST) == "aimed lossy, 3 of 100 lost, keep-alive race"
    assert str(Finding("seamless", "", 0, 9, {}, {"answered_twice": 2})) == "seamless, 0 of 9 lost, 2 carried out twice"
    assert str(Finding(why="it did not start")) == "it did not start"
    told = Expectation({Verdict.RACY, Verdict.LOSSY}, "aimed", Cause.KEEP_ALIVE_RACE, Fate.ANSWERED_TWICE)
    assert str(told) == "aimed lossy or racy, keep-alive race, answered twice"


def test_a_case_is_right_where_it_shows_and_its_cure_helps() -> None:
    bug = parse(WHOLE, "its-bug.toml")
    shows, not_lost = Outcome(EXPECTED, LOST), Finding("seamless", "aimed", 0, 100)
    assert Result(bug, shows, Outcome(bug.healed, not_lost)).right
    assert not Result(bug, shows, Outcome(bug.healed, LOST)).right
    assert not Result(bug, Outcome(EXPECTED, not_lost), Outcome(bug.healed, not_lost)).right
    assert Result(bug, shows, Outcome(bug.healed, Finding(why="refused"))).why_not == "refused"


@pytest.mark.parametrize("name", names())
def test_none_can_show_itself_and_be_healed_at_once(name: str) -> None:
    """So a case without its cure comes out wrong whenever it has shown itself."""
    bug = known(name)
    shown, healed = set(bug.expected.verdicts), set(bug.healed.verdicts)
    assert not shown & healed or (bug.expected.fate is not None and bug.expected.fate == bug.healed.never)


def test_a_configuration_is_altered_where_the_text_stands_once() -> None:
    texts = {"a.cfg": "one\ntwo\n", "b.cfg": "two three\n"}
    assert altered(texts, {"one": "1", "two three": "2"}) == {"a.cfg": "1\ntwo\n", "b.cfg": "2\n"}


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("two", "'two' stands more than once in the configuration (a.cfg, b.cfg)"),
        ("four", "'four' is not in the configuration (a.cfg, b.cfg)"),
    ],
)
def test_a_text_that_stands_nowhere_or_twice_is_told(before: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        altered({"a.cfg": "one\ntwo\n", "b.cfg": "two three\n"}, {before: "x"})
    assert str(error.value) == message


# In which versions.


@pytest.mark.parametrize(
    ("words", "having", "lacking"),
    [
        ("all", ["0.1", "9.9-rc1"], []),
        ("2.4", ["2.4", "2.4.30"], ["2.40", "2.3.9", "2.5"]),
        ("2.4 and later", ["2.4", "2.4.1", "3.0.11", "2.10"], ["2.3.99", "1.9"]),
        ("2.4 to 2.8", ["2.4.0", "2.6.12", "2.8.25"], ["2.3", "2.9", "3.0"]),
        ("before 2.4", ["2.3.9", "1.8"], ["2.4", "2.4.1", "3.0"]),
    ],
)
def test_versions_are_said_in_words(words: str, having: list[str], lacking: list[str]) -> None:
    said = Versions.of(words)
    assert str(said) == words
    assert all(said.have(Version.of(each)) for each in having)
    assert not any(said.have(Version.of(each)) for each in lacking)


@pytest.mark.parametrize("words", ["", "new ones", "2.4 and", "before 2.4 and later", "before 2.4 to 3", "2.4 to new"])
def test_what_are_no_versions_is_told_with_what_are(words: str) -> None:
    with pytest.raises(UsageError, match=r"versions are all, 2\.4, 2\.4 and later"):
        Versions.of(words)


SHOWS = """
[[shows]]
versions = "before 1.9"
seen = "1.8 lost one of ten"
[[shows]]
versions = "2.4 and later"
seen = "2.6 lost all"

[expect]"""
SHOWN = WHOLE.replace("\n[expect]", SHOWS).replace("[cure]", '[cure]\nversions = "2.6 and later"')


def test_a_file_says_in_which_versions_it_shows_and_what_was_seen_there() -> None:
    bug = parse(SHOWN, "its-bug.toml")
    assert [(str(each.versions), each.seen) for each in bug.shows] == [
        ("before 1.9", "1.8 lost one of ten"),
        ("2.4 and later", "2.6 lost all"),
    ]
    assert str(bug.cured_in) == "2.6 and later"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("2.4 and later", "new", "my.toml:12: versions are all, 2.4, "),
        ('seen = "2.6 lost all"', "", "my.toml:11: what shows it has versions and seen"),
        ('versions = "2.6 and later"', "versions = 2.6", "my.toml:2"),
    ],
)
def test_versions_that_are_wrong_are_told_with_the_line(before: str, after: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(SHOWN.replace(before, after), "my.toml")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("shown", "cured", "why"),
    [
        ("proxy 2.8.1", "proxy 2.8.1", ""),
        ("proxy 1.8", "proxy 2.8.1", ""),
        ("proxy 2.2.9", "proxy 2.8.1", "proxy 2.2.9 is none of those that show it: before 1.9; 2.4 and later"),
        ("proxy 2.4.3", "proxy 2.4.3", "proxy 2.4.3 does not have what cures it: 2.6 and later"),
        ("", "", ""),  # it is not there: the run says so
        ("of today", "of today", ""),
    ],
)
def test_a_program_that_is_known_not_to_show_it_cannot(shown: str, cured: str, why: str) -> None:
    assert why_cannot(parse(SHOWN, "its-bug.toml"), Program(shown), Program(cured)) == why


def test_what_nobody_has_written_down_is_tried() -> None:
    assert why_cannot(parse(WHOLE, "its-bug.toml"), Program("proxy 0.1"), Program("proxy 0.1")) == ""


def test_one_that_cannot_is_not_run_and_one_that_is_not_to_be_had_is_no_more_than_that() -> None:
    bug, nothing = parse(SHOWN, "its-bug.toml"), cast(Any, None)
    told: list[Result] = []
    book = Casebook(
        nothing, lambda: 0, [Planned(bug, nothing, nothing, "too old"), Unplanned(bug, "none")], told.append
    )
    cannot, missing = result_of(Deferred.fromCoroutine(book.execute()))
    assert told == [cannot, missing]
    assert (cannot.cannot, cannot.why_not, cannot.right) == (True, "too old", False)
    assert (missing.cannot, missing.why_not, missing.right) == (False, "none", False)
    assert book.share == 1


@pytest.mark.parametrize("name", names())
def test_each_that_names_the_versions_that_show_it_has_one_that_it_names_among_them(name: str) -> None:
    bug = known(name)
    _mechanism, _at, version = bug.shown.mechanism.partition("@")
    if bug.shows and version:
        assert any(each.versions.have(Version.of(version)) for each in bug.shows)

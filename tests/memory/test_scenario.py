"""Scenarios: what they mean, and in which line they are wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.plan.scenario import Scenario, Step, default, parse, read, repeated, rolling, watching
from proxyreload.traffic.registry import kinds

from .clocks import some_examples

KINDS = ", ".join(kinds())

WHOLE = """\
title = "one of everything"
duration = 20
backends = [0, 1]

[[step]]
at = 5
add = 2

[[step]]
pause = 1.5

[[step]]
at = "50 %"
remove = 0
"""


def wrong(text: str, duration_s: float | None = None) -> str:
    """Return the error of a scenario that is wrong."""
    with pytest.raises(UsageError) as raised:
        parse(text, "my.toml", duration_s)
    return str(raised.value)


def step(*lines: str) -> str:
    """Return a scenario of one step, whose keys begin at line 2."""
    return "\n".join(["[[step]]", *lines])


def test_a_whole_scenario() -> None:
    assert parse(WHOLE, "my.toml") == Scenario(
        "one of everything",
        20.0,
        (0, 1),
        (Step("add", 2, at_s=5.0), Step("pause", pause_s=1.5), Step("remove", 0, at_s=10.0)),
    )


def test_it_names_every_backend() -> None:
    assert parse(WHOLE, "my.toml").instances == {0, 1, 2}


@pytest.mark.parametrize(("text", "kinds"), [("traffic = []", []), ("[[traffic]]\nkind = 'idle'", ["idle"])])
def test_what_it_says_of_traffic_is_all_there_is(text: str, kinds: list[str]) -> None:
    groups = parse(text, "my.toml").groups
    assert groups is not None
    assert [group.kind.name for group in groups] == kinds


def test_an_empty_one_is_traffic_alone() -> None:
    assert parse("", "my.toml") == Scenario("my.toml", 15.0, (0, 1), ())


def test_another_duration_takes_the_place_of_its_own_and_moves_the_shares() -> None:
    scenario = parse(WHOLE, "my.toml", 40.0)
    assert scenario.duration_s == 40.0
    assert [each.at_s for each in scenario.steps] == [5.0, None, 20.0]


def test_the_default_adds_2_and_removes_0() -> None:
    scenario = default()
    assert scenario.initial == (0, 1)
    assert [(each.action, each.instance) for each in scenario.steps] == [("add", 2), ("remove", 0)]
    assert scenario.duration_s == 15.0


@pytest.mark.parametrize("duration_s", [0.5, 3.0, 600.0])
def test_the_default_is_scaled_by_the_duration(duration_s: float) -> None:
    scenario = default(duration_s)
    assert scenario.duration_s == duration_s
    assert [each.at_s for each in scenario.steps] == pytest.approx([duration_s * 0.33, duration_s * 0.67])


def test_watching_changes_nothing_and_has_no_end_of_its_own() -> None:
    assert watching(None).duration_s == float("inf")
    assert watching(30.0).duration_s == 30.0
    assert watching(30.0).steps == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Keys.
        ("titel = 1", "my.toml:1: unknown key 'titel'; there are: title, duration, backends, step, traffic"),
        (
            "\n\nduration = 5\nsteps = 1",
            "my.toml:4: unknown key 'steps'; there are: title, duration, backends, step, traffic",
        ),
        (
            step("add = 2", "when = 3"),
            "my.toml:3: unknown key 'when'; there are: at, add, remove, reload, upgrade, rotate, edit, pause",
        ),
        (
            WHOLE + "after = 1",
            "my.toml:15: unknown key 'after'; there are: at, add, remove, reload, upgrade, rotate, edit, pause",
        ),
        # Types.
        ('duration = "long"', "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not 'long'"),
        ("\nduration = true", "my.toml:2: duration takes a number from 0.001 to 2678400 seconds, not True"),
        ("duration = nan", "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not nan"),
        ("duration = inf", "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not inf"),
        ("duration = [1]", "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not [1]"),
        (
            "duration = 1979-05-27",
            "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not datetime.date(1979, 5, 27)",
        ),
        ("backends = 2", "my.toml:1: backends must be a list of backends' numbers"),
        ("backends = [0, -1]", "my.toml:1: backends must be a list of backends' numbers"),
        ("backends = [\n0,\n'1',\n]", "my.toml:4: backends must be a list of backends' numbers"),
        ("backends = [true]", "my.toml:1: backends must be a list of backends' numbers"),
        ("step = 5", "my.toml:1: write each step under [[step]]"),
        ("step = [1]", "my.toml:1: write each step under [[step]]"),
        ("\n[step]\nadd = 2", "my.toml:2: write each step under [[step]]"),
        (step("add = '2'"), "my.toml:2: add takes a backend's number"),
        (step("remove = 1.5"), "my.toml:2: remove takes a backend's number"),
        (step("add = -1"), "my.toml:2: add takes a backend's number"),
        (step("add = true"), "my.toml:2: add takes a backend's number"),
        (step("pause = '1'"), "my.toml:2: pause takes a number from 0 to 2678400 seconds, not '1'"),
        # Times.
        (
            "[[traffic]]\nkind = 'idel'",
            f"my.toml:2: no kind 'idel'; there are: {KINDS}",
        ),
        (
            "[[traffic]]\nclients = 3",
            f"my.toml:1: kind must be one of: {KINDS}",
        ),
        ("[[traffic]]\nkind = 'idle'\ngap = [3, 1]", "my.toml:3: gap takes the least before the most"),
        ("[[traffic]]\nkind = 'slow'\ndelay = 'x'", "my.toml:3: delay takes a number from 0.001 to 3600, not 'x'"),
        (
            "[[traffic]]\nkind = 'slow'\ndelai = 3",
            "my.toml:3: unknown key 'delai'; slow has: kind, clients, rate, rtt, delay, streams",
        ),
        ("traffic = 3", "my.toml:1: write each kind of traffic under [[traffic]]"),
        ("duration = 0", "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not 0"),
        ("duration = -5", "my.toml:1: duration takes a number from 0.001 to 2678400 seconds, not -5"),
        (step("add = 2", "at = 'soon'"), "my.toml:3: at must be seconds or a share like \"33 %\", not 'soon'"),
        (step("add = 2", "at = '-5 %'"), "my.toml:3: at must be seconds or a share like \"33 %\", not '-5 %'"),
        (step("add = 2", "at = []"), "my.toml:3: at takes a number from 0 to 2678400 seconds, not []"),
        (step("add = 2", "at = nan"), "my.toml:3: at takes a number from 0 to 2678400 seconds, not nan"),
        (step("at = 15", "add = 2"), "my.toml:2: this step comes at 15 s, but the run ends after 15 s"),
        (step("at = '100 %'", "add = 2"), "my.toml:2: this step comes at 15 s, but the run ends after 15 s"),
        (step("pause = 15"), "my.toml:2: this step comes at 15 s, but the run ends after 15 s"),
        (step("pause = -1"), "my.toml:2: pause takes a number from 0 to 2678400 seconds, not -1"),
        # Steps.
        (step("at = 1"), "my.toml:1: a step needs exactly one of add, remove, reload, upgrade, rotate, edit, pause"),
        (
            step("add = 2", "remove = 0"),
            "my.toml:1: a step needs exactly one of add, remove, reload, upgrade, rotate, edit, pause",
        ),
        ("backends = [1, 1]", "my.toml:1: backends names one twice"),
        (f"backends = [0, {10**9 + 1}]", "my.toml:1: backends must be a list of backends' numbers"),
        (step("add = 0x" + "f" * 9000), "my.toml:2: add takes a backend's number"),
        ("\nduration = " + "9" * 5000, "my.toml:2: a number of too many digits"),
        ("\n" + "a." * 20_000 + "a = 1", "my.toml:2: nested too deeply"),
        ("title = 5", "my.toml:1: title must be a text"),
        ("title = '\u2028'\nx = 1", "my.toml:2: unknown key 'x'; there are: title, duration, backends, step, traffic"),
        ("title = '\u2028'\nx = [", "my.toml:2: Invalid value"),
        (step("add = 1"), "my.toml:2: backend 1 is behind the proxy already"),
        (step("remove = 3"), "my.toml:2: backend 3 is not behind the proxy"),
        (WHOLE + "\n[[step]]\nremove = 0", "my.toml:17: backend 0 is not behind the proxy"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(text: str, message: str) -> None:
    assert wrong(text) == message


@pytest.mark.parametrize("time", ["-1", "-0.5"])
def test_a_step_before_the_start_is_told_with_file_and_line(time: str) -> None:
    assert wrong(step("add = 2", f"at = {time}")).startswith("my.toml:3: ")


def test_a_step_that_goes_back_in_time_is_told_with_file_and_line() -> None:
    assert wrong(WHOLE.replace("at = 5", "at = 12")) == "my.toml:13: at 10 s comes before the step before it is over"


def test_a_step_in_the_pause_before_it_is_told_with_file_and_line() -> None:
    assert wrong(WHOLE.replace("1.5", "6")) == "my.toml:13: at 10 s comes before the step before it is over"


def test_a_step_that_a_shorter_duration_leaves_out_is_told_with_file_and_line() -> None:
    assert wrong(WHOLE, 4.0) == "my.toml:6: this step comes at 5 s, but the run ends after 4 s"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("duration = ", 1),
        ("title = 'x'\nduration 5\n", 2),
        ("title = 'x'\n\n[[step\nadd = 2\n", 3),
        ("title = 'never closed", 1),
        ("duration = 5\nduration = 6\n", 2),
        ("\n\nbackends = [0, 1", 3),
    ],
)
def test_what_is_not_toml_is_told_with_file_and_line(text: str, line: int) -> None:
    message = wrong(text)
    assert message.startswith(f"my.toml:{line}: ")
    assert "(at " not in message


@pytest.mark.parametrize("text", ["duration = 1" + "0" * 400, step("add = 2", "at = 1" + "0" * 400)])
def test_a_number_beyond_all_numbers_is_told_with_file_and_line(text: str) -> None:
    assert wrong(text).startswith("my.toml:")


def test_what_a_scenario_says_is_told_bounded_and_fit_to_be_shown() -> None:
    assert parse("title = '\x85" + "a" * 5000 + "'", "my.toml").title.startswith(r"\x85aaa")
    assert len(parse("title = '" + "a" * 5000 + "'", "my.toml").title) < 300
    for text in ("a" * 60_000 + " = 1", step("add = 2", f"at = '{'a' * 60_000}'"), f"title = '{'a' * 60_000}'\nb"):
        assert len(wrong(text)) < 400


def test_a_text_nested_beyond_all_reason_is_told_in_one_line() -> None:
    assert wrong("backends = " + "[" * 20_000).startswith("my.toml:")


LINES = st.sampled_from(
    (
        *("[[step]]", "[step]", "at = 3", "at = '50 %'", "add = 2", "add = 0", "remove = 0", "pause = 1", "x = 1"),
        *("duration = 5", "duration = '5'", "backends = [0]", "backends = []", "title = 1", "=", '"', "[", ""),
    )
)


def outcome(text: str) -> Scenario | str:
    """Return the scenario, or what is wrong with it."""
    try:
        return parse(text, "my.toml")
    except UsageError as error:
        return str(error)


@some_examples
@given(st.lists(LINES, max_size=8))
def test_any_file_is_a_scenario_or_wrong_in_one_line(lines: list[str]) -> None:
    told = outcome("\n".join(lines))
    if isinstance(told, str):
        name, number, _rest = told.split(":", 2)
        assert name == "my.toml"
        assert 1 <= int(number) <= max(1, len(lines))
        assert "\n" not in told
    else:
        assert all(each.at_s is None or 0 <= each.at_s < told.duration_s for each in told.steps)


@some_examples
@given(st.text(max_size=60))
def test_any_text_is_a_scenario_or_wrong_in_one_line(text: str) -> None:
    told = outcome(text)
    assert isinstance(told, Scenario) or told.startswith("my.toml:")


def test_a_file_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("duration = 0\n")
    with pytest.raises(UsageError) as raised:
        read(path)
    assert str(raised.value) == f"{path}:1: duration takes a number from 0.001 to 2678400 seconds, not 0"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(WHOLE)
    assert read(path, 40.0) == parse(WHOLE, str(path), 40.0)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"my\.toml: No such file or directory"):
        read(tmp_path / "my.toml")


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        read(tmp_path)


def test_a_file_that_is_not_text_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(UsageError, match=r"my\.toml: not UTF-8"):
        read(path)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(UsageError, match="/dev/zero: longer than 65536 bytes"):
        read(Path("/dev/zero"))


def test_a_step_reloads_upgrades_rotates_or_edits() -> None:
    text = "[[step]]\nat = 1\nreload = true\n[[step]]\nupgrade = true\n[[step]]\nrotate = true\n[[step]]\nedit = true\n"
    scenario = parse(text, "my.toml")
    assert scenario.steps == (Step("reload", at_s=1.0), Step("upgrade"), Step("rotate"), Step("edit"))
    assert scenario.actions == {"reload", "upgrade", "rotate", "edit"}
    assert scenario.instances == {0, 1}
    assert [step.name for step in scenario.steps] == ["reload", "upgrade", "rotate", "edit"]


@pytest.mark.parametrize("value", ["false", "1", '"yes"'])
def test_a_reload_that_is_none_is_wrong(value: str) -> None:
    with pytest.raises(UsageError, match=r"my\.toml:2: write reload = true"):
        parse(f"[[step]]\nreload = {value}\n", "my.toml")


def test_rolling_adds_the_next_and_removes_the_oldest() -> None:
    scenario = rolling(3, 0.5, 4)
    changes = [(step.action, step.instance) for step in scenario.steps if step.action != "pause"]
    assert changes == [("add", 2), ("remove", 0), ("add", 3), ("remove", 1), ("add", 0), ("remove", 2)]
    assert {step.pause_s for step in scenario.steps if step.action == "pause"} == {0.5}
    assert [step.action == "pause" for step in scenario.steps] == [True, False] * 6 + [True]
    assert scenario.duration_s == 3.5


@given(st.integers(1, 30), st.integers(3, 7))
def test_rolling_never_adds_what_is_there_nor_removes_what_is_not(cycles: int, backends: int) -> None:
    behind = {0, 1}
    for step in rolling(cycles, 0.1, backends).steps:
        if step.action == "add":
            assert step.instance not in behind
            behind.add(step.instance)
        elif step.action == "remove":
            behind.remove(step.instance)
    assert len(behind) == 2


def test_a_reload_is_repeated() -> None:
    scenario = repeated("reload", 2, 0.25)
    pause = Step("pause", pause_s=0.25)
    assert scenario.steps == (pause, Step("reload"), pause, Step("reload"), pause)
    assert scenario.duration_s == 0.75

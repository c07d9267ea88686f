"""``--only`` and ``--skip``: mechanisms and kinds of traffic."""

import pytest

from proxyreload.command.compare import CompareOptions
from proxyreload.command.manyruns import settings_of
from proxyreload.comparison.contender import Contender, contenders
from proxyreload.comparison.selection import Selection
from proxyreload.errors import UsageError
from proxyreload.plan.settings import LoadSettings
from proxyreload.proxy import registry as finding

from .plugins import PLUGINS


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS if group == "proxyreload.plugins" else ())


def load(*words: str) -> LoadSettings:
    options = CompareOptions()
    options.parseOptions(["fake:quick", *words])
    return settings_of(options).load


def left(only: str | None, skip: str | None) -> list[str]:
    found: list[Contender | str] = [*contenders(["fake:quick", "fake:slow"]), "plugin broken: it is"]
    chosen = Selection.parsed(only, skip).of(found)
    return [each.name if isinstance(each, Contender) else each for each in chosen]


@pytest.mark.parametrize(
    ("only", "skip", "names"),
    [
        (None, None, ["fake:quick", "fake:slow"]),
        ("fake", None, ["fake:quick", "fake:slow"]),
        ("fake:q*", None, ["fake:quick"]),
        ("*:slow,idle", None, ["fake:slow"]),
        (None, "fake:slow", ["fake:quick"]),
        ("fake", "*:quick", ["fake:slow"]),
        ("kind=idle", None, ["fake:quick", "fake:slow"]),
        (None, "idle", ["fake:quick", "fake:slow"]),
    ],
)
def test_mechanisms_are_left_by_name_and_what_is_wrong_with_a_plugin_stays(
    only: str | None, skip: str | None, names: list[str]
) -> None:
    assert left(only, skip) == [*names, "plugin broken: it is"]


@pytest.mark.parametrize(
    ("only", "skip", "complaint"),
    [
        ("fakr", None, "--only: 'fakr' is no mechanism that is compared, and no kind of traffic"),
        (None, "fake:fast", "--skip: 'fake:fast' is no mechanism"),
        (None, "fake", "--only and --skip leave no mechanism to compare"),
    ],
)
def test_a_name_of_nothing_and_nothing_left_are_told(only: str | None, skip: str | None, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        left(only, skip)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("text", ["", " , "])
def test_an_option_without_a_word_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="--skip takes mechanisms and kinds of traffic"):
        Selection.parsed(None, text)


def test_a_kind_that_there_is_not_is_told() -> None:
    with pytest.raises(UsageError, match="bogus"):
        Selection.parsed("kind=bogus", None)


def test_kinds_are_left_by_name_and_one_client_stays_to_prove_the_changes() -> None:
    whole = load("--rate", "100")
    chosen = Selection.parsed("idle,post", None).sent(whole)
    assert [each.kind.name for each in chosen.groups] == ["idle", "post"]
    assert (chosen.clients, chosen.rate_per_s) == (1, 10)
    skipped = Selection.parsed(None, "idle").sent(whole)
    assert [each for each in whole.groups if each not in skipped.groups] == [
        each for each in whole.groups if each.kind.name == "idle"
    ]
    assert (skipped.clients, skipped.rate_per_s) == (10, 100)
    assert Selection.parsed("fake", None).sent(whole) == whole


def test_a_kind_that_nobody_sends_is_told() -> None:
    with pytest.raises(UsageError, match="--skip: no idle is sent: --traffic says what is"):
        Selection.parsed(None, "idle").sent(load("--traffic", "post=1"))


def test_the_kinds_are_told_again_for_a_command_that_names_its_mechanism() -> None:
    assert [*Selection.parsed("fake,idle,post", "kind=get").words] == [
        *("--only", "kind=idle,kind=post"),
        *("--skip", "kind=get"),
    ]
    assert [*Selection.parsed("fake", None).words] == []

"""What mechanisms are compared under: distances, and how removed backends go."""

import attrs
import pytest

from proxyreload.command.compare import CompareOptions
from proxyreload.command.manyruns import settings_of
from proxyreload.comparison.condition import UNCHANGED, Condition, all_conditions, conditions
from proxyreload.errors import UsageError
from proxyreload.plan.settings import Settings
from proxyreload.plan.traffic import from_table

BACKENDS, RELOADS = ("add", "remove"), ("reload",)


def settings(*words: str) -> Settings:
    options = CompareOptions()
    options.parseOptions(["fake:quick", *words])
    return settings_of(options)


def sent(asked: Settings) -> dict[str, list[tuple[int, float]]]:
    """Return how many clients of each kind there are, and how far away."""
    told: dict[str, list[tuple[int, float]]] = {}
    for each in asked.load.everyone:
        told.setdefault(each.kind.name, []).append((each.clients, each.rtt_s))
    return told


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("near", ["near"]),
        ("killed", ["killed"]),
        ("killed,near, far", ["near, killed", "far, killed"]),
        ("near,far,leaving,killed", ["near, leaving", "near, killed", "far, leaving", "far, killed"]),
        ("asked", [""]),
    ],
)
def test_each_distance_goes_with_each_way_to_go(text: str, names: list[str]) -> None:
    assert [each.name for each in conditions("--conditions", text, BACKENDS)] == names


@pytest.mark.parametrize(
    ("text", "actions", "complaint"),
    [
        (
            "nearby",
            BACKENDS,
            "--conditions takes near, far, leaving, killed, a comma between two, or asked, not 'nearby'",
        ),
        ("", BACKENDS, "not ''"),
        ("asked,near", BACKENDS, "not 'asked'"),
        ("near,killed", RELOADS, "--conditions killed goes with changes that remove a backend"),
    ],
)
def test_another_word_is_told(text: str, actions: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        conditions("--conditions", text, actions)
    assert complaint in str(raised.value)


def test_where_no_backend_is_removed_there_are_distances_alone() -> None:
    assert [each.name for each in all_conditions(RELOADS)] == ["near", "far"]
    assert len(all_conditions(BACKENDS)) == 4


def test_far_is_everybody_but_one_client_by_which_changes_are_proved() -> None:
    asked = settings("--clients", "8", "--rate", "400")
    far = Condition("far").met(asked)
    told = sent(far)
    assert (told["get"][0], far.load.rate_per_s) == ((1, 0.0), 50)
    assert {rtt_s for groups in told.values() for _clients, rtt_s in groups[1:] or groups} == {0.02}
    assert told.keys() == sent(asked).keys()


def test_near_is_everybody_and_those_without_a_rate_are_left_out_of_get() -> None:
    asked = settings("--clients", "8", "--rate", "400")
    near = Condition("near").met(asked)
    told = sent(near)
    assert (told["get"], near.load.rate_per_s) == ([(8, 0.0)], 400)
    assert {rtt_s for groups in told.values() for _clients, rtt_s in groups} == {0.0}
    assert told.keys() == sent(asked).keys()


def test_clients_that_are_asked_for_by_number_alone_are_far_too() -> None:
    assert sent(Condition("far").met(settings("--traffic", "idle=3"))) == {
        "get": [(1, 0.0), (10, 0.02)],
        "idle": [(3, 0.02)],
    }


def test_a_group_of_get_with_a_rate_comes_nearer() -> None:
    asked = settings("--traffic", "get=2")
    paced = from_table({"kind": "get", "clients": 3, "rate": 5, "rtt": 10})
    asked = attrs.evolve(asked, load=attrs.evolve(asked.load, groups=(paced,)))
    assert sent(Condition("near").met(asked)) == {"get": [(2, 0.0), (3, 0.0)]}


@pytest.mark.parametrize(
    ("words", "leaving", "killed"),
    [
        ((), (1, None), 1),
        (("--stop-removed", "3"), (3, None), 3),
        (("--stop-removed", "never"), (1, None), 1),
        (("--kill-removed", "2"), (2, None), 2),
        (("--kill-removed", "0.5"), (0.5, None), 0.5),
    ],
)
def test_removed_backends_leave_or_are_killed_when_the_options_say(
    words: tuple[str, ...], leaving: tuple[float, float | None], killed: float
) -> None:
    asked = settings(*words)
    gone = Condition("", "leaving").met(asked).backends
    assert (gone.stop_removed_s, gone.kill_removed_s) == leaving
    assert Condition("", "killed").met(asked).backends.kill_removed_s == killed


def test_as_asked_nothing_is_another() -> None:
    asked = settings()
    assert UNCHANGED.met(asked) == asked
    assert (UNCHANGED.words, Condition("far", "killed").words) == ((), ("--conditions", "far,killed"))
    assert UNCHANGED.as_plain() == {"name": "", "rtt_ms": None, "removed": None}
    assert Condition("far", "killed").as_plain() == {"name": "far, killed", "rtt_ms": 20, "removed": "killed"}

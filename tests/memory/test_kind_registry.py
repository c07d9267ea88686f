"""Kinds are found by their entry points, and a request tells a backend its kind with every setting."""

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.traffic import registry
from proxyreload.traffic.download import Serving
from proxyreload.traffic.interfaces import ClientEnd, Key, Kind, Values
from proxyreload.traffic.registry import FIELD_LIMIT, backend_end, field_of, kind_named, kinds, values_of

few_examples = settings(max_examples=60)


@attrs.frozen
class Point:
    """An entry point."""

    name: str
    load: Callable[[], object]


def raising(error: BaseException) -> Callable[[], object]:
    def load() -> object:
        raise error

    return load


@pytest.fixture(name="installed")
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Point]]:
    """Let the test say which entry points there are."""
    points: list[Point] = []
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points if group == registry.GROUP else [])
    kinds.cache_clear()
    yield points
    kinds.cache_clear()


def of_name(name: str, **more: Any) -> Kind:
    return Kind(name, "does a thing", "a right thing", lambda _values: ClientEnd(), **more)


def test_a_strangers_kind_is_found_by_its_name(installed: list[Point]) -> None:
    mine = of_name("mine")
    installed += [Point("mine", lambda: mine), Point("another", lambda: of_name("another"))]
    assert kind_named("mine") is mine
    assert list(kinds()) == ["another", "mine"]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (raising(ImportError("no module\n")), r"ImportError: no module\n"),
        (raising(SystemExit(0)), "SystemExit: 0"),
        (raising(SyntaxError("bad")), "SyntaxError: bad"),
        (object, "it is no Kind of that name"),
        (lambda: of_name("other"), "it is no Kind of that name"),
    ],
)
def test_one_that_cannot_be_loaded_is_said_in_a_line(
    installed: list[Point], load: Callable[[], object], words: str
) -> None:
    installed.append(Point("mine", load))
    with pytest.raises(UsageError) as error:
        kinds()
    assert str(error.value) == f"kind mine cannot be loaded: {words}"
    assert str(error.value).isprintable()


def test_two_of_one_name_are_refused(installed: list[Point]) -> None:
    installed += [Point("mine", lambda: of_name("mine")), Point("mine", lambda: of_name("mine"))]
    with pytest.raises(UsageError, match="there are two kinds mine"):
        kinds()


def test_an_unknown_kind_is_answered_by_those_there_are() -> None:
    with pytest.raises(UsageError, match="no kind 'gopher'; there are: aimed, download, fresh, get, grpc, h2, idle"):
        kind_named("gopher")


def test_a_long_name_is_shown_in_part() -> None:
    with pytest.raises(UsageError) as error:
        kind_named("\x1b" * 10_000)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


# Settings.


def test_what_is_not_given_is_the_kinds_own() -> None:
    kind = kind_named("stream")
    assert values_of(kind, [("length", 2)]) == {"every": 0.1, "length": 2, "streams": 0}


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("stream", ("gap", 1), "unknown key 'gap'; stream has: every, length, streams"),
        ("get", ("gap", 1), "unknown key 'gap'; get has: none"),
        ("stream", ("every", "1"), "every takes a number from 0.001 to 3600, not '1'"),
        ("stream", ("every", True), "every takes a number from 0.001 to 3600, not True"),
        ("stream", ("every", 0), "every takes a number from 0.001 to 3600, not 0"),
        ("stream", ("every", float("nan")), "every takes a number from 0.001 to 3600, not nan"),
        ("stream", ("every", [1, 2]), "every takes a number from 0.001 to 3600, not [1, 2]"),
        ("download", ("size", 1.5), "size takes a whole number from 1 to 16000000, not 1.5"),
        ("download", ("size", 10**5000), "size takes a whole number from 1 to 16000000, not that many digits"),
        ("idle", ("gap", [1]), "gap takes two numbers, the least and the most"),
        ("idle", ("gap", [1, 2, 3]), "gap takes two numbers, the least and the most"),
        ("idle", ("gap", [2, 1]), "gap takes the least before the most"),
        ("idle", ("gap", [-1, 1]), "gap takes a number from 0 to 3600, not -1"),
        ("idle", ("gap", "1~2"), "gap takes a number from 0 to 3600, not '1~2'"),
        ("idle", ("gap", [[1], 2]), "gap takes a number from 0 to 3600, not [1]"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_what_can(kind: str, given: tuple[str, object], words: str) -> None:
    with pytest.raises(UsageError) as error:
        values_of(kind_named(kind), [given])
    assert str(error.value) == words


def test_a_range_of_one_number_is_always_that() -> None:
    assert values_of(kind_named("idle"), [("gap", 2)]) == {"gap": (2, 2)}


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.name)
def test_the_settings_of_every_kind_are_within_their_own_bounds(kind: Kind) -> None:
    own = {
        name: list(key.default) if isinstance(key.default, tuple) else key.default for name, key in kind.keys.items()
    }
    assert values_of(kind, own.items()) == values_of(kind, ())
    assert values_of(kind, kind.quiet[1].items()).keys() == kind.keys.keys()


# What a request says of its kind.


@attrs.frozen
class Seen:
    """A backend's end that says with which settings it was made."""

    values: Values


def any_values(kind: Kind) -> st.SearchStrategy[dict[str, object]]:
    def of(key: Key) -> st.SearchStrategy[Any]:
        if isinstance(key.bound, WholeBound):
            return st.integers(int(key.bound.lowest), int(key.bound.highest))
        number = st.floats(key.bound.lowest, key.bound.highest)
        return st.tuples(number, number).map(sorted) if key.drawn else number

    return st.fixed_dictionaries({name: of(key) for name, key in kind.keys.items()})


DRAWN = of_name(
    "drawn",
    backend=Seen,
    keys={
        "gap": Key((1.0, 2.0), Bound(0, 3600), "s"),
        "size": Key(5, WholeBound(0, 2**53), "bytes"),
        "every": Key(0.1, Bound(0.001, 86_400), "s"),
    },
)


@few_examples
@given(given=any_values(DRAWN))
def test_a_backend_has_every_setting_to_the_last_bit(given: dict[str, object]) -> None:
    values = values_of(DRAWN, given.items())
    field = field_of(DRAWN, values)
    assert len(field) <= FIELD_LIMIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "kinds", lambda: {"drawn": DRAWN})
        patch.setattr(registry, "_ends", {})
        seen: object = backend_end(field)
        assert seen == Seen(values)


def test_a_field_can_be_read() -> None:
    kind = kind_named("stream")
    assert field_of(kind, values_of(kind, ())) == b"stream every=0.1 length=5"
    kind = kind_named("post")
    assert field_of(kind, values_of(kind, kind.quiet[1].items())) == b"post size=1000 gap=0.3~0.7 delay=0"


@pytest.mark.parametrize("kind", [kind for kind in kinds().values() if kind.backend is not None], ids=lambda k: k.name)
def test_every_kind_is_understood_with_its_own_settings_and_those_of_the_mix(kind: Kind) -> None:
    for settled in ({}, kind.quiet[1]):
        field = field_of(kind, values_of(kind, settled.items()))
        assert len(field) <= FIELD_LIMIT
        assert isinstance(backend_end(field), kind.backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [10**exponent for exponent in range(8)])
def test_so_are_round_numbers(size: int) -> None:
    kind = kind_named("download")
    assert isinstance(backend_end(field_of(kind, values_of(kind, [("size", size), ("rate", 10.0**9)]))), Serving)


def test_what_any_backend_answers_names_no_kind() -> None:
    for name in ("get", "fresh", "idle", "aimed"):
        kind = kind_named(name)
        assert field_of(kind, values_of(kind, ())) == b""


HOSTILE = [
    b"",
    b"get",
    b"gopher size=1",
    b"download size",
    b"download size=",
    b"download size=-1",
    b"download size=99999999999999999999",
    b"download size=1e3",
    b"download size=1 rate=nan",
    b"download colour=1",
    b"download  size=1",
    b"slow delay=1e999",
    b"slow delay=1~2",
    b"post gap=1~2~3",
    b"post gap=2~1",
    b"post gap=~",
    b"stream every=0.1 length=\xff",
    b"\x00" * FIELD_LIMIT,
]


@pytest.mark.parametrize("field", HOSTILE)
def test_what_names_no_kind_is_none(field: bytes) -> None:
    assert backend_end(field) is None


@few_examples
@given(field=st.binary(max_size=FIELD_LIMIT))
def test_nor_is_anything_else(field: bytes) -> None:
    assume(field.decode("latin-1") not in kinds())  # with the settings that it has by itself
    assert backend_end(field) is None


def test_whoever_invents_fields_fills_no_memory_and_hides_no_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[bytes, object] = {}
    monkeypatch.setattr(registry, "_ends", kept)
    for number in range(1, 2000):
        assert backend_end(b"gopher %d" % number) is None
        assert isinstance(backend_end(b"download size=%d" % number), Serving)
    assert len(kept) == registry._ENDS_KEPT
    assert isinstance(backend_end(b"download size=5000"), Serving)

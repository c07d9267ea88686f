"""Finds the kinds of traffic: by the entry point group, as plugins are found."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points

from proxyreload.errors import UsageError
from proxyreload.system.bounds import WholeBound
from proxyreload.system.untrusted import printable
from proxyreload.traffic.interfaces import BackendEnd, Key, Kind, Values

GROUP = "proxyreload.kinds"
#: What a backend keeps of the field in which a request names its kind; ours are shorter.
FIELD_LIMIT = 200
_SEPARATOR = "~"


@cache
def kinds() -> dict[str, Kind]:
    """Return all kinds there are, by name, in the order of their names; raises `UsageError` for one that is none."""
    found: dict[str, Kind] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            kind = point.load()
        except BaseException as error:
            msg = f"kind {point.name} cannot be loaded: {type(error).__name__}: {printable(str(error))}"
            raise UsageError(msg) from error
        if not isinstance(kind, Kind) or kind.name != point.name:
            msg = f"kind {point.name} cannot be loaded: it is no Kind of that name"
            raise UsageError(msg)
        if point.name in found:
            msg = f"there are two kinds {point.name}"
            raise UsageError(msg)
        found[point.name] = kind
    return found


def kind_named(name: str) -> Kind:
    """Return a kind; raises `UsageError` with the names there are."""
    kind = kinds().get(name)
    if kind is None:
        msg = f"no kind {printable(repr(name), 40)}; there are: {', '.join(kinds())}"
        raise UsageError(msg)
    return kind


def values_of(kind: Kind, given: Iterable[tuple[str, object]]) -> Values:
    """Return a kind's settings with those that are given in the place of its own; raises `UsageError`."""
    values = {name: key.default for name, key in kind.keys.items()}
    for name, value in given:
        key = kind.keys.get(name)
        if key is None:
            msg = f"unknown key {name!r}; {kind.name} has: {', '.join(kind.keys) or 'none'}"
            raise UsageError(msg)
        values[name] = _range(key, name, value) if key.drawn else key.bound.of(name, value)
    return values


def _range(key: Key, name: str, value: object) -> tuple[float, float]:
    """Return a range, also of one number: always that."""
    if isinstance(value, list | tuple):
        if len(value) != 2:  # noqa: PLR2004
            msg = f"{name} takes two numbers, the least and the most"
            raise UsageError(msg)
        least, most = (key.bound.of(name, each) for each in value)
    else:
        least = most = key.bound.of(name, value)
    if least > most:
        msg = f"{name} takes the least before the most"
        raise UsageError(msg)
    return least, most


def field_of(kind: Kind, values: Values) -> bytes:
    """Return how a request tells a backend its kind: ``stream every=0.1 length=5``; empty where it needs not know."""
    if kind.backend is None:
        return b""
    told = (f"{name}={_text(value)}" for name, value in values.items() if not kind.keys[name].ours)
    return " ".join([kind.name, *told]).encode("ascii")


#: Backends' ends by the fields that ask for them. Bounded: whoever invents fields is no client of ours, but must not
#: keep those of ours from being understood.
_ENDS_KEPT = 256
_ends: dict[bytes, BackendEnd] = {}


def backend_end(field: bytes) -> BackendEnd | None:
    """Return what answers requests that name their kind so; None: no kind that a backend must know."""
    end = _ends.get(field)
    if end is None:
        end = _backend_end(field)
        if end is not None and len(_ends) < _ENDS_KEPT:
            _ends[field] = end
    return end


def _backend_end(field: bytes) -> BackendEnd | None:
    name, *words = field.decode("latin-1").split(" ")
    kind = kinds().get(name)
    if kind is None or kind.backend is None:
        return None
    try:
        given = [(key, _value(kind.keys[key], text)) for key, _equals, text in (word.partition("=") for word in words)]
        return kind.backend(values_of(kind, given))
    except (UsageError, ValueError, KeyError):
        return None


def _text(value: float | tuple[float, float]) -> str:
    return _SEPARATOR.join(map(_number, value)) if isinstance(value, tuple) else _number(value)


def _number(value: float) -> str:
    """Return a number to its last bit: both ends count from it how many pieces there are."""
    if isinstance(value, int):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _value(key: Key, text: str) -> object:
    if key.drawn:
        return [float(part) for part in text.split(_SEPARATOR)]
    return int(text) if isinstance(key.bound, WholeBound) else float(text)

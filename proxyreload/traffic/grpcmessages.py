"""The messages of calls, ours and those of the health service.

See https://github.com/grpc/grpc/blob/master/doc/health-checking.md for the latter.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

#: By their names: fields that are numbers or bytes, and their places. A string is encoded as bytes are.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, type]]] = {
    "Asked": {"id": (1, bytes), "messages": (2, int), "every_us": (3, int), "status": (4, int)},
    "Told": {"number": (1, int), "id": (2, bytes)},
    "HealthCheckRequest": {"service": (1, bytes)},
    "HealthCheckResponse": {"status": (1, int)},
}
_PLACES = {name: {place for place, _type in fields.values()} for name, fields in _MESSAGES.items()}


def encoded(name: str, **fields: int | bytes) -> bytes:
    """Return a message of this name; a field that is 0 or empty is left out, which is the same."""
    message = _classes()[name](**{field: value for field, value in fields.items() if value})
    written: bytes = message.SerializeToString()
    return written


def decoded(name: str, data: bytes) -> Any:  # noqa: ANN401  (of a class that is made here)
    """Return the message that `data` is; raises `ValueError` if it is none, or a field of it is of another type."""
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    try:
        message = _classes()[name].FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    unknown: Iterable[Any] = UnknownFieldSet(message)  # type: ignore[assignment]  # its stub has no __iter__
    if any(each.field_number in _PLACES[name] for each in unknown):
        msg = "a field of another type"
        raise ValueError(msg)
    return message


@cache
def _classes() -> Mapping[str, Any]:
    """Make the classes when the first is needed: protobuf takes longer to load than all the kinds."""
    from proxyreload.system.messages import BYTES, UINT32, described

    types = {bytes: BYTES, int: UINT32}
    return described(
        {
            name: [(field, place, types[of]) for field, (place, of) in fields.items()]
            for name, fields in _MESSAGES.items()
        }
    )

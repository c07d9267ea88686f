"""The few fields of an answer that matter, however their names are spelled."""

from proxyreload.traffic.identity import BACK_PORT_FIELD, ID_FIELD, INSTANCE_FIELD

UNKNOWN, INSTANCE, BACK_PORT, ECHOED_ID, LENGTH, CODING = range(6)
_FIELDS = {
    INSTANCE_FIELD.lower(): INSTANCE,
    BACK_PORT_FIELD.lower(): BACK_PORT,
    ID_FIELD.lower(): ECHOED_ID,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
}
#: Names as they were spelled by proxies, so that each spelling is folded once. Bounded: a proxy chooses them.
_SPELLINGS_KEPT = 256
spellings: dict[bytes, int] = {}


def field_of(name: bytes) -> int:
    """Return which field `name` is, and know this spelling from now on."""
    field = _FIELDS.get(name.lower(), UNKNOWN)
    if len(spellings) < _SPELLINGS_KEPT:
        spellings[name] = field
    return field

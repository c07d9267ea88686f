"""A sequence in time, drawn in lanes: client, proxy, backend."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from proxyreload.explanation.moments import Lane, Moment
from proxyreload.explanation.quantity import since

_HEAD = "client   proxy    backend"
_DRAWN = {
    Lane.CLIENT: "  o        |        |    ",
    Lane.PROXY: "  |        o        |    ",
    Lane.BACKEND: "  |        |        o    ",
    Lane.NOWHERE: "  |        |---x    |    ",
    Lane.ASKED: "  |------->|        |    ",
    Lane.TOLD: "  |<-------|        |    ",
    Lane.PASSED: "  |        |------->|    ",
}
_QUIET = "  |        |        |    "


def swimlanes(told: Sequence[Moment], zero_us: int, width: int, indent: str = "  ") -> Iterator[str]:
    """Yield lines of at most `width` columns; times are counted from `zero_us`."""
    times = [since(moment.at_us - zero_us) if moment.timed else "" for moment in told]
    stamp = max([len(time) for time in times] + [0])
    yield f"{indent}{'':>{stamp}}  {_HEAD}"
    room = max(20, width - len(indent) - stamp - 2 - len(_QUIET) - 1)
    for moment, time in zip(told, times, strict=True):
        lines = wrap(moment.text, room) or [""]
        yield f"{indent}{time:>{stamp}}  {_DRAWN[moment.lane]} {lines[0]}".rstrip()
        yield from (f"{indent}{'':>{stamp}}  {_QUIET} {line}" for line in lines[1:])

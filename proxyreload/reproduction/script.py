"""``reproduce.py``: a script of Python's standard library alone, with what was recorded as a literal of its own.

Into the literal go numbers, words of ours and what the plugin itself says; nothing as a file has it.
"""

from importlib.resources import files
from pprint import pformat

from proxyreload.reproduction.case import Case
from proxyreload.reproduction.ways import counts_as

_TEMPLATE, _PLACE, _WIDTH = "reproduce.py.txt", "CASE = {}  # what was recorded stands here", 110
#: Seconds that it waits at most, and bytes of a body that it sends: it is bounded in time.
_WAIT_AT_MOST_S, _BODY_AT_MOST = 60.0, 16_384


def script(case: Case) -> str:
    """Return the script for a case."""
    template = files("proxyreload.reproduction").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    before, place, after = template.partition(_PLACE)
    assert place  # noqa: S101
    return f"{before}CASE = {pformat(_literal(case), sort_dicts=False, width=_WIDTH)}{after}"


def _literal(case: Case) -> dict[str, object]:
    recipe, turn, example = case.recipe, case.turn, case.example
    leaves_s = None if case.leaves_s is None else min(case.leaves_s, _WAIT_AT_MOST_S)
    return {
        "mechanism": case.choice.name,
        "program": recipe.program,
        "version": list(recipe.version),
        "arguments": list(recipe.arguments),
        "signal": recipe.signal,
        "successor": list(recipe.successor),
        "front": case.front_port,
        "backends": case.ports,
        "change": turn.name,
        "added": turn.added,
        "removed": turn.removed,
        "leaves_s": leaves_s,
        "killed": case.killed,
        "timeout_s": min(case.timeout_s, _WAIT_AT_MOST_S),
        "way": case.way.name,
        "method": example.method,
        "body": min(example.body_bytes, _BODY_AT_MOST),
        "chunked": example.chunked,
        "connections": case.way.connections,
        "lost": counts_as(case.among.loss, case.way),
    }

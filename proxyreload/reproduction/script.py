"""``reproduce.py``: a script of Python's standard library alone, with what was recorded as a literal of its own.

Into the literal go numbers, words of ours and what the plugin itself says; nothing as a file has it.
"""

from importlib.resources import files
from pprint import pformat

import attrs

from proxyreload.proxy.recipe import HOSTNAME, Ask, Command
from proxyreload.reproduction.case import Case
from proxyreload.reproduction.ways import counts_as

_PARTS = ("head", "backends", "clients", "proxy", "packets", "trial", "main")
_PLACE, _WIDTH = "CASE = {}  # what was recorded stands here", 110
#: Seconds that it waits at most, and bytes of a body that it sends: it is bounded in time.
_WAIT_AT_MOST_S, _BODY_AT_MOST = 60.0, 16_384
#: And a client is as far away as this at most, there and back.
_AWAY_AT_MOST_MS, _MS_PER_S = 1000.0, 1000.0


def script(case: Case) -> str:
    """Return the script for a case."""
    folder = files("proxyreload.reproduction").joinpath("template")
    template = "\n\n".join(folder.joinpath(f"{part}.py.txt").read_text(encoding="utf-8") for part in _PARTS)
    before, place, after = template.partition(_PLACE)
    assert place  # noqa: S101
    return f"{before}CASE = {pformat(_literal(case), sort_dicts=False, width=_WIDTH)}{after}"


def _step(step: Command | Ask) -> dict[str, object]:
    if isinstance(step, Command):
        return {"command": list(step.words)}
    return {**attrs.asdict(step), "fields": dict(step.fields)}


def _literal(case: Case) -> dict[str, object]:
    recipe, turn, example = case.recipe, case.turn, case.example
    leaves_s = None if case.leaves_s is None else min(case.leaves_s, _WAIT_AT_MOST_S)
    return {
        "mechanism": case.choice.name,
        "program": recipe.program,
        "version": list(recipe.version),
        "arguments": list(recipe.arguments),
        "stop": recipe.stop,
        "signal": recipe.signal,
        "successor": list(recipe.successor),
        "steps": [_step(step) for step in case.steps],
        "hostname": HOSTNAME,
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
        "away_s": min(example.rtt_ms, _AWAY_AT_MOST_MS) / 2 / _MS_PER_S,
        "lost": counts_as(case.among.loss, case.way),
    }

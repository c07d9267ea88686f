"""``proxyreload capacity``: how many changes a second mechanisms take, with real proxies (docs/capacity.md)."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from proxyreload.command.capacity import Asked, CapacityOptions
from proxyreload.comparison.contender import contenders

from .command import PROXYRELOAD, Exits, Place, free_ports
from .page import blocks

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
#: In which half of the changes are hit at least: what is late is late with every change here.
SHORT = ("--share", "0.5", "--least", "0.1", "--steps", "6", "--rate", "200", "--wait-old", "0")


def ports() -> tuple[str, ...]:
    """Return the options that name the ports of ten backends, and of the front before them."""
    front_port = free_ports(11)
    return ("--front-port", str(front_port), "--first-port", str(front_port + 1))


def measured(place: Place) -> dict[str, Any]:
    """Return what was found, by the mechanisms."""
    content = json.loads((place.folder / "capacity.json").read_text(encoding="utf-8"))
    return {each["mechanism"]: each for each in content["mechanisms"]}


def test_haproxy_keeps_twenty_changes_a_second_and_what_it_takes_is_told(place: Place) -> None:
    pace = ("--from", "20", "--top", "20", "--grow", "10")
    result = place.run("capacity", "haproxy:runtime", "control:slow@/no/such", *pace, *SHORT, *ports())
    haproxy, missing = measured(place).values()
    assert (haproxy["kept_per_s"], haproxy["at_least"], haproxy["known"]) == (20, True, True)
    (step,) = haproxy["steps"]
    assert (step["lost"], step["refused"], step["late"]) == (0, 0, 0)
    assert step["changes"] >= 24
    assert [(each["changes_per_s"], each["backends"]) for each in haproxy["grown"]] == [(10, 8), (10, 10)]
    for each in (step, *haproxy["grown"]):
        assert (each["kept"], each["processes"] >= 1, each["resident_bytes"] > 1_000_000) == (True, True, True)
        (run,) = [json.loads((place.folder / path).read_text(encoding="utf-8")) for path in each["runs"]]
        assert run["options"]["backends"] == each["backends"]
        assert [change["requested_us"] for change in run["changes"]] == sorted(
            change["requested_us"] for change in run["changes"]
        )
        assert len(run["changes"]) == each["changes"]
        # No change was made before it was due.
        due = [planned["at_s"] for planned in run["scenario"]["steps"]]
        assert all(change["requested_us"] >= at_s * 1e6 for change, at_s in zip(run["changes"], due, strict=True))
    assert "haproxy:runtime: ≥ 20 changes/s" in result.stdout
    assert missing["why"] == "--binary /no/such: no such program"
    assert result.status == 3
    assert place.left() == []


def test_one_that_takes_ten_changes_a_second_falls_behind_at_more(place: Place) -> None:
    result = place.run("capacity", "control:slow", "--from", "14", "--precision", "2", *SHORT, *ports())
    slow = measured(place)["control:slow"]
    assert slow["kept_per_s"] < 10 < slow["failed_per_s"]
    assert slow["signs"] == ["falls behind"]
    paces = [(step["changes_per_s"], step["kept"]) for step in slow["steps"]]
    assert paces[0] == (14, False)
    behind = slow["steps"][0]
    # Each takes a tenth of a second at least, and there is a fourteenth for it.
    assert behind["worst_lag_ms"] > behind["changes"] * 1000 * (1 / 10 - 1 / 14)
    assert behind["last_lag_ms"] > behind["first_lag_ms"]
    assert behind["lost"] == 0
    assert "falls behind at " in result.stdout
    assert result.status == 0
    assert place.left() == []


def test_ended_half_way_it_shows_what_it_has(place: Place) -> None:
    words = ("capacity", "haproxy:runtime", "control:slow", "--from", "20", *SHORT, *ports())
    session = place.start(*words, command=("sh", "-c", 'exec "$@" 2>&1', "sh", *PROXYRELOAD))
    session.until("20/s, 8 backends: kept")
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGINT)
    result = session.ended()
    assert exits.left() == []
    assert result.status == 3
    haproxy, slow = measured(place).values()
    assert (haproxy["kept_per_s"], haproxy["known"], slow["steps"]) == (20, False, [])
    assert (haproxy["why"], slow["why"]) == ("it was ended before", "it was ended before")
    assert "haproxy:runtime" in result.stdout
    assert place.left() == []


def test_what_a_mechanism_cannot_do_counts_for_nothing(place: Place) -> None:
    result = place.run("capacity", "control:runtime", "--change", "reload", *SHORT, *ports())
    (control,) = measured(place).values()
    assert (control["cannot"], control["steps"]) == (True, [])
    assert "cannot reload" in control["why"]
    assert result.status == 0


def test_the_commands_of_capacity_md_ask_for_what_there_is() -> None:
    commands = [command.text.split() for block in blocks(PAGE) for command in block.shown]
    assert commands
    for words in commands:
        assert words[:2] == ["proxyreload", "capacity"]
        options = CapacityOptions()
        options.parseOptions(words[2:])
        assert Asked.of(options).steps
        assert contenders(options["names"])

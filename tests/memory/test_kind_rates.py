"""Peers are told to ask for the same as a kind's clients."""

import sys
from pathlib import Path

import pytest

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.kind_rates import ASKED, KIND_ROWS, Asked, more_options
from benchmarks.peer import Job
from proxyreload.plan.scenario import parse
from proxyreload.traffic.registry import backend_end

FRESH, POST, DOWNLOAD, _H2 = ASKED


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.kind)
def test_ours_sends_that_kind_and_a_backend_understands_what_a_peer_sends(asked: Asked) -> None:
    groups = parse(asked.scenario, "kind.toml").groups
    assert groups is not None
    [group] = groups
    assert (group.kind.name, group.clients) == (asked.kind, 10)
    told = dict(field.split(": ", 1) for field in asked.fields)
    assert ("Proxyreload-Kind" in told) == asked.ours_answer
    if asked.ours_answer:
        assert backend_end(told["Proxyreload-Kind"].encode("ascii")) is not None
        assert all(group.values[name] == value for name, value in asked.settings.items())


@pytest.mark.parametrize(
    ("peer", "options"),
    [("wrk", ["-H", "Connection: close"]), ("hey", ["-disable-keepalive"]), ("oha", ["--disable-keepalive"])],
)
def test_each_peer_opens_a_connection_for_each_request(tmp_path: Path, peer: str, options: list[str]) -> None:
    assert more_options(peer, FRESH, Job("", 1, (), tmp_path)) == options


@pytest.mark.parametrize("peer", ["hey", "oha"])
def test_a_body_has_the_bytes_that_the_kind_sends(tmp_path: Path, peer: str) -> None:
    options = more_options(peer, POST, Job("", 1, (), tmp_path))
    assert options[-4:-1] == ["-m", "POST", "-D"]
    assert len(Path(options[-1]).read_bytes()) == POST.body == POST.settings["size"]


def test_wrk_is_told_by_a_script(tmp_path: Path) -> None:
    options = more_options("wrk", POST, Job("", 1, (), tmp_path))
    assert options[-2] == "-s"
    assert Path(options[-1]).read_text("utf-8") == "wrk.method = 'POST'\nwrk.body = string.rep('x', 1000)\n"


def test_every_row_is_of_a_kind_that_is_measured() -> None:
    assert {row.ours.partition(":")[0] for row in KIND_ROWS} == {asked.kind for asked in ASKED}

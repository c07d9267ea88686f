"""The story of a real run's losses."""

import csv
import re
from collections import Counter

import pytest

from .command import Place

pytestmark = pytest.mark.real


def test_the_losses_of_a_reload_are_told_as_its_files_have_them(place: Place) -> None:
    words = ("--plugin", "nginx:reload", "--traffic", "get=10,idle=20,aimed=60", "--rtt", "20", "--duration", "5")
    run = place.run(*words, "--no-report", *place.ports)
    assert run.status == 1
    with (place.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        losses = list(csv.DictReader(file))
    causes = Counter(loss["cause"] for loss in losses)
    told = place.run("explain")
    assert (told.status, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    summary = run.summary
    assert lines[0].startswith(f"lossy: {summary['failure']:,} of {summary['exchanges']:,} request")
    for cause, number in causes.items():
        assert f"\n{cause}, {number:,} of {len(losses):,}: " in told.stdout
    assert "+0.0000 s    |        o        |     change " in told.stdout
    assert "no backend received it" in told.stdout
    assert "what helps with nginx:reload: keepalive_min_timeout" in told.stdout
    example = re.search(r"with --loss (\d+)$", told.stdout)
    assert example is not None
    loss = losses[int(example[1]) - 1]
    full = place.run("explain", "run.json", "--loss", example[1])
    assert (full.status, full.stderr) == (0, "")
    assert f"client {loss['client']} of {loss['kind']}" in full.stdout
    assert re.search(rf"^  -> +{loss['request']} .*  {loss['failure']}$", full.stdout, re.MULTILINE)
    number = next(
        number
        for number, each in enumerate(losses, 1)
        if "FIN was sent before" in each["evidence"] and "the proxy said: [notice]" in each["evidence"]
    )
    full = place.run("explain", "run.json", "--loss", str(number))
    assert re.search(r"\| +proxy says: \[notice\] ", full.stdout)
    assert re.search(r"\| +FIN was sent before any of its ", full.stdout)
    assert place.left() == []

"""Grafana's dashboard asks for metrics that there are, by labels that they have, and leaves none of them out."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from proxyreload.web.metrics import Metrics

pytestmark = pytest.mark.real

DASHBOARD = Path(__file__).parents[2] / "assets" / "grafana.json"
BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
SAMPLES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
#: What Prometheus itself adds to each.
ADDED = {"instance", "job"}


def labels() -> dict[str, set[str]]:
    """Return the labels of each of our samples, by its name."""
    told: dict[str, set[str]] = {}
    for metric in Metrics().collect():
        for ending in SAMPLES[metric.type]:
            own = set(getattr(metric, "_labelnames", ())) | ({"le"} if ending == "_bucket" else set())
            told[metric.name + ending] = own
    return told


LABELS = labels()
ASKED = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize(("title", "target"), ASKED)
def test_what_is_asked_for_there_is(title: str, target: dict[str, str]) -> None:
    names = re.findall(r"proxyreload_\w+", target["expr"])
    assert names, title
    known = set[str]()
    for name in names:
        assert name in LABELS
        known |= LABELS[name]
    for matchers in re.findall(r"\{([^}]*)\}", target["expr"]):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known | ADDED
    grouped = [word for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in re.findall(r"\w+", by)]
    assert set(grouped) <= known
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_each_metric_is_in_it() -> None:
    asked = " ".join(target["expr"] for _title, target in ASKED)
    families = {name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for name in LABELS}
    assert [name for name in families if name not in asked] == []


def test_its_variables_and_what_it_marks_are_of_ours_too() -> None:
    (datasource, instance) = BOARD["templating"]["list"]
    assert datasource["type"] == "datasource"
    asked = [instance["query"]["query"], *(each["expr"] for each in BOARD["annotations"]["list"])]
    for words in asked:
        assert set(re.findall(r"proxyreload_\w+", words)) <= LABELS.keys()
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert used == {"datasource", "instance", "__range", "__rate_interval"}


def test_panels_have_numbers_of_their_own_and_do_not_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below

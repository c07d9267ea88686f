"""A site of what somebody else has written: only text, and only in its folder."""

import json
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.site.address import condition_part, mechanism_part, plain_part, version_part
from proxyreload.site.evidence import Wanted
from proxyreload.site.publication import publish

from .editions import comparison, kind, row
from .sitelinks import dead_links, pages_of, tree

HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "../../../etc/passwd",
        "..",
        ".",
        "/",
        "",
        "=cmd|' /C calc'!A0",
        "javascript:alert(1)",
        "a\x00b\x1b[31m",
        "{{ 7 * 7 }}{% include 'x' %}",
        "\u202eevil",
        "\ud800",
        "x" * 5000,
        "' onmouseover='alert(1)",
    ]
)
TEXTS = HOSTILE | st.text(max_size=80)
PARTS = [mechanism_part, condition_part, version_part, plain_part]


@given(st.sampled_from(PARTS), TEXTS)
def test_a_part_of_an_address_leads_nowhere_else(part: Any, name: str) -> None:
    told = part(name)
    assert 0 < len(told) <= 80
    assert set(told) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-")
    assert not told.startswith((".", "-"))


NAMES = st.text("ab:-. ", min_size=1, max_size=6)


@given(NAMES | TEXTS, NAMES | TEXTS)
def test_two_mechanisms_have_two_addresses(one: str, other: str) -> None:
    # No plugin's name has a hyphen.
    assert (mechanism_part(one) == mechanism_part(other)) == (one == other)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a comparison with anything where a text may be."""
    told = []
    for number in range(draw(st.integers(1, 3))):
        names = draw(st.lists(TEXTS, max_size=3, unique=True))
        kinds = {name: kind(draw(TEXTS), 9, 1, why=draw(TEXTS), causes={draw(TEXTS): 1}) for name in names}
        told.append(
            row(
                f"{number}{draw(TEXTS)}",  # in front: of a long one the end is not told
                draw(TEXTS),
                kinds,
                verdict=draw(TEXTS),
                says=draw(TEXTS),
                why=draw(TEXTS),
                version=draw(TEXTS),
                command=draw(st.lists(TEXTS, max_size=3)),
                cure={"advice": draw(TEXTS), "link": draw(TEXTS)},
                causes={draw(TEXTS): 3},
                failures={draw(TEXTS): 3},
                trials=[{"round": 1, "verdict": draw(TEXTS), "run": draw(TEXTS.filter(lambda name: "\0" not in name))}],
            )
        )
    texts = {key: draw(TEXTS) for key in ("what", "started", "proxyreload")}
    named = [{"name": draw(TEXTS), "rtt_ms": None, "removed": draw(TEXTS)}]
    return comparison(told, conditions=named, machine={draw(TEXTS): draw(TEXTS)}, **texts)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(contents())
def test_what_comes_from_a_file_is_only_text(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "in" / "compare.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    site = folder / "out" / "site"
    site.parent.mkdir()
    publish(site, [path], Wanted())
    assert sorted(tree(folder / "in")) == ["compare.json"]
    assert [each.name for each in site.parent.iterdir()] == ["site"]
    assert {name.partition("/")[0] for name in tree(site)} <= {
        *("index.html", "index.json", "causes.html", "cell", "edition", "mechanism", "schemas"),
    }
    assert dead_links(site) == []
    pages = pages_of(site)
    assert len({page.text["script"] for page in pages.values()}) == 1
    for page in pages.values():
        assert [tag for tag, _values in page.elements].count("script") == 1
        assert not {tag for tag, _values in page.elements} & {"img", "iframe", "object", "base"}
        assert page.handlers == []
        assert all(not link.startswith("javascript:") for link in page.links)
    publish(site, [], Wanted())  # what it has it can read
    shutil.rmtree(folder)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
        lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXTS, each, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        ["conditions", "rows", "machine", "command", "started", "row", "kinds", "price", "disruption", "trials"]
    ),
)
def test_what_is_no_comparison_is_refused_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, spoilt: object, key: str
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    content = comparison([row("a:b")])
    if key in content:
        content[key] = spoilt
    elif key == "row":
        content["rows"] = [spoilt]
    else:
        content["rows"][0][key] = spoilt
    path = folder / "compare.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        publish(folder / "site", [path], Wanted())
    except UsageError as error:
        told = str(error)
    else:
        told = f"{path}:"
        assert dead_links(folder / "site") == []
    assert told.startswith(f"{path}:")
    assert told.isprintable()
    shutil.rmtree(folder)

"""YAML, and JSON, changed in one place: what is not changed stays as it is, and what comes of it is YAML."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import Template
from proxyreload.proxy.yamltext import YamlText, content

from .clocks import some_examples

PATH = Path("it.yml")
BLOCK = """\
# ours @@
a: 1   # one
list:
  - x: 1
    y: |
      some
      words

  - x: 2
b:
  c: {d: [1, 2, 3]}
"""
VALUES = {"backend": [{"name": "p"}, {"name": "q"}], "yes": True}


def changed(text: str) -> tuple[YamlText, Any]:
    made = YamlText.parse(PATH, text)
    return made, made.root


def filled(made: YamlText, **values: object) -> Any:
    return yaml.safe_load(Template.parse("x", made.template()).filled({**VALUES, **values}))


def test_what_is_not_changed_stays_as_it_is() -> None:
    made, _root = changed(BLOCK)
    assert Template.parse("x", made.template()).filled({}) == BLOCK


def test_a_value_is_replaced() -> None:
    made, root = changed(BLOCK)
    made.replace(made.entry(root, "a"), "@@yes@@")
    made.replace(made.entry(root, "b", "c", "d"), "7")
    assert made.template() == BLOCK.replace("@@", "@@@@").replace("1   #", "@@yes@@   #").replace("[1, 2, 3]", "7")


@pytest.mark.parametrize(
    "text", [BLOCK, json.dumps(yaml.safe_load(BLOCK)), json.dumps(yaml.safe_load(BLOCK), indent=1)]
)
def test_block_and_flow_are_changed_alike(text: str) -> None:
    made, root = changed(text)
    items = made.items(made.entry(root, "list"))
    made.replace(made.entry(items[0], "x"), '"@@name@@"')
    made.repeat(made.entry(root, "list"), items[0])
    made.choose(root, made.entry(root, "list"), "other", "another", "[]")
    made.remove(root, made.entry(root, "b"))
    made.insert(root, "first", "0", "yes")
    assert filled(made) == {
        "first": 0,
        "a": 1,
        "list": [{"x": name, "y": "some\nwords\n"} for name in ("p", "q")],
    }
    assert filled(made, yes=False, other=True) == {"a": 1, "another": []}


def test_items_and_entries_are_taken_out_and_put_in_wherever_they_stand() -> None:
    for index in range(3):
        made, root = changed(BLOCK)
        numbers = made.entry(root, "b", "c", "d")
        made.remove(numbers, made.items(numbers)[index])
        assert filled(made)["b"]["c"]["d"] == [each for each in (1, 2, 3) if each != index + 1]
    made, root = changed(BLOCK)
    made.insert_item(made.entry(root, "b", "c", "d"), "0")
    made.insert_item(made.entry(root, "list"), "{x: 0}", "yes")
    first = made.items(made.entry(root, "list"))[0]
    made.remove(first, made.entry(first, "x"))
    told = filled(made)
    assert told["b"]["c"]["d"] == [0, 1, 2, 3]
    assert told["list"] == [{"x": 0}, {"y": "some\nwords\n"}, {"x": 2}]
    alone, root = changed("a:\n- b: 1\n")
    (item,) = alone.items(alone.entry(root, "a"))
    alone.remove(item, alone.entry(item, "b"))
    assert filled(alone) == {"a": [{}]}


def test_what_nothing_is_left_in_goes_with_it() -> None:
    for text in (BLOCK, json.dumps(yaml.safe_load(BLOCK))):
        made, root = changed(text)
        numbers = made.entry(root, "b", "c", "d")
        for each in made.items(numbers):
            made.remove(numbers, each)
        assert filled(made).keys() == {"a", "list"}


def test_a_thing_is_where_its_key_is() -> None:
    made, root = changed(BLOCK)
    assert [made.line(value) for _key, value in made.entries(root)] == [2, 3, 10]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "it.yml:1: no YAML: "),
        ("a: 1\n\tb: 2", "it.yml:2: no YAML: "),
        ("- a", "it.yml:1: no mapping of sections"),
        ("", "it.yml:1: no mapping of sections"),
        ("a: 1\n---\nb: 2", "it.yml:2: no YAML: but found another document"),
        ("a: *b", "it.yml:1: no YAML: found undefined alias 'b'"),
        ("[" * 3000, "it.yml: no YAML: "),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        YamlText.parse(PATH, text)
    assert str(raised.value).startswith(complaint)


def test_what_is_said_twice_or_in_two_places_is_not_changed() -> None:
    made, root = changed("a: 1\na: 2\nb: &x {c: 1}\nd: *x\n")
    with pytest.raises(UsageError, match=r"it\.yml:2: a is there twice"):
        made.entry(root, "a")
    with pytest.raises(UsageError, match=r"it\.yml:3: this is used elsewhere as well, by an alias"):
        made.replace(made.entry(root, "d", "c"), "2")


def test_without_what_reads_it_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(
        UsageError, match=r"it\.yml: what is YAML is read with PyYAML: pip install 'proxyreload\[yaml\]'"
    ):
        YamlText.parse(PATH, "a: 1")
    with pytest.raises(UsageError, match="what is YAML is read with PyYAML"):
        content("a: 1", "it.yml")


VALUE = st.recursive(
    st.integers(0, 9) | st.sampled_from(["x", "a: b", "@@", "# no", "two\nlines\n", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), VALUE, min_size=1, max_size=3), st.booleans(), st.sampled_from("abc"))
@some_examples
def test_whatever_is_taken_out_the_rest_says_what_it_said(told: dict[str, Any], flow: bool, key: str) -> None:  # noqa: FBT001
    made, root = changed(yaml.safe_dump(told, default_flow_style=flow, sort_keys=False))
    node = made.entry(root, key)
    if node is not None:
        made.remove(root, node)
    assert (filled(made) or {}) == {name: value for name, value in told.items() if name != key}

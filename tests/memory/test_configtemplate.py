"""Templates of configurations: what is marked is filled in, and all else stays as it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.proxy.configtemplate import DEPTH_AT_MOST, FILLED_AT_MOST, TEXT_AT_MOST, Template, literal, remark

from .clocks import some_examples

BACKENDS = [{"name": "backend0", "address": "127.0.0.1:1030"}, {"name": "backend3", "address": "127.0.0.1:1033"}]
VALUES = {"front": "127.0.0.1:8080", "tls": True, "edit": False, "backend": BACKENDS, "none": []}


def filled(text: str) -> str:
    return Template.parse("mine.cfg", text).filled(VALUES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bind @@front@@ ssl\n", "bind 127.0.0.1:8080 ssl\n"),
        ("socket unix@@@front@@\n", "socket unix@127.0.0.1:8080\n"),
        ("@@front@@@@front@@", "127.0.0.1:8080127.0.0.1:8080"),
        ("a @@@@ b", "a @@ b"),
        ("server {\n    $x @ {{ %{+Q}[a] }\n}\n", "server {\n    $x @ {{ %{+Q}[a] }\n}\n"),
        ("x\n  @@each backend@@\n    server @@name@@ @@address@@;\n  @@end@@\ny\n",
         "x\n    server backend0 127.0.0.1:1030;\n    server backend3 127.0.0.1:1033;\ny\n"),
        ('[@@each backend@@{"dial": "@@address@@"}@@between@@, @@end@@]',
         '[{"dial": "127.0.0.1:1030"}, {"dial": "127.0.0.1:1033"}]'),
        ("[@@each none@@x@@between@@,@@end@@]", "[]"),
        ("[\n@@each backend@@\n@@name@@\n@@between@@\n,\n@@end@@\n]", "[\nbackend0\n,\nbackend3\n]"),
        ("a@@if tls@@ ssl@@else@@ plain@@end@@;", "a ssl;"),
        ("a@@if edit@@ ssl@@else@@ plain@@end@@;", "a plain;"),
        ("@@if unheard-of@@\nx\n@@end@@\ny", "y"),
        ("@@if tls@@@@if edit@@x@@else@@y@@end@@@@end@@", "y"),
        ("@@each backend@@@@front@@ @@name@@|@@end@@", "127.0.0.1:8080 backend0|127.0.0.1:8080 backend3|"),
        ("{\n  @@# where it listens@@\n  1@@# so@@}", "{\n  1}"),
        (remark("words, and more") + "x", "x"),
        ("no end of line", "no end of line"),
        ("a\r\n@@front@@\r\n", "a\r\n127.0.0.1:8080\r\n"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_marked_is_filled_in(text: str, told: str) -> None:
    assert filled(text) == told


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\nb @@front\nc", "2: @@ begins a marker that does not end on its line; two @ as they are are written @@@@"),
        ("a\n@@Front@@", "2: '@@Front@@' is no marker"),
        ("a @@fr ont@@", "1: '@@fr ont@@' is no marker"),
        ("a @@each Backend@@", "1: '@@each Backend@@' is no marker"),
        ("\n\n@@each backend@@\nx", "3: this block has no @@end@@"),
        ("x\n@@end@@", "2: @@end@@ belongs to nothing that has begun"),
        ("@@if tls@@\n@@between@@@@end@@", "2: @@between@@ belongs to nothing that has begun"),
        ("@@each backend@@@@between@@\n@@between@@@@end@@", "2: @@between@@ belongs to nothing"),
        ("\x1b[31m@@\x1b@@", "1: '@@\\x1b@@' is no marker"),
    ],
)
def test_what_is_no_template_is_told_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        Template.parse("mine.cfg", text)
    assert str(raised.value).startswith("mine.cfg:" + complaint)


def test_a_name_without_a_value_is_told_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"^mine\.cfg:2: there is no address here$"):
        filled("a\n@@address@@")


def test_sizes_are_bounded() -> None:
    with pytest.raises(UsageError, match=r"^mine\.cfg: longer than 262144 characters$"):
        Template.parse("mine.cfg", "x" * (TEXT_AT_MOST + 1))
    deep = "@@if tls@@" * (DEPTH_AT_MOST + 1) + "@@end@@" * (DEPTH_AT_MOST + 1)
    with pytest.raises(UsageError, match="more than 16 blocks in one another"):
        Template.parse("mine.cfg", deep)
    many: dict[str, list[dict[str, str]]] = {"backend": [{}] * (FILLED_AT_MOST // TEXT_AT_MOST + 1)}
    long = "@@each backend@@" + "x" * (TEXT_AT_MOST - 23) + "@@end@@"
    with pytest.raises(UsageError, match="longer than 4194304 characters when it is filled in"):
        Template.parse("mine.cfg", long).filled(many)


def test_names_are_told_with_the_line_where_they_stand_first() -> None:
    template = Template.parse("x", "a\n@@front@@\n@@each backend@@@@name@@@@end@@\n@@front@@@@if tls@@@@end@@")
    assert template.used == {"front": 2, "backend": 3, "name": 3, "tls": 4}


#: What configurations are full of, and what markers are made of.
PIECES = st.sampled_from(
    ["@", "@@", "@@@", "\n", " ", "{", "}", "{{", "%", "$", "#", "end", "front", "\r\n", "\\", "ü"]
)


@given(st.lists(PIECES, max_size=30).map("".join))
@some_examples
def test_a_text_that_is_made_a_template_is_filled_in_to_itself(text: str) -> None:
    assert Template.parse("x", literal(text)).filled({}) == text


@given(
    st.lists(PIECES | st.sampled_from(["@@front@@", "@@each backend@@", "@@end@@", "@@if tls@@"]), max_size=30).map(
        "".join
    )
)
@some_examples
def test_whatever_comes_is_a_template_or_a_line_that_says_why_not(text: str) -> None:
    try:
        filled(text)
    except UsageError as error:
        found = re.match(r"mine\.cfg:(\d+): ", str(error))
        assert found is not None
        assert 1 <= int(found[1]) <= text.count("\n") + 1


@given(st.text(max_size=40), st.text(st.characters(exclude_characters="@"), max_size=40))
@some_examples
def test_values_are_put_in_as_they_are_and_never_read(value: str, around: str) -> None:
    text = f"{around}@@x@@{around}."
    assert Template.parse("x", text).filled({"x": value}) == f"{around}{value}{around}."

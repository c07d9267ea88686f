"""Text in Markdown, as another program reads it: whatever it says, it is text."""

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from proxyreload.system.markdowntext import block_of, link_of, table_of, text_of
from proxyreload.system.untrusted import printable

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: What means something somewhere, more often than chance would have it.
TEXT = st.text(st.one_of(st.sampled_from("\\`*_[]()|~<>&#+-=:.!1 \n\t\"'@$/x"), st.characters()), max_size=30)
WHOLE = 10_000
HOSTILE = (
    "<script>alert(1)</script>",
    "![x](https://example.test/x.png)",
    "[x]: https://example.test/",
    "# x",
    "1. x",
    "12) x",
    "- x",
    "+ x",
    "> x",
    "===",
    "---",
    "```",
    "~~~",
    "~~x~~",
    "a | b \\| c \\",
    "\\",
    "\\\\|",
    "&lt;b&gt; &#124;",
    "<https://example.test/>",
    "    code",
    "| a |\n| - |",
    "*a* _b_ `c`",
    ": x",
    "\x1b[31m\n# x",
)


def shown(text: str) -> str:
    """Return what is to be shown of a text."""
    return printable(text, WHOLE).strip()


def plain(inline: Token) -> str:
    """Return what is shown of a paragraph or cell, which must have nothing in it but text."""
    kinds = {child.type for child in inline.children or ()}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(child.content for child in inline.children or ())


def read(text: str) -> list[Token]:
    return READER.parse(text)


Test = TypeVar("Test", bound=Callable[..., None])


def all_examples(test: Test) -> Test:
    for each in HOSTILE:
        test = example(each)(test)
    return test


@all_examples
@given(TEXT)
def test_a_paragraph_is_shown_as_it_was(text: str) -> None:
    tokens = read(text_of(text, WHOLE))
    if not shown(text):
        assert tokens == []
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert plain(tokens[1]) == shown(text)


@all_examples
@given(TEXT)
def test_an_item_of_a_list_is_shown_as_it_was(text: str) -> None:
    tokens = read(f"- it: {text_of(text, WHOLE)}\n- {text_of(text, WHOLE)}")
    inlines = [plain(token) for token in tokens if token.type == "inline"]
    assert inlines == [f"it: {shown(text)}".strip(), *([shown(text)] if shown(text) else [])]
    assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} <= {
        *("bullet_list", "list_item", "paragraph", "inline")
    }


@all_examples
@given(TEXT)
def test_a_table_has_its_cells_and_no_others_each_as_it_was(text: str) -> None:
    tokens = read("\n".join(table_of(("a", text), (False, True), ((text, "x"), ("y", text)))))
    assert [plain(token) for token in tokens if token.type == "inline"] == [
        "a",
        cell(text),
        cell(text),
        "x",
        "y",
        cell(text),
    ]
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    assert sum(token.type == "tr_open" for token in tokens) == 3


def cell(text: str) -> str:
    """Return what is shown of a text in a cell: bounded."""
    return printable(text).strip()


@given(TEXT, st.sampled_from(["", "sh"]))
@example("```", "sh")
@example("x ```` y", "")
def test_a_block_is_code_to_its_end(text: str, language: str) -> None:
    (token,) = read("\n".join(block_of(text, WHOLE, language)))
    assert (token.type, token.info) == ("fence", language)
    assert token.content == f"{printable(text, WHOLE)}\n"


@all_examples
@given(TEXT)
def test_a_link_is_one_whatever_is_in_it(text: str) -> None:
    (_begin, inline, _end) = read(link_of(f"x{text}", f"https://example.test/{text}"))
    first, *middle, last = inline.children or []
    assert (first.type, last.type) == ("link_open", "link_close")
    assert str(first.attrs["href"]).startswith("https://example.test/")
    assert "".join(child.content for child in middle) == cell(f"x{text}")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "x", "", "file:///etc/passwd"])
def test_what_is_no_address_of_a_page_is_no_link(url: str) -> None:
    assert link_of("words", url) == "words"


def test_what_github_makes_a_link_by_itself_is_none() -> None:
    assert text_of("http://example.test www.example.test") == "http\\://example.test www\\.example.test"


def test_a_text_is_bounded() -> None:
    assert len(text_of("x" * 100_000)) < 300
    assert len(re.sub(r"\\", "", text_of("*" * 100_000, 50))) == 51


def test_a_cell_is_bounded_as_it_is_asked_for() -> None:
    long = "x" * 1000
    shown = [table_of(("a",), (False,), ((long,),), *limit)[-1].count("x") for limit in ((), (500,), (WHOLE,))]
    assert shown[0] < shown[1] < shown[2] == 1000

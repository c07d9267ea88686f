"""In which line of a TOML document something stands."""

import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.plan.scenario import parse
from proxyreload.plan.statement import Keys, deep_key, line_of, statements

from .clocks import some_examples

_LINES = (
    *("[[step]]", "[[step]] # [[", "[step.sub]", "[[step.sub]]", "[a]", "[a.b]", "[[a.c]]", "['a.b']", "  [ d . e ]"),
    *("add = 2", "at = '50 %'", "x.y = 1", 'x."y z".w = 1.5', "x = {y = 1, z = [1, {w = 2}]}", "step = [{add = 2}]"),
    *("title = 'a # b [ c'", 'title = "a\\" # b [\\\\"', "# 'not closed [", "", "   ", "\t", "u = 1979-05-27"),
    *(
        't = """a',
        'b""c\\"""',
        '"""',
        'd"""""',
        "v = '''a",
        "b''c''''",
        "'''",
        "w = [",
        "1, # ]",
        "'[', 2,",
        "]",
        "{q = 1}, ]",
    ),
    *("title = '\u2028'", "z = 1\r", "r = '\x85'"),
)
PATHS: tuple[Keys, ...] = (
    *(
        ("step",),
        ("step", 0),
        ("step", 1),
        ("step", 1, "add"),
        ("step", 0, "sub"),
        ("step", 0, "sub", 1),
        ("a",),
        ("a", "b"),
    ),
    *(
        ("a", "c", 0),
        ("a.b",),
        ("d", "e"),
        ("x",),
        ("x", "y"),
        ("x", "z", 1, "w"),
        ("t",),
        ("v",),
        ("w",),
        ("w", 3),
        ("z",),
    ),
    *(("step", 1, "x", "y z", "w"), ("title",), ("add",), ("nowhere",), ("step", 2, "at")),
)


def by_prefixes(text: str, path: Keys) -> int:
    """Return the line with which the text up to there has the value: what is meant, at the cost of many parses."""
    lines = text.split("\n")
    for number in range(1, len(lines) + 1):
        try:
            value: Any = tomllib.loads("\n".join(lines[:number]) + "\n")
            for key in path:
                value = value[key]
        except (tomllib.TOMLDecodeError, KeyError, IndexError, TypeError):
            continue
        return number
    return max(1, len(lines) - (not lines[-1]))


@some_examples
@given(st.lists(st.sampled_from(_LINES), max_size=10), st.sampled_from(PATHS))
@example(["[[step]]", "add = 2", "[[step]]", "[step.sub]", "y = 1"], ("step", 1, "sub"))
@example(["w = [", "1, # ]", "'[', 2,", "]"], ("w", 2))
@example(['t = """a', 'b""c\\"""', '"""', "x.y = 1"], ("x", "y"))
def test_a_value_stands_in_the_line_that_brings_it_in(lines: list[str], path: Keys) -> None:
    kept: list[str] = []  # as many of these lines as make a document
    for line in lines:
        kept.append(line)
        try:
            tomllib.loads("\n".join(kept))
        except tomllib.TOMLDecodeError as error:
            if "Unclosed" not in str(error) and "Unterminated" not in str(error) and "at end" not in str(error):
                kept.pop()
    text = "\n".join(kept)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert line_of(text, path) == by_prefixes(text, path)


def test_a_document_is_the_sum_of_its_statements() -> None:
    text = 'a = """\n[b]\n"""\nb = [\n1, # ]\n]\n\n[c]\n'
    assert [(each.text, each.line) for each in statements(text)] == [
        *(('a = """\n[b]\n"""\n', 3), ("b = [\n1, # ]\n]\n", 6), ("\n", 7), ("[c]\n", 8), ("", 9)),
    ]


@some_examples
@given(st.text(alphabet="ab.\"'\\\n[]{}#= ,\t1\r", max_size=80))
def test_any_text_is_split_and_nothing_is_lost(text: str) -> None:
    assert "".join(each.text for each in statements(text)) == text
    deep_key(text, 2)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\n" + "a." * 15 + "a = 1", 0),
        ("a = 1\n" + "a." * 16 + "a = 1", 2),
        ("\n\n[" + "'a' . " * 20 + "a]", 3),
        ("title = '" + "a." * 20 + "'", 0),
        ("# " + "a." * 20, 0),
        ("'" + "." * 40 + "' = 1", 0),
        ('x = """\n' + "a." * 20 + '\n"""', 0),
    ],
)
def test_a_key_of_too_many_parts_is_found(text: str, line: int) -> None:
    assert deep_key(text, 16) == line


#: Texts as long as a scenario may be, on which something took longer the longer it had gone on.
LONG = (
    *("[[step]]\nadd = 2\n" * 3600 + "[[step]]\nadd = 2\nremove = 0", "[[step]]\npause = 0\n" * 3400 + "x = 1"),
    *("[[step]]\npause = 0\n" * 3400 + "title = '", "a." * 20_000 + "a = 1", "[" + "a . " * 16_000 + "a]"),
    *(
        "title = " + '"\\"' * 20_000,
        '"' * 60_000,
        "'" * 60_001,
        "\\" * 60_000,
        "a" * 60_000,
        "a = [\n" + "1,\n" * 20_000 + "]",
    ),
    *(
        "step = [" + "{pause=0}," * 6000 + "{x=1}]",
        "backends = " + "[" * 60_000,
        "title = {a=" * 5000,
        '"""' * 20_000 + '"',
    ),
    *("\n" * 60_000 + "x = 1", "#\n" * 30_000 + "x = 1", "a.b.c.d = 1\n" * 5000, "[a.b.c]\n" * 7000, " . " * 20_000),
)


@pytest.mark.parametrize("text", LONG)
def test_a_long_text_is_parsed_no_more_than_a_few_times_over(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def loads(part: str) -> dict[str, Any]:
        parsed.append(len(part))
        return tomllib_loads(part)

    tomllib_loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", loads)
    with pytest.raises(UsageError) as raised:
        parse(text, "my.toml")
    assert str(raised.value).startswith("my.toml:")
    assert len(str(raised.value)) < 400
    assert sum(parsed) <= 3 * len(text)


def test_what_is_wrong_with_a_long_scenario_is_told_in_the_words_for_a_short_one() -> None:
    text = "[[step]]\npause = 0\n" * 3500 + "[[step]]\nadd = 1\n"
    with pytest.raises(UsageError) as raised:
        parse(text, "my.toml")
    assert str(raised.value) == "my.toml:7002: backend 1 is behind the proxy already"

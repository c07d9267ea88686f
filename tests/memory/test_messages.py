"""Protobuf messages that are described in place, byte for byte as the encoding's documentation has them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.system.messages import BYTES, FIXED32, INT32, STRING, UINT32, described

CLASSES = described(
    {
        "Test1": (("a", 1, INT32),),
        "Test2": (("b", 2, STRING),),
        "Test3": (("c", 3, "Test1"),),
        "Many": (("each", 4, ["Test1"]), ("words", 5, [STRING])),
        "Rest": (("bytes", 1, BYTES), ("fixed", 2, FIXED32), ("whole", 3, UINT32)),
    }
)


@pytest.mark.parametrize(
    ("name", "fields", "encoded"),
    [
        # https://protobuf.dev/programming-guides/encoding/
        ("Test1", {"a": 150}, "08 96 01"),
        ("Test2", {"b": "testing"}, "12 07 74 65 73 74 69 6e 67"),
        ("Test3", {"c": {"a": 150}}, "1a 03 08 96 01"),
        ("Many", {"each": [{"a": 1}, {"a": 2}], "words": ["x"]}, "22 02 08 01 22 02 08 02 2a 01 78"),
        ("Rest", {"bytes": b"\xff", "fixed": 1, "whole": 2**32 - 1}, "0a 01 ff 15 01 00 00 00 18 ff ff ff ff 0f"),
    ],
)
def test_a_message_is_written_as_documented(name: str, fields: dict[str, Any], encoded: str) -> None:
    message = CLASSES[name](**fields)
    assert message.SerializeToString() == bytes.fromhex(encoded)
    assert CLASSES[name].FromString(bytes.fromhex(encoded)) == message


def test_fields_that_are_not_described_are_skipped() -> None:
    more = bytes.fromhex("1a 03 08 96 01 08 96 01")  # field 3, and then field 1
    assert CLASSES["Test1"].FromString(more).a == 150


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.lists(st.text()))
def test_what_is_written_is_read(numbers: list[int], words: list[str]) -> None:
    message = CLASSES["Many"](each=[{"a": number} for number in numbers], words=words)
    read = CLASSES["Many"].FromString(message.SerializeToString())
    assert ([each.a for each in read.each], list(read.words)) == (numbers, words)

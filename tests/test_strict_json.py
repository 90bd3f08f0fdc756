"""Strict JSON: what parsers disagree on is refused, within bounds, and the rest is what the standard library reads."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strict_json import MAX_DEPTH, NotJson, NotStrict, TooLarge, Unstorable, loads

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str | bytes, max_structure: int = 10_000) -> Any:
    return loads(text if isinstance(text, bytes) else text.encode(), max_structure=max_structure)


@given(PLAIN, st.sampled_from([None, 2]), st.booleans())
def test_what_is_written_is_read(value: Any, indent: int | None, ascii_only: bool) -> None:
    assert read(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(st.binary() | st.text(alphabet='{}[]":,\\u01 \n').map(str.encode))
def test_bytes_are_a_value_or_refused(raw: bytes) -> None:
    with suppress(NotStrict):
        assert read(raw) == json.loads(raw)


@pytest.mark.parametrize(
    ("text", "line", "column", "at_end"),
    [
        ("", 1, 1, True),
        ('{"a": 1', 1, 8, True),
        ('{\n  "a": [1,\n  2', 3, 4, True),
        ('["abc', 1, 6, True),
        ("hello", 1, 1, False),
        ('{"ä": x}', 1, 7, False),
        ('{"a": 1}\n{"b": 2}', 2, 1, False),
        ("[1,]", 1, 3, False),
        ("{'a': 1}", 1, 2, False),
        ("NaN", 1, 1, False),
        ('["\x00"]', 1, 3, False),
        ("\ufeff{}", 1, 1, False),
        ("[" * 5_000, 1, 1_026, False),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text: str, line: int, column: int, at_end: bool) -> None:
    with pytest.raises(NotJson, match=f"^is not JSON: .*, at line {line}, column {column}$") as caught:
        read(text)
    assert (caught.value.line, caught.value.column, caught.value.at_end) == (line, column, at_end)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"a": 1, "a": 1}', '"a"'),
        ('[{"x": {"a": [], "b": 2, "a": {}}}]', '"a"'),
        (r'{"a": 1, "\u0061": 2}', '"a"'),
        ('{"": 1, "b": {"c": 1}, "": 2}', '""'),
        (f'{{"x": "{"y" * 4_200_000}", "a": 1, "a": 2}}', "of one name"),
        (f'{{"{"n" * 90}": 1, "{"n" * 90}": 2}}', f'"{"n" * 40}"'),
    ],
)
def test_two_members_of_one_name_are_refused(text: str, name: str) -> None:
    with pytest.raises(NotStrict, match=f"^has two members {name} in one object$"):
        read(text)


@pytest.mark.parametrize("text", ['{"a": {"a": 1}, "b": {"a": 2}}', r'{"a:": ":", "\"a": "\\", "b": "\\\":"}'])
def test_colons_and_quotes_in_strings_are_no_members(text: str) -> None:
    assert read(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "column"), [(r'["\ud800"]', 3), (r'["x", "\udc00"]', 8), (r'["\u0000"]', 3), (r'{"\\\u0000": 1}', 3)]
)
def test_strings_that_cannot_be_stored_are_refused(text: str, column: int) -> None:
    with pytest.raises(Unstorable) as caught:
        read("\n" + text)
    assert caught.value.line == 2
    assert abs((caught.value.column or 0) - column) <= 1


def test_a_backslash_before_u0000_is_no_escape() -> None:
    assert read(r'["\\u0000", "\ud83d\ude00"]') == ["\\u0000", "\U0001f600"]


def test_nesting_has_a_bound() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for text in ("[" * 101 + "]" * 101, '{"a":' * 200 + "1" + "}" * 200):
        with pytest.raises(NotStrict, match=f"^nests deeper than {MAX_DEPTH} levels$"):
            read(text)


def test_structure_has_a_bound_but_strings_and_blanks_do_not_count() -> None:
    assert read(json.dumps(["x" * 1_000_000, "\\" * 1_000, '"' * 1_000]) + " " * 1_000, max_structure=4)
    for text in ("[1,2]", '["a","b","c"]', '"' * 1_000, '["a"' + ',"b"' * 1_000):
        with pytest.raises(TooLarge, match="is larger than 3 bytes"):
            read(text, max_structure=3)


@pytest.mark.parametrize(
    "raw", [b'"' * 20_000_000, b'["' + b"\\" * 20_000_001 + b'"]', b"[" * 20_000_000, b"\xff" * 10**7]
)
def test_large_nonsense_is_refused_quickly(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(NotStrict):
        read(raw, max_structure=1_000_000)
    assert time.process_time() - began < 5  # by the square of the length it would be hours

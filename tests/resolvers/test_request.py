"""The JSON of a request: what is outside of its strings is measured in pieces, and bounded before it is parsed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strict_json
from errors import BadUserInput
from resolvers import request
from resolvers.refusals import BodyTooLarge
from resolvers.request import _KNOWN, _MOST_KNOWN, _SMALL, is_large, of_body, of_large_body

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\/\né🏃', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a"\\:,{', max_size=4), inner),
    max_leaves=20,
)


@given(value=values, ascii_only=st.booleans(), piece=st.integers(min_value=1, max_value=40))
def test_what_is_outside_of_strings_is_found_wherever_the_pieces_end(
    value: object, ascii_only: bool, piece: int
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_PIECE", piece)
        assert request._structure(bytearray(raw), "The body") == _STRING.sub(b"", raw)


@pytest.mark.parametrize("padding", [1, 2_000_000])
@pytest.mark.parametrize(
    "body",
    [
        b'["%b"]',
        b'{"query": "%b',
        b'{"query": "%b", "query": ""}',
        b'{"query": "%b", "variables": {"a": 1, "\\u0061": 2}}',
        b'{"query": "%b\\ud800"}',
    ],
)
async def test_a_large_body_is_judged_as_a_small_one_and_let_go(body: bytes, padding: int) -> None:
    raw = bytearray(body % (b"x" * padding))
    with pytest.raises(BadUserInput):
        await of_large_body(raw) if is_large(raw) else of_body(raw)
    assert raw == b""


@pytest.mark.parametrize("unit", [b"{},", b"[],", b"1,", b'"",', b'"",{"":""},'])
def test_more_values_than_are_taken_are_refused_unparsed(unit: bytes) -> None:
    def body(count: int) -> bytearray:
        return bytearray(b'{"query": "", "variables": {"a": [%b0]}}' % (unit * count))

    assert len(of_body(body(12_000)).variables["a"]) > 12_000
    with pytest.raises(BodyTooLarge, match="more than 50000 values"):
        of_body(body(60_000))


def test_quotes_without_end_are_not_counted_to_the_end() -> None:
    with pytest.raises(BodyTooLarge, match="more than 50000 values"):
        of_body(bytearray(b'"' * 1_000_000))


def test_variables_nest_as_deep_as_json_is_read() -> None:
    def body(lists: int) -> bytearray:
        return bytearray(b'{"query": "", "variables": {"a": %b%b}}' % (b"[" * lists, b"]" * lists))

    assert of_body(body(1_022)).variables
    for deeper in (1_023, 100_000):
        with pytest.raises(BadUserInput, match=r"depth limit|values"):
            of_body(body(deeper))


def test_a_document_without_variables_is_read_once_and_values_are_not_kept() -> None:
    plain, given = (
        b'{"query": "{ a }", "extensions": {"cost": true}}',
        b'{"query": "{ a }", "variables": {"secret": "s"}}',
    )
    assert of_body(bytearray(plain)) is of_body(bytearray(plain))
    assert of_body(bytearray(given)) is not of_body(bytearray(given))
    assert of_body(bytearray(given)).variables == {"secret": "s"}
    for number in range(2 * _MOST_KNOWN):
        of_body(bytearray(b'{"query": "{ a%d }"}' % number))
    assert len(_KNOWN) == _MOST_KNOWN
    assert not [body for body in _KNOWN if b"secret" in body]
    for extensions in (b'{"x": 1}', b'{"persistedQuery": {"version": 1, "sha256Hash": "a", "x": [{}]}}'):
        unusual = b'{"query": "{ a }", "extensions": %b}' % extensions
        assert of_body(bytearray(unusual)) is not of_body(bytearray(unusual))
    large = b'{"query": "{ a }", "operationName": "%b"}' % (b"a" * _SMALL)
    assert of_body(bytearray(large)) is not of_body(bytearray(large))

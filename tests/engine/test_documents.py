"""What is remembered of documents, what validation says, and what it keeps to itself."""

import gc
import hashlib
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Limits, Reason, Refused
from engine.documents import Document, Documents
from tests.resolvers.graphql_app import schema


def documents(*, introspection: bool = True, **limits: int) -> Documents:
    return Documents(schema, Limits(**limits), introspection=introspection)


def test_a_document_is_checked_once() -> None:
    known = documents()
    first = known.get("{ hello }")
    assert isinstance(first, Document)
    assert known.get("{ hello }") is first
    assert known.get("{ hello  }") is not first


def size_of(text: str) -> int:
    known = documents()
    known.get(text)
    return known._remembered.size


def test_the_least_recently_used_document_is_forgotten_first() -> None:
    known = documents(remembered_bytes=sum(map(size_of, ("{ hello }", "{ missing }", "{ chained }"))))
    hello, missing = known.get("{ hello }"), known.get("{ missing }")
    known.get("{ crash }")
    assert known.get("{ hello }") is hello
    known.get("{ chained }")
    assert known.get("{ hello }") is hello
    assert known.get("{ missing }") is not missing


def test_a_document_larger_than_the_memory_runs_and_is_not_kept() -> None:
    known = documents(remembered_bytes=size_of("{ person { name } }") - 1)
    first = known.get("{ person { name } }")
    assert isinstance(first, Document)
    assert known.get("{ person { name } }") is not first
    assert known._remembered.size == 0


@pytest.mark.parametrize("padding", ["#\U0001f600" + "a" * 49_000, "#\n" * 2_900, "#" + "a" * 49_000])
def test_padded_documents_do_not_fill_the_memory(padding: str) -> None:
    """Three tokens each and 50 kB, or 200 kB as Python keeps them: the source lives as long as the nodes."""
    limit = 4 * 1024 * 1024
    known = documents(remembered_bytes=limit)
    largest = 0
    for number in range(120):
        assert isinstance(known.get(f"{{ hello }} #{number}\n{padding}"), Document)
        largest = max(largest, known._remembered.size)
    assert largest <= limit
    kept = known._remembered._kept.values()
    assert known._remembered.size == sum(size for _document, size in kept)
    sources = [document.ast.loc.source.body for document, _size in kept if document.ast.loc]
    assert 0 < len(sources) < 120
    assert sum(map(sys.getsizeof, sources)) <= limit


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{ hello }", id="short"),
        pytest.param("{ person { " + " ".join(f"a{n}: name" for n in range(500)) + " } }", id="fields"),
        pytest.param("{ " + "... { hello } " * 100 + "}", id="inline fragments"),
        pytest.param('{ hello(name: "' + "\U0001f600" * 20_000 + '") }', id="a string"),
        pytest.param('{ hello(name: """' + "\U0001f600\n" * 4_000 + '""") }', id="a block string"),
        pytest.param("{ hello } #" + "\U0001f600" * 20_000, id="a comment"),
        pytest.param("{ hello }" + "\n#" * 2_500, id="comments"),
    ],
)
def test_a_document_takes_no_more_memory_than_is_counted(text: str) -> None:
    known = documents(aliases=500)
    known.get(text)  # what the first use of a rule or type leaves behind is not the document's
    before = known._remembered.size
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(10):
            assert isinstance(known.get(text + " " * (number + 1)), Document)
        gc.collect()
        taken, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= known._remembered.size - before


@pytest.mark.parametrize("text", ["{ nothing }", "{", "{ " + "person { name } " * 700 + "}", '{ hello(name: "\0") }'])
def test_refusals_are_remembered_without_their_document(text: str) -> None:
    known = documents()
    first = known.get(text)
    assert isinstance(first, Refused)
    assert known.get(text) is first
    assert all(error.nodes is None and error.source is None for error in first.errors)
    assert known._remembered.size == 0


def test_a_remembered_refusal_tells_the_place() -> None:
    for text, place in (("{ hello\n nothing }", (2, 2)), ("{ hello", (1, 8))):
        refused = documents().get(text)
        assert isinstance(refused, Refused)
        assert refused.errors[0].locations == [place]


def test_refusals_have_a_memory_of_their_own_and_a_small_one() -> None:
    known = documents(remembered_refusal_bytes=10_000)
    hello = known.get("{ hello }")
    first = known.get("{ nothing }")
    for number in range(200):
        known.get(f"{{ nothing{number}{'x' * 1_000} }}")
        assert known._refusals.size <= 10_000
    assert known.get("{ hello }") is hello
    assert known.get("{ nothing }") is not first


def test_many_fragments_of_one_type_in_one_place_are_an_ordinary_document() -> None:
    spreads = " ".join(f"...Part{number}" for number in range(30))
    parts = " ".join(f"fragment Part{number} on Person {{ name friend {{ name }} }}" for number in range(30))
    assert isinstance(documents().get(f"{{ person {{ {spreads} }} }} {parts}"), Document)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.PARSE),
        ("{", Reason.PARSE),
        ("\0{ hello }", Reason.PARSE),
        ("{ nothing }", Reason.VALIDATION),
        ("fragment F on Query { hello }", Reason.VALIDATION),
        ("subscription { hello }", Reason.VALIDATION),
        ("{ hello } { hello }", Reason.VALIDATION),
        ("type A { b: Int }", Reason.VALIDATION),
        ("{ hello(name: $name) }", Reason.VALIDATION),
    ],
)
def test_the_reason_of_a_refusal(text: str, reason: Reason) -> None:
    refused = documents().get(text)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


def test_the_number_of_errors_is_bounded() -> None:
    refused = documents().get("{ " + " ".join(f"field{n}" for n in range(500)) + " }")
    assert isinstance(refused, Refused)
    assert len(refused.errors) <= 6


def test_without_introspection_the_schema_stays_unknown() -> None:
    known = documents(introspection=False)
    for text in ("{ __schema { types { name } } }", '{ __type(name: "Query") { name } }'):
        refused = known.get(text)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.VALIDATION
    typo = known.get("{ helo }")
    assert isinstance(typo, Refused)
    assert "hello" not in typo.errors[0].message
    assert isinstance(known.get("{ __typename }"), Document)


def test_with_introspection_a_typo_gets_a_suggestion() -> None:
    typo = documents().get("{ helo }")
    assert isinstance(typo, Refused)
    assert "hello" in typo.errors[0].message


@pytest.mark.parametrize("literal", ['"a\0b"', '"a\\u0000b"', '"\\u{0}"', '"""a\0b"""'])
@pytest.mark.parametrize("place", ["note(input: {{text: {0}}})", 'note(input: {{text: "", tags: ["a", {0}]}})'])
def test_literals_with_nul_are_faults_with_their_path(literal: str, place: str) -> None:
    refused = documents().get(f"{{ {place.format(literal)} }}")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT
    assert [fault.path for fault in refused.faults] == ["input.tags" if "tags" in place else "input.text"]


@pytest.mark.parametrize("literal", ['"\\ud800"', '"\\uDFFF"', '"\\ud83dx"', '"\\u{d800}"', '"\ud800"'])
def test_literals_with_a_lone_surrogate_are_faults(literal: str) -> None:
    refused = documents().get(f"{{ hello(name: {literal}) }}")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT


@pytest.mark.parametrize("literal", ['"\\ud83d\\ude00"', '"😀"', '"\\u0001"', '"\\\\u0000"', '"tab\t"'])
def test_other_characters_are_nobodys_fault(literal: str) -> None:
    assert isinstance(documents().get(f"{{ hello(name: {literal}) }}"), Document)


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def reason_of(found: Document | Refused) -> Reason | None:
    return found.reason if isinstance(found, Refused) else None


HELLO = '{ hello(name: "Grüße") }'


def test_a_hash_finds_what_was_registered_under_it() -> None:
    known = documents()
    assert reason_of(known.get(None, hash_of(HELLO))) is Reason.UNKNOWN_DOCUMENT
    registered = known.get(HELLO, hash_of(HELLO))
    assert isinstance(registered, Document)
    assert known.get(None, hash_of(HELLO)) is registered
    assert known.get(HELLO) is registered


def test_what_was_sent_without_its_hash_is_not_found_by_it() -> None:
    """Who guesses at a text that others sent, with a code in it, learns nothing by its hash."""
    known = documents()
    known.get(HELLO)
    assert reason_of(known.get(None, hash_of(HELLO))) is Reason.UNKNOWN_DOCUMENT
    known.get(HELLO, hash_of(HELLO))
    assert isinstance(known.get(None, hash_of(HELLO)), Document)


@pytest.mark.parametrize("text", ["{", "{ nothing }", '{ hello(name: "\0") }', "{ person { name } " * 700 + "}"])
def test_what_may_not_run_is_never_registered(text: str) -> None:
    known = documents()
    assert reason_of(known.get(text, hash_of(text))) not in (None, Reason.UNKNOWN_DOCUMENT)
    assert reason_of(known.get(None, hash_of(text))) is Reason.UNKNOWN_DOCUMENT


@pytest.mark.parametrize(
    "sha256",
    ["", "0" * 64, hash_of("{ person { name } }"), hash_of(HELLO).upper(), hash_of(HELLO)[:-1], f" {hash_of(HELLO)}"],
)
def test_a_hash_that_is_not_that_of_the_text_registers_nothing(sha256: str) -> None:
    known = documents()
    refused = known.get(HELLO, sha256)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT
    assert "provided sha does not match query" in refused.errors[0].message
    assert known._remembered.size == 0
    known.get(HELLO, hash_of(HELLO))
    assert reason_of(known.get(None, sha256)) is Reason.UNKNOWN_DOCUMENT


@given(sha256=st.text() | st.text(alphabet="0123456789abcdefABCDEF \n", min_size=60, max_size=66))
def test_any_other_hash_is_unknown(sha256: str) -> None:
    known = documents()
    known.get(HELLO, hash_of(HELLO))
    assert reason_of(known.get(None, sha256)) is Reason.UNKNOWN_DOCUMENT


def test_registering_takes_no_memory_and_ends_with_it() -> None:
    known = documents(remembered_bytes=2 * size_of(HELLO))
    known.get(HELLO, hash_of(HELLO))
    assert known._remembered.size == size_of(HELLO)
    for name in ("a", "b"):
        known.get(None, hash_of(HELLO))
        known.get(f'{{ hello(name: "{name}") }}')
        assert isinstance(known.get(None, hash_of(HELLO)), Document)
    for name in ("c", "d"):
        known.get(f'{{ hello(name: "{name}") }}')
    assert reason_of(known.get(None, hash_of(HELLO))) is Reason.UNKNOWN_DOCUMENT

"""What is remembered of documents, what validation says, and what it keeps to itself."""

import pytest

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


def test_the_least_recently_used_document_is_forgotten_first() -> None:
    known = documents(remembered_tokens=9)
    hello, missing = known.get("{ hello }"), known.get("{ missing }")
    known.get("{ crash }")
    assert known.get("{ hello }") is hello
    known.get("{ chained }")
    assert known.get("{ hello }") is hello
    assert known.get("{ missing }") is not missing


def test_a_document_larger_than_the_memory_runs_and_is_not_kept() -> None:
    known = documents(remembered_tokens=3)
    first = known.get("{ person { name } }")
    assert isinstance(first, Document)
    assert known.get("{ person { name } }") is not first


def test_refused_documents_are_not_kept() -> None:
    known = documents()
    assert known.get("{ nothing }") is not known.get("{ nothing }")


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

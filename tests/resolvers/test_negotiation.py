"""Accept and Content-Type, read as RFC 9110 has them and never by substring."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers import negotiation
from resolvers.negotiation import GRAPHQL_JSON, HTML, JSON, MAX_HEADER, is_json, media_types, preferred

OFFERS = (JSON, GRAPHQL_JSON, HTML)
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        (" ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL_JSON),
        ("APPLICATION/GraphQL-Response+JSON", GRAPHQL_JSON),
        ("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", GRAPHQL_JSON),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL_JSON),
        ("application/json;q=0.9, application/graphql-response+json", GRAPHQL_JSON),
        ("application/json, application/graphql-response+json", JSON),
        ("application/json;q=0.5, application/graphql-response+json;q=0.6", GRAPHQL_JSON),
        ("application/graphql-response+json;q=0.1, */*;q=0.05", GRAPHQL_JSON),
        ("application/json;q=0, */*", GRAPHQL_JSON),
        ("application/json;q=0, application/*", GRAPHQL_JSON),
        ("*/*;q=0.1, application/*;q=0.2, text/html;q=0.3", HTML),
        ('application/json;profile="a, application/graphql-response+json"', JSON),
        ("multipart/mixed;deferSpec=20220824, application/json", JSON),
        ("text/event-stream, application/json;q=0.1", JSON),
        ("application/json;q=nonsense, text/html;q=0.1", HTML),
        ("application/json;q=7, text/html;q=0.1", HTML),
        ("*; q=.2", JSON),
        (",,application/json,,", JSON),
        (CHROME, HTML),
        ("text/*", HTML),
        ("text/html;q=0.1, application/json", JSON),
        ("application/json;charset=iso-8859-1, text/html", HTML),
        ('application/json;charset="UTF-8"', JSON),
        ("application/xml", None),
        ("application/jsonp", None),
        ("text/application/json", None),
        ("application/json+x", None),
        ("image/*", None),
        ("*/*;q=0", None),
        ("application/json;charset=utf-16", None),
        ("application/json;q=nan", None),
        ('"application/json"', None),
    ],
)
def test_what_is_chosen(accept: str, chosen: str | None) -> None:
    assert preferred(accept, OFFERS) == chosen


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_is_json(content_type: str) -> None:
    assert is_json([content_type])


@pytest.mark.parametrize(
    "content_type",
    [
        [],
        [""],
        ["text/plain"],
        ["text/plain; application/json"],
        ["text/plain, application/json"],
        ["application/json, text/plain"],
        ["application/json", "application/json"],
        ["application/json-patch"],
        ["application/jsonlines"],
        ["x-application/json"],
        ["application/graphql"],
        ["application/json; charset=utf-16"],
        ["application/json; charset=latin1"],
        ["multipart/form-data; boundary=application/json"],
        ["application/x-www-form-urlencoded"],
    ],
)
def test_anything_else_is_not(content_type: list[str]) -> None:
    assert not is_json(content_type)


@given(st.text(alphabet='application/json;q=0.1,*"\\ \t-+', max_size=200) | st.text(max_size=100))
def test_no_header_breaks_the_reading(header: str) -> None:
    assert preferred(header, OFFERS) in (*OFFERS, None)
    is_json([header])


HOSTILE = ('"', '"\\', '\\"', '"a,', '"\\,', ';a="', ';a="\\', ";a", "; ", ";=", ",", '","', "a;q=", "\\", '\n"')


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("start", ["", "a", '"', 'a;b="', ","])
def test_a_hostile_header_is_read_to_its_end_once(unit: str, start: str) -> None:
    """Elements are cut at commas only, so that together they are the header; a megabyte shows what is not linear."""
    header = (start + unit * 10**6)[: 10**6]
    elements = negotiation._ELEMENT.findall(header)
    assert sum(map(len, elements)) >= len(header) - header.count(",")
    for element in elements[:10]:
        negotiation._PARAMETER.findall(element)


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_longest_hostile_header_is_read(unit: str) -> None:
    header = (unit * MAX_HEADER)[:MAX_HEADER]
    assert len(media_types(header)) <= MAX_HEADER
    assert preferred(header, OFFERS) is None
    assert not is_json([header])


def test_longer_headers_are_not_read_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiation, "_ELEMENT", None)
    monkeypatch.setattr(negotiation, "_PARAMETER", None)
    assert preferred('"\\' * 30_000, OFFERS) is None
    assert preferred("application/json," * 200, OFFERS) is None
    assert not is_json(["application/json;" + " " * MAX_HEADER])
    assert not is_json(["application/json"] * 200)


@pytest.mark.parametrize("header", ['application/json;a="', 'application/json;a="b', 'application/json;a="\n\\\n'])
def test_a_quote_that_nothing_ends_reaches_to_the_end(header: str) -> None:
    assert [media.name for media in media_types(f"{header}, text/html")] == [JSON]

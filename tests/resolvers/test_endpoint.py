"""GraphQL over HTTP through the real endpoint: what is answered, with which status, type and headers."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import errors
from resolvers.graphiql import graphiql_page
from resolvers.incoming import Incoming
from tests.resolvers.graphql_app import Probe, client_of, make_app

GRAPHQL_JSON = "application/graphql-response+json"
JSON = "application/json"
HTML = "<!doctype html><title>GraphiQL</title>"
MAX_BODY = 25 * 1024 * 1024


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def client(probe: Probe) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_app(probe, graphiql_html=HTML)) as client:
        yield client


async def post(client: httpx.AsyncClient, query: str, accept: str = GRAPHQL_JSON, **members: Any) -> httpx.Response:
    return await client.post("/graphql", json={"query": query, **members}, headers={"Accept": accept})


async def post_raw(client: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/graphql", content=body, headers={"Content-Type": JSON, **named})


def code_of(response: httpx.Response) -> str:
    """The code of a request error: there is no `data`, and an error says what to do."""
    body = response.json()
    assert set(body) == {"errors"}
    assert body["errors"][0]["message"]
    code = body["errors"][0]["extensions"]["code"]
    assert isinstance(code, str)
    return code


# --- Media types and statuses


@pytest.mark.parametrize(
    ("accept", "served"),
    [
        (None, JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{JSON};q=0.5, {GRAPHQL_JSON}", GRAPHQL_JSON),
    ],
)
async def test_the_answer_has_the_type_asked_for(client: httpx.AsyncClient, accept: str | None, served: str) -> None:
    request = client.build_request("POST", "/graphql", json={"query": "{ hello }"})
    del request.headers["Accept"]
    if accept:
        request.headers["Accept"] = accept
    response = await client.send(request)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == f"{served}; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Accept, Origin"
    assert response.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_runs_for_a_caller_who_cannot_read_the_answer(
    client: httpx.AsyncClient, probe: Probe, method: str
) -> None:
    response = await client.request(
        method,
        "/graphql",
        params={"query": "{ hello }"},
        json={"query": "mutation { touch }"},
        headers={"Accept": "image/png"},
    )
    assert response.status_code == 406
    assert code_of(response) == "BAD_USER_INPUT"
    assert probe.effects == 0


@pytest.mark.parametrize("unit", ['"\\', "application/json,"])
async def test_headers_that_are_too_long_are_refused(client: httpx.AsyncClient, probe: Probe, unit: str) -> None:
    long = (unit * 60_000)[:60_000]
    body = b'{"query": "mutation { touch }"}'
    accepting = await post_raw(client, body, Accept=long)
    assert accepting.status_code == 406
    assert "2048 characters" in accepting.json()["errors"][0]["message"]
    sending = await client.post("/graphql", content=body, headers={"Content-Type": long})
    assert sending.status_code == 415
    assert code_of(accepting) == code_of(sending) == "BAD_USER_INPUT"
    assert probe.effects == 0


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"query": "{ " + " ".join(f"a{n}: hello" for n in range(51)) + " }"}, "QUERY_TOO_COMPLEX"),
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query A { hello } query B { hello }"}, "BAD_USER_INPUT"),
        ({"query": "query A { hello }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "query($n: String!) { hello(name: $n) }"}, "BAD_USER_INPUT"),
        ({"query": "query($n: String!) { hello(name: $n) }", "variables": {"n": 1}}, "BAD_USER_INPUT"),
        ({"query": "query($n: String!) { hello(name: $n) }", "variables": {"n": "\0"}}, "BAD_USER_INPUT"),
        ({"query": "{ " + "person { mentor { name } } " * 400 + "}"}, "QUERY_TOO_COMPLEX"),
    ],
)
@pytest.mark.parametrize(("accept", "status"), [(GRAPHQL_JSON, 400), (JSON, 200)])
async def test_request_errors_have_no_data(
    client: httpx.AsyncClient, members: dict[str, Any], code: str, accept: str, status: int
) -> None:
    response = await post(client, accept=accept, **members)
    assert response.status_code == status
    assert code_of(response) == code


async def test_partial_data_is_a_success(client: httpx.AsyncClient) -> None:
    response = await post(client, "{ hello missing chained }")
    assert response.status_code == 200
    body = response.json()
    assert body["data"] == {"hello": "hello world", "missing": None, "chained": None}
    assert [(error["path"], error["extensions"]["code"]) for error in body["errors"]] == [
        (["chained"], "FORBIDDEN"),
        (["missing"], "NOT_FOUND"),
    ]
    assert body["errors"][0]["locations"] == [{"line": 1, "column": 17}]


async def test_data_that_an_error_nulled_is_present_and_null(client: httpx.AsyncClient) -> None:
    response = await post(client, "{ crashRoot }")
    assert response.status_code == 200
    assert response.json()["data"] is None
    assert response.json()["errors"]


# --- Methods


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql?query={hello}")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, POST"


async def test_a_query_by_get(client: httpx.AsyncClient) -> None:
    params = {
        "query": "query A($n: String!) { hello(name: $n) } query B { hello }",
        "variables": '{"n": "Zoë & 1+1"}',
        "operationName": "A",
        "extensions": "{}",
    }
    response = await client.get("/graphql", params=params)
    assert response.json() == {"data": {"hello": "hello Zoë & 1+1"}}


@pytest.mark.parametrize("name", ["", None])
async def test_by_get_no_operation_name_and_an_empty_one_are_the_same(
    client: httpx.AsyncClient, name: str | None
) -> None:
    params = {"query": "{ hello }"} | ({} if name is None else {"operationName": name})
    assert (await client.get("/graphql", params=params)).json() == {"data": {"hello": "hello world"}}
    named = await client.get("/graphql", params={"query": "query null { hello }", "operationName": "null"})
    assert named.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON, "*/*"])
async def test_a_mutation_never_runs_by_get(client: httpx.AsyncClient, probe: Probe, accept: str) -> None:
    for params in (
        {"query": "mutation { touch }"},
        {"query": "query A { hello } mutation B { touch }", "operationName": "B"},
    ):
        response = await client.get("/graphql", params=params, headers={"Accept": accept})
        assert response.status_code == 405
        assert response.headers["Allow"] == "POST"
        assert code_of(response) == "BAD_USER_INPUT"
    assert probe.effects == 0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "operationName=A",
        "query={hello}&query={person{name}}",
        "query={hello}&variables=1",
        "query={hello}&variables=[]",
        "query={hello}&variables={",
        "query={hello}&variables=",
        "query={hello}&extensions=[]",
        "query=%FF",
        "query=%ED%A0%80",
        "query={hello}&variables=%FF",
        "query={hello}" + "&x=1" * 200,
        "query={hello}&variables=" + quote("[" * 20_000),
        "query={hello}&variables=" + quote('{"a":1,"a":2}'),
        "query={hello}&variables=" + quote('{"a": NaN}'),
    ],
)
async def test_bad_parameters_of_a_get(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/graphql?{query}")
    assert response.status_code == 400
    assert code_of(response) == "BAD_USER_INPUT"


# --- What a browser sends to any site without asking first


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b'{"query": "mutation { touch }"}'),
        ("text/plain", b'{"query": "mutation { touch }"}'),
        ("text/plain; charset=application/json", b'{"query": "mutation { touch }"}'),
        ("text/plain, application/json", b'{"query": "mutation { touch }"}'),
        ("application/graphql", b"mutation { touch }"),
        ("application/x-www-form-urlencoded", urlencode({"query": "mutation { touch }"}).encode()),
        ("application/json; charset=utf-16", '{"query": "mutation { touch }"}'.encode("utf-16")),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query":"mutation{touch}"}\r\n--b--\r\n',
        ),
    ],
)
async def test_a_body_that_needs_no_preflight_never_runs(
    client: httpx.AsyncClient, probe: Probe, content_type: str | None, body: bytes
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await client.post("/graphql?query=mutation{touch}", content=body, headers=headers)
    assert response.status_code == 415
    assert code_of(response) == "BAD_USER_INPUT"
    assert probe.effects == 0


# --- Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"{ hello }"', id="a string"),
        pytest.param(b"{}", id="no query"),
        pytest.param(b'[{"query": "{ hello }"}]', id="a batch"),
        pytest.param(b"[]", id="an empty batch"),
        pytest.param(b'{"query": "{ hello }"', id="cut off"),
        pytest.param(b'{"query": "{ hello }"} {}', id="more than one value"),
        pytest.param(b'{"query": null}', id="query null"),
        pytest.param(b'{"query": 1}', id="query a number"),
        pytest.param(b'{"query": ["{ hello }"]}', id="query a list"),
        pytest.param(b'{"query": "{ hello }", "variables": []}', id="variables a list"),
        pytest.param(b'{"query": "{ hello }", "variables": "{}"}', id="variables a string"),
        pytest.param(b'{"query": "{ hello }", "variables": 0}', id="variables zero"),
        pytest.param(b'{"query": "{ hello }", "operationName": false}', id="operationName false"),
        pytest.param(b'{"query": "{ hello }", "extensions": 0}', id="extensions zero"),
        pytest.param(b'{"query": "{ hello }", "query": "mutation { touch }"}', id="two queries"),
        pytest.param(b'{"query": "{ hello }", "variables": {"a": 1, "a": 2}}', id="a variable twice"),
        pytest.param(b'{"query": "\xff"}', id="not UTF-8"),
        pytest.param('{"query": "{ hello }"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"query": "{ hello }"}', id="a byte order mark"),
        pytest.param(gzip.compress(b'{"query": "{ hello }"}'), id="gzip without saying so"),
        pytest.param(b'{"query": "{ hello }", "variables": ' + b"[" * 40_000, id="40,000 levels, open"),
        pytest.param(
            b'{"query": "{ hello }", "extensions": {"a": ' + b"[" * 40_000 + b"]" * 40_000 + b"}}",
            id="40,000 levels",
        ),
        pytest.param(b'{"query": "{ hello }", "variables": {"a": ' + b"9" * 5_000 + b"}}", id="5,000 digits"),
        pytest.param(b'{"query": "{ hello }", "variables": {"a": NaN}}', id="NaN"),
        pytest.param(b'{"query": "{ hello }", "variables": {"a": -Infinity}}', id="Infinity"),
        pytest.param(b'{"query": "{ hello }", "variables": {"a": 1e999}}', id="a number past infinity"),
        pytest.param(b'{"query": "{ hello }", }', id="a comma too many"),
        pytest.param(b"{'query': '{ hello }'}", id="single quotes"),
    ],
)
@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_bad_bodies(client: httpx.AsyncClient, probe: Probe, body: bytes, accept: str) -> None:
    response = await post_raw(client, body, Accept=accept)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == f"{accept}; charset=utf-8"
    assert code_of(response) == "BAD_USER_INPUT"
    assert probe.effects == 0


async def test_all_faults_of_the_parameters_at_once(client: httpx.AsyncClient) -> None:
    response = await post_raw(client, b'{"query": 1, "variables": 2, "operationName": 3, "extensions": 4}')
    fields = response.json()["errors"][0]["extensions"]["fields"]
    assert {field["path"] for field in fields} == {"query", "variables", "operationName", "extensions"}


@pytest.mark.parametrize("members", [{}, {"variables": None, "operationName": None, "extensions": None}, {"new": 1}])
async def test_null_and_unknown_members_are_no_faults(client: httpx.AsyncClient, members: dict[str, Any]) -> None:
    assert (await post(client, "{ hello }", **members)).json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
async def test_encoded_bodies_are_refused(client: httpx.AsyncClient, encoding: str) -> None:
    response = await post_raw(client, gzip.compress(b'{"query": "{ hello }"}'), Content_Encoding=encoding)
    assert response.status_code == 415


async def test_the_body_is_bound_as_announced_and_as_it_comes(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 65_536

    for content in (b" " * (MAX_BODY + 1), endless()):
        response = await client.post("/graphql", content=content, headers={"Content-Type": JSON})
        assert response.status_code == 413
        assert code_of(response) == "BAD_USER_INPUT"
        assert response.json()["errors"][0]["message"].startswith("The body is larger than 25 MB. Send less at once")


@pytest.mark.parametrize("announced", ["9" * 5_000, str(MAX_BODY + 1)])
async def test_an_absurd_length_is_refused_unread(client: httpx.AsyncClient, announced: str) -> None:
    response = await post_raw(client, b"{}", Content_Length=announced)
    assert response.status_code == 413


async def test_a_body_of_exactly_the_bound_is_read(client: httpx.AsyncClient) -> None:
    head, tail = b'{"query": "{ hello }", "more": "', b'"}'
    body = head + b"x" * (MAX_BODY - len(head) - len(tail)) + tail
    assert (await post_raw(client, body)).status_code == 200


async def test_only_strings_make_a_body_large(client: httpx.AsyncClient) -> None:
    body = b'{"query": "{ hello }", "more": "%b"}' % (b"x" * 2_000_000)
    assert (await post_raw(client, body + b" " * 1_040_000)).status_code == 200
    refused = await post_raw(client, body + b" " * 1_060_000)
    assert (refused.status_code, code_of(refused)) == (413, "BAD_USER_INPUT")


@pytest.mark.parametrize("quotes", [rb"\"", rb"\"" * 1_000_000, rb"\"" * 1_000_000 + b"\\"])
async def test_a_string_that_does_not_end_is_read_once(client: httpx.AsyncClient, quotes: bytes) -> None:
    response = await post_raw(client, b'{"query": "' + quotes)
    assert "is not JSON" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        (r'{"name": "\ud800"}', "name"),
        (r'{"name": "a\udfff"}', "name"),
        (r'{"input": {"tags": ["a", "\uD83D"]}}', "input.tags[1]"),
        (r'{"name": "\u0000"}', "name"),
    ],
)
async def test_strings_that_cannot_be_stored_name_their_place(
    client: httpx.AsyncClient, variables: str, path: str
) -> None:
    body = f'{{"query": "query($name: String! = \\"\\") {{ hello(name: $name) }}", "variables": {variables}}}'
    response = await post_raw(client, body.encode(), Accept=GRAPHQL_JSON)
    assert response.status_code == 400
    assert code_of(response) == "BAD_USER_INPUT"
    assert [field["path"] for field in response.json()["errors"][0]["extensions"]["fields"]] == [path]


async def test_text_of_every_kind_comes_back_as_it_went(client: httpx.AsyncClient) -> None:
    value = {"text": 'Zoë 🏃 \u2028 "quoted" \\ /', "big": 2**63 - 1, "none": None, "nested": [{"a": [1.5, True]}]}
    response = await post(client, "query($v: JSON!) { echo(value: $v) }", variables={"v": value})
    assert response.json() == {"data": {"echo": value}}


# --- Errors of resolvers and of the whole request


async def test_unknown_errors_are_masked_with_the_id_of_the_request(probe: Probe, logged: list[Any]) -> None:
    app = make_app(probe)

    async def with_id(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"request_id": "req-12345678"}}, receive, send)

    async with client_of(with_id) as client:  # type: ignore[arg-type]  # an ASGI application, though not Starlette's
        response = await post(client, "{ crash hello }")
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "req-12345678" in error["message"]
    assert "hunter2" not in response.text
    assert str(logged[0]["exc_info"]) == "relation users: password=hunter2"


@pytest.mark.parametrize("query", ["{ tooBig }", "{ wrongType }"])
async def test_values_that_cannot_be_encoded_are_a_masked_error(client: httpx.AsyncClient, query: str) -> None:
    response = await post(client, query)
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert str(2**40) not in response.text


async def test_a_variable_that_an_argument_cannot_take_is_the_callers_fault(client: httpx.AsyncClient) -> None:
    response = await post(client, 'query($n: String = "x") { hello(name: $n) }', variables={"n": None})
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    included = await post(client, "query($on: Boolean = true) { hello @include(if: $on) }", variables={"on": None})
    assert included.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_cause_behind_a_shown_error_stays_in_the_log(client: httpx.AsyncClient) -> None:
    response = await post(client, "{ unavailable }")
    assert response.json()["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
    assert "10.0.0.7" not in response.text


async def test_a_rate_limit_in_a_field_says_when_to_retry(client: httpx.AsyncClient) -> None:
    response = await post(client, "{ hello a: limited(wait: 7) b: limited(wait: 30) }")
    assert response.status_code == 200
    assert response.headers["Retry-After"] == "30"
    assert response.json()["errors"][0]["extensions"]["retryAfter"] == 7


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (errors.InvalidCredential("Expired."), 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        (errors.Unauthenticated("Sign in."), 401, {"WWW-Authenticate": "Bearer"}),
        (errors.AccountDisabled("Closed."), 403, {}),
        (errors.RateLimited("Slow down.", 12), 429, {"Retry-After": "12"}),
        (errors.ServiceUnavailable("Later."), 503, {}),
        (RuntimeError("SELECT password"), 500, {}),
        (TimeoutError("pool"), 500, {}),
    ],
)
async def test_a_refused_caller_gets_one_error_and_its_status(
    error: Exception, status: int, headers: Mapping[str, str], accept: str
) -> None:
    async def refuse(_request: Incoming) -> object:
        raise error

    async with client_of(make_app(Probe(), refuse)) as client:
        response = await post(client, "{ hello }", accept=accept)
    assert response.status_code == status
    assert response.headers["Content-Type"] == f"{accept}; charset=utf-8"
    assert code_of(response) == getattr(error, "code", "INTERNAL_SERVER_ERROR")
    assert "SELECT" not in response.text
    assert {name: response.headers.get(name) for name in headers} == headers


# --- The page


@pytest.mark.parametrize("query", ["", "?query={hello}"])
async def test_a_browser_gets_the_page(client: httpx.AsyncClient, query: str) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = await client.get(f"/graphql{query}", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert response.text == HTML


async def test_the_page_is_only_for_get_and_only_where_it_is_liked_best(client: httpx.AsyncClient) -> None:
    assert (await post(client, "{ hello }", accept="text/html, */*;q=0.1")).json() == {"data": {"hello": "hello world"}}
    for accept in ("*/*", "application/json, text/html;q=0.9"):
        response = await client.get("/graphql", params={"query": "{ hello }"}, headers={"Accept": accept})
        assert response.json() == {"data": {"hello": "hello world"}}


def test_the_page_is_graphiql() -> None:
    assert "GraphiQL.createFetcher" in graphiql_page()


async def test_without_the_page_a_browser_gets_json(probe: Probe) -> None:
    async with client_of(make_app(probe)) as client:
        liberal = await client.get("/graphql?query={hello}", headers={"Accept": "text/html, */*;q=0.1"})
        strict = await client.get("/graphql?query={hello}", headers={"Accept": "text/html"})
    assert liberal.json() == {"data": {"hello": "hello world"}}
    assert strict.status_code == 406


# --- Anything at all

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "query": st.sampled_from(["{ hello }", "query($v: JSON) { echo(value: $v) }", "mutation { touch }"]) | values,
        "variables": st.dictionaries(st.sampled_from(["v", "w"]), values) | values,
        "operationName": values,
        "extensions": values,
    },
)
quickly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quickly
@given(
    body=st.binary(max_size=300)
    | envelopes.map(lambda value: json.dumps(value).encode())
    | values.map(repr).map(str.encode)
)
async def test_no_body_breaks_the_endpoint(client: httpx.AsyncClient, body: bytes) -> None:
    response = await post_raw(client, body, Accept=GRAPHQL_JSON)
    assert response.status_code in (200, 400)
    assert response.json()


@quickly
@given(body=st.text(alphabet='{}[]":,\\u0d8fabquery ', max_size=60))
async def test_no_almost_json_breaks_the_endpoint(client: httpx.AsyncClient, body: str) -> None:
    assert (await post_raw(client, body.encode())).status_code in (200, 400)


@quickly
@given(query=st.text(max_size=60) | st.text(alphabet='{}()[]:!$@"\\u0.# \nabhelo', max_size=60))
async def test_no_document_breaks_the_endpoint(client: httpx.AsyncClient, query: str) -> None:
    assert (await post(client, query)).status_code in (200, 400)

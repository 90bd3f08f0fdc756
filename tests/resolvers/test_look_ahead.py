"""Pages that Postgres composes: the same answer as by resolvers, in one statement, nothing of the client's in it."""

from typing import Any

import pytest
from sqlalchemy import update

import clock
from db.models import User
from db.session import Database
from engine.remembering import Remembered
from engine.sql import composer
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.resolvers.conftest import COMPILED
from tests.scanning import told

EVERYTHING_OF_A_SCAN = """id tool toolVersion target status startedAt finishedAt durationMs severity metadata createdAt
  findingCounts { critical high medium low info suppressed total }"""
EVERYTHING_OF_A_FINDING = """id severity ruleId ruleName message path startLine startColumn endLine endColumn score
  fingerprint helpUrl suppressed"""
EVERYTHING_OF_A_POSITION = """id symbol quantity entryPrice entryDate investmentClass strikePrice optionType expiration
  exitDate exitPrice notes costBasis"""
PAGE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"

COMPOSED = {
    "scans": f"{{ scans {{ {PAGE} edges {{ cursor node {{ {EVERYTHING_OF_A_SCAN} }} }} }} }}",
    "findings": f"""{{ scans(first: 3) {{ edges {{ node {{ tool
        findings(first: 2) {{ {PAGE} edges {{ cursor node {{ {EVERYTHING_OF_A_FINDING} }} }} }} }} }} }} }}""",
    "two lists below a row": """{ scans { edges { node { a: findings(first: 1) { edges { node { message } } }
        b: findings(last: 1, filter: {severityAtLeast: LOW}) { totalCount edges { node { message } } } } } } }""",
    "portfolios": f"""{{ portfolios {{ {PAGE} edges {{ cursor node {{ id name description currency version positionCount
        costBasis createdAt updatedAt positions(first: 2) {{ {PAGE}
        edges {{ cursor node {{ {EVERYTHING_OF_A_POSITION} }} }} }} }} }} }} }}""",
    "conversations": f"""{{ conversations {{ {PAGE} edges {{ node {{ id title createdAt updatedAt
        messages {{ edges {{ cursor node {{ id role content status error createdAt finishedAt }} }} }} }} }} }} }}""",
    "backwards": f"{{ scans(last: 3) {{ {PAGE} edges {{ cursor node {{ tool }} }} }} }}",
    "backwards without more": "{ scans(last: 3) { edges { node { tool } } } }",
    "a page of one": f"{{ scans(first: 1) {{ {PAGE} edges {{ node {{ tool }} }} }} }}",
    "an empty page": f"{{ scans(filter: {{tool: \"none\"}}) {{ {PAGE} edges {{ cursor node {{ tool }} }} }} }}",
    "only how many": "{ scans { totalCount } }",
    "only names": "{ scans { __typename edges { __typename node { __typename } } } }",
    "nothing of the rows": "{ scans { pageInfo { hasPreviousPage } } }",
    "by severity": f"""{{ scans(first: 3, orderBy: {{by: SEVERITY}}) {{ {PAGE}
        edges {{ cursor node {{ severity }} }} }} }}""",
    "by duration": f"""{{ scans(last: 3, orderBy: {{by: DURATION, direction: ASC}}) {{ {PAGE}
        edges {{ cursor node {{ tool }} }} }} }}""",
    "narrowed": f"""{{ scans(filter: {{severityAtLeast: LOW, text: "o", since: "2020-01-01T00:00:00Z"}}) {{ {PAGE}
        edges {{ node {{ tool }} }} }} }}""",
    "names of others": "{ scans { edges { node { id: tool tool: id total: status low: createdAt } } } }",
    "aliases": """{ x: scans { y: edges { z: node { a: tool b: tool _c: findingCounts { d: high } } }
        p: pageInfo { e: endCursor } q: pageInfo { f: endCursor } r: totalCount } }""",
    "fragments": """query { scans { ...Page } } fragment Page on ScanConnection { edges { ... on ScanEdge {
        node { ...S } } } } fragment S on Scan { tool ... on Node { id } }""",
    "of a user": """{ me { scans(first: 2) { totalCount edges { node { tool } } }
        portfolios { edges { node { name } } } } }""",
}  # fmt: skip


async def settled(gql: Gql, who: Any, document: str, **variables: Any) -> Answer:
    """The answer at the third use, by when there is a plan."""
    for _ in range(2):
        await gql(who, document, **variables)
    return await gql(who, document, **variables)


@pytest.mark.usefixtures("nobody_answers")
@pytest.mark.parametrize("document", COMPOSED.values(), ids=COMPOSED)
async def test_composed_it_is_the_same(
    document: str, gql: Gql, plain: Gql, owner: Person, statements: list[str]
) -> None:
    expected = await plain(owner, document)
    assert not expected.errors
    await settled(gql, owner, document)
    statements.clear()
    answer = await gql(owner, document)
    assert answer.body == expected.body
    assert list(map(str, _keys(answer.body))) == list(map(str, _keys(expected.body)))
    # Who asks, together with the page at the root; of a user's pages there is one for each.
    assert not COMPILED or len(statements) == (3 if "me {" in document else 1), statements


def _keys(value: Any) -> Any:
    """All keys in their order."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from _keys(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _keys(inside)


async def test_pages_are_walked_alike(gql: Gql, plain: Gql, owner: Person) -> None:
    for by in ("DATE", "SEVERITY", "DURATION"):
        for size, place, more, cursor in (
            ("first", "after", "hasNextPage", "endCursor"),
            ("last", "before", "hasPreviousPage", "startCursor"),
        ):
            document = f"""query($size: Int, $place: String, $by: ScanOrderField!) {{
                scans({size}: $size, {place}: $place, orderBy: {{by: $by}}) {{
                {PAGE} edges {{ cursor node {{ id }} }} }} }}"""
            here: dict[str, Any] = {"place": None, "by": by, "size": 2}
            seen = 0
            while True:
                page = (await settled(gql, owner, document, **here)).data
                assert page == (await plain(owner, document, **here)).data
                seen += len(page["scans"]["edges"])
                if not page["scans"]["pageInfo"][more]:
                    break
                here["place"] = page["scans"]["pageInfo"][cursor]
            assert seen == 5


_MANY = " ".join(f"a{number}: tool" for number in range(51))
ORDINARY = {
    "the same count more than once": "{ scans { a: totalCount b: totalCount edges { node { tool } } } }",
    "a resolver of its own below": "{ me { apiKeys { id } scans { totalCount } } }",
    "more fields than Postgres takes": f"{{ scans {{ edges {{ node {{ {_MANY} }} }} }} }}",
    "pages of many objects": "{ nodes(ids: []) { id } portfolios { edges { node { id } } } }",
}


@pytest.mark.parametrize("document", ORDINARY.values(), ids=ORDINARY)
async def test_what_cannot_be_composed_is_the_same_too(document: str, gql: Gql, plain: Gql, owner: Person) -> None:
    assert (await settled(gql, owner, document)).body == (await plain(owner, document)).body


async def test_many_objects_share_a_statement(gql: Gql, plain: Gql, owner: Person, statements: list[str]) -> None:
    found = await plain(owner, "{ portfolios { edges { node { id } } } }")
    ids = [edge["node"]["id"] for edge in found.data["portfolios"]["edges"]]
    document = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Portfolio {
        positions(first: 1) { edges { node { symbol } } } } } }"""
    await settled(gql, owner, document, ids=ids)
    statements.clear()
    assert (await gql(owner, document, ids=ids)).body == (await plain(owner, document, ids=ids)).body
    assert len([one for one in statements if "positions" in one]) == 2  # one of each application


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("query($n: Int) { scans(first: $n) { edges { node { tool } } } }", {"n": 0}),
        ("query($n: Int) { scans { edges { node { findings(first: $n) { totalCount } } } } }", {"n": 101}),
        ("query($c: String) { scans { edges { node { findings(after: $c) { totalCount } } } } }", {"c": "nonsense"}),
        (
            "query($n: Int) { portfolios { edges { node { positions(first: $n, last: $n) { totalCount } } } } }",
            {"n": 1},
        ),
    ],
)
async def test_faults_are_the_same(
    document: str, variables: dict[str, Any], gql: Gql, plain: Gql, owner: Person
) -> None:
    expected = await plain(owner, document, **variables)
    assert expected.code == "BAD_USER_INPUT"
    assert (await settled(gql, owner, document, **variables)).body == expected.body


async def test_refusals_are_the_same(gql: Gql, plain: Gql, owner: Person, make: People) -> None:
    key = await make.key(owner, "account:read")
    for who, document in ((key, COMPOSED["scans"]), (key, COMPOSED["of a user"]), (None, COMPOSED["portfolios"])):
        expected = await plain(who, document)
        assert expected.errors
        assert (await settled(gql, who, document)).body == expected.body


async def test_what_was_read_ahead_is_told_to_nobody_who_may_not(
    gql: Gql, plain: Gql, make: People, database: Database, statements: list[str]
) -> None:
    """The page is read with the account, before the guards have judged it."""
    document = "{ scans { edges { node { target } } } }"
    person = await make.person()
    await told(gql, person, target="hidden-from-then-on")
    assert "hidden" in str((await settled(gql, person, document)).body)
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == person.user_id).values(disabled_at=clock.now()))
    statements.clear()
    answer = await gql(person, document)
    assert not COMPILED or [one for one in statements if "AS page" in one] == statements
    assert (answer.code, answer.data) == ("ACCOUNT_DISABLED", None)
    assert "hidden" not in str(answer.body)
    assert answer.body == (await plain(person, document)).body


@pytest.mark.skipif(not COMPILED, reason="only plans make statements")
async def test_strangers_have_no_statement_made(gql: Gql, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes milliseconds to make and stays; what it takes counts as the document's."""
    made: list[Any] = []
    compose, grown = composer._Statements._compose, list[int]()

    def note(statements: Any, listings: Any) -> Any:
        made.append(listings)
        return compose(statements, listings)

    monkeypatch.setattr(composer._Statements, "_compose", note)
    monkeypatch.setattr(Remembered, "grow", lambda _self, _key, by: grown.append(by))
    document = "query Stranger($f: ScanFilter) { scans(filter: $f) { totalCount edges { node { tool } } } }"
    for name in ("tool", "target", "text"):
        for _ in range(3):
            assert (await gql(None, document, f={name: "x"})).code == "UNAUTHENTICATED"
    assert made == []
    await settled(gql, owner, document, f={"tool": "x"})
    assert len(made) == 1
    assert grown[-1] == composer._SHAPE_BYTES


AHEAD = {
    "the same page with other arguments": """{ a: scans(first: 1) { edges { node { tool } } }
        b: scans(first: 2) { edges { node { tool } } } c: scans(first: 1) { edges { node { tool } } } }""",
    "two lists": "{ scans { totalCount } portfolios { totalCount edges { node { name } } } }",
    "a user as well": "{ me { portfolioCount limits { maxPortfolios } } scans(first: 2) { edges { node { tool } } } }",
}


@pytest.mark.parametrize("document", AHEAD.values(), ids=AHEAD)
async def test_one_page_is_read_ahead_and_the_others_by_themselves(
    document: str, gql: Gql, plain: Gql, owner: Person, statements: list[str]
) -> None:
    await settled(gql, owner, document)
    statements.clear()
    answer = await gql(owner, document)
    assert len([one for one in statements if "AS page" in one]) == COMPILED
    assert answer.body == (await plain(owner, document)).body


async def test_what_variables_ask_for_is_what_was_read_ahead(gql: Gql, plain: Gql, owner: Person) -> None:
    document = (
        """query($n: Int, $f: ScanFilter) { scans(first: $n, filter: $f) { totalCount edges { node { tool } } } }"""
    )
    asks: list[dict[str, Any]] = [
        {"n": 2},
        {"n": 1},
        {"n": 1, "f": {"tool": "to-ol 1"}},
        {"n": 2, "f": {"tool": "to-ol 2"}},
        {"n": 0},
    ]
    for asked in asks:
        answer = await settled(gql, owner, document, **asked)
        assert answer.body == (await plain(owner, document, **asked)).body


async def test_a_key_of_the_account_reads_its_pages_by_themselves(
    gql: Gql, plain: Gql, owner: Person, make: People
) -> None:
    key = await make.key(owner, "scans:read")
    for name in ("scans", "narrowed", "aliases"):
        assert (await settled(gql, key, COMPOSED[name])).body == (await plain(key, COMPOSED[name])).body


async def test_metadata_with_numbers_as_large_as_they_may_be(gql: Gql, plain: Gql, make: People) -> None:
    person = await make.person()
    await told(gql, person, metadata={"a": 1e-15, "b": 2**53, "c": -(2**53), "d": 0.1, "e": 9007199254740991.5})
    document = "{ scans { edges { node { metadata } } } }"
    expected = await plain(person, document)
    assert not expected.errors
    assert (await settled(gql, person, document)).body == expected.body


async def test_another_person_sees_their_own(gql: Gql, owner: Person, make: People) -> None:
    for document in COMPOSED.values():
        await settled(gql, owner, document)
    stranger = await make.person()
    for name in ("scans", "portfolios", "conversations"):
        answer = await gql(stranger, COMPOSED[name])
        assert answer.data[name]["edges"] == []
        assert answer.data[name]["totalCount"] == 0


async def test_nothing_of_the_client_is_in_the_statement(gql: Gql, owner: Person, statements: list[str]) -> None:
    """Names of the answer, filters and cursors are parameters; aliases of any length stay whole."""
    words = ["zzAlias", "zzLong" + "g" * 200, "zzTool", "zzText"]
    document = f"""query($text: String) {{ {words[0]}: scans(filter: {{tool: "{words[2]}", text: $text}}) {{
        totalCount {words[1]}: edges {{ {words[0]}: node {{ {words[1]}: tool }} }} }} }}"""
    answer = await settled(gql, owner, document, text=words[3])
    assert answer.data == {words[0]: {"totalCount": 0, words[1]: []}}
    assert len(statements) > 3
    assert not [word for word in words for sql in statements if word in sql]
    assert (await settled(gql, owner, document, text="' or true --")).data == answer.data


async def test_a_moment_is_written_once_for_its_field_and_the_cursor(
    gql: Gql, plain: Gql, owner: Person, statements: list[str]
) -> None:
    document = "{ scans(first: 2) { edges { cursor node { createdAt again: createdAt } } pageInfo { hasNextPage } } }"
    for _ in range(2):
        await gql(owner, document)
    statements.clear()
    answer = await gql(owner, document)
    assert not COMPILED or [one.count("to_char(timezone('UTC', r0.created_at)") for one in statements] == [1]
    assert answer.body == (await plain(owner, document)).body

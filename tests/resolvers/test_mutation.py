"""The way of every mutation: retries, twins, refusals that leave evidence, and failures that leave nothing."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

import clock
import domain
from db.models import ApiKey, IdempotencyRecord, InviteAttempt, User
from db.session import Database
from domain.api_keys import MAX_LIVE
from tests.conftest import BETA_CODE
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO, stored

CREATE = """mutation($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { secret apiKey { id name } }
}"""
ROTATE = """mutation($input: RotateApiKeyInput!) {
  rotateApiKey(input: $input) { secret apiKey { id expiresAt } }
}"""
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { apiKey { id revokedAt } } }"
UPDATE = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { id fullName username } } }"
VALIDATE = "mutation($input: ValidateInviteInput!) { validateInvite(input: $input) { user { inviteValidated } } }"

DAY = timedelta(days=1)
Rows = Callable[..., Awaitable[Sequence[Any]]]


def new_key(key: str | None = "k", **given: Any) -> dict[str, Any]:
    return {"name": "ci", "scopes": ["scans:read"], "idempotencyKey": key, **given}


async def keys_of(rows: Rows, person: Person) -> list[str]:
    """Names of the keys beside the one that came with the account."""
    return [row.name for row in await rows(ApiKey, ApiKey.user_id == person.user_id)][1:]


async def records_of(rows: Rows, person: Person) -> Sequence[IdempotencyRecord]:
    return await rows(IdempotencyRecord, IdempotencyRecord.user_id == person.user_id)


def later(make: People, person: Person) -> dict[str, str]:
    """A session of now, after the clock was moved."""
    return {"Authorization": f"Bearer {make.token(person.subject)}"}


@pytest.mark.parametrize("key", [None, ..., "k"])
async def test_a_key_makes_two_requests_one(key: Any, gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    given = {name: value for name, value in new_key(key).items() if value is not ...}
    first, second = [await gql(person, CREATE, input=given) for _ in range(2)]
    assert not first.errors
    assert (first.body == second.body) == (key == "k")
    assert len(await keys_of(rows, person)) == (1 if key == "k" else 2)


async def test_a_retry_is_answered_under_another_selection(gql: Gql, make: People) -> None:
    person = await make.person()
    made = (await gql(person, CREATE, input=new_key())).data["createApiKey"]
    document = """mutation($input: CreateApiKeyInput!) {
      createApiKey(input: $input) { apiKey { __typename id prefix scopes secret } }
    }"""
    again = (await gql(person, document, input=new_key())).data["createApiKey"]["apiKey"]
    assert again == {
        "__typename": "ApiKey",
        "id": made["apiKey"]["id"],
        "prefix": made["secret"][:7],
        "scopes": ["scans:read"],
        "secret": made["secret"],
    }


async def test_two_fields_of_one_document_with_one_key(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    fields = [f"{name}: createApiKey(input: $input) {{ apiKey {{ id }} }}" for name in "ab"]
    answer = await gql(person, f"mutation($input: CreateApiKeyInput!) {{ {' '.join(fields)} }}", input=new_key())
    assert answer.data["a"] == answer.data["b"]
    assert await keys_of(rows, person) == ["ci"]


async def test_a_mutation_sees_what_the_one_before_it_did(gql: Gql, make: People) -> None:
    person = await make.person()
    keys = "updateProfile(input: $name) { user { apiKeys { name } } }"
    made = "createApiKey(input: $input) { apiKey { id } }"
    document = f"mutation($input: CreateApiKeyInput!, $name: UpdateProfileInput!) {{ a: {keys} {made} b: {keys} }}"
    answer = await gql(person, document, input=new_key(), name={"fullName": "Ada"})
    assert [len(answer.data[field]["user"]["apiKeys"]) for field in "ab"] == [1, 2]


async def test_every_mutation_can_be_retried(gql: Gql, make: People, database: Database) -> None:
    person = await make.person(invited=False)
    made = (await gql(person, CREATE, input=new_key("for the others"))).data["createApiKey"]["apiKey"]["id"]
    requests: list[tuple[str, dict[str, Any]]] = [
        (VALIDATE, {"code": BETA_CODE}),
        (UPDATE, {"fullName": "Ada"}),
        (CREATE, {"name": "again", "scopes": ["scans:read"]}),
        (ROTATE, {"id": made, "overlapSeconds": 60}),
        (REVOKE, {"id": made}),
    ]
    for document, given in requests:
        first = await gql(person, document, input={**given, "idempotencyKey": "k"})
        assert not first.errors
        before = await stored(database)
        second = await gql(person, document, input={**given, "idempotencyKey": "k"})
        assert second.body == first.body
        assert await stored(database) == before


async def test_a_retry_comes_before_what_would_refuse_it_now(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    for _ in range(MAX_LIVE - 2):
        await make.key(person, "scans:read")
    first = await gql(person, CREATE, input=new_key())
    assert (await gql(person, CREATE, input=new_key("another"))).code == "CONFLICT"
    assert (await gql(person, CREATE, input=new_key())).body == first.body


async def test_what_is_left_is_decided_by_the_spend_alone(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person()
    document = 'mutation { createPortfolio(input: {name: "One"}) { portfolio { id } } }'
    for _ in range(2):
        statements.clear()
        assert not (await gql(person, document)).errors
        counted = [text for text in statements if "counters" in text or "ledger" in text]
        assert [text.split()[:3] for text in counted] == [["INSERT", "INTO", "ledger"]]
    assert (await gql(person, document)).code == "TIER_LIMIT_REACHED"


async def test_a_retry_comes_after_the_account_and_the_input(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await gql(person, CREATE, input=new_key())
    assert (await gql(person, CREATE, input=new_key(name=""))).code == "BAD_USER_INPUT"
    bearer = await make.key(person, "account:read")
    assert (await gql(bearer, CREATE, input=new_key())).code == "FORBIDDEN"
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == person.user_id).values(disabled_at=LONG_AGO))
    answer = await gql(person, CREATE, input=new_key())
    assert (answer.code, answer.data) == ("ACCOUNT_DISABLED", None)


@pytest.mark.parametrize(
    ("document", "first", "second"),
    [
        (CREATE, new_key(), new_key(name="other")),
        (CREATE, new_key(), new_key(scopes=["scans:read", "scans:write"])),
        (CREATE, new_key(), new_key(expiresAt="2027-01-01T00:00:00Z")),
        (UPDATE, {"fullName": None, "username": "k-e-y"}, {"username": "k-e-y"}),
        (UPDATE, {"fullName": "Ada"}, {"fullName": "Ada "}),
    ],
)
async def test_a_key_with_another_input(
    document: str, first: dict[str, Any], second: dict[str, Any], gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    assert not (await gql(person, document, input={**first, "idempotencyKey": "k"})).errors
    before = await stored(database)
    answer = await gql(person, document, input={**second, "idempotencyKey": "k"})
    assert (answer.code, answer.data) == ("IDEMPOTENCY_KEY_REUSED", None)
    assert await stored(database) == before
    assert not (await gql(person, document, input={**first, "idempotencyKey": "k"})).errors


async def test_the_same_input_in_other_words(gql: Gql, make: People) -> None:
    person = await make.person()
    first = await gql(person, CREATE, input=new_key(expiresAt="2027-01-01T00:00:00Z"))
    assert (await gql(person, CREATE, input=new_key(expiresAt="2027-01-01T02:00:00.000+02:00"))).body == first.body
    rotated = {"id": first.data["createApiKey"]["apiKey"]["id"], "idempotencyKey": "k"}
    first = await gql(person, ROTATE, input=rotated)
    assert (await gql(person, ROTATE, input={**rotated, "overlapSeconds": 86_400})).body == first.body


async def test_the_key_of_another_caller_or_field_is_another_key(gql: Gql, make: People, rows: Rows) -> None:
    person, other = await make.person(), await make.person()
    mine = (await gql(person, CREATE, input=new_key())).data["createApiKey"]
    theirs = (await gql(other, CREATE, input=new_key(name="other"))).data["createApiKey"]
    assert theirs["apiKey"]["name"] == "other"
    assert theirs["secret"] != mine["secret"]
    assert not (await gql(person, UPDATE, input={"fullName": "Ada", "idempotencyKey": "k"})).errors
    assert len(await records_of(rows, person)) == 2


@pytest.mark.parametrize("other", ["K", "k ", "ｋ"])
async def test_keys_are_compared_to_the_letter(other: str, gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    await gql(person, CREATE, input=new_key("k"))
    assert not (await gql(person, CREATE, input=new_key(other, name="other"))).errors
    assert await keys_of(rows, person) == ["ci", "other"]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "\x7f", "\u2028"])
async def test_bad_keys(key: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, CREATE, input=new_key(key))
    assert (answer.code, list(answer.fields)) == ("BAD_USER_INPUT", ["input.idempotencyKey"])
    assert await stored(database) == before


async def test_a_failed_attempt_frees_the_key(gql: Gql, make: People, rows: Rows) -> None:
    person, holder = await make.person(), await make.person()
    [taken] = await rows(User, User.id == holder.user_id)
    given = {"fullName": "Ada", "username": taken.username, "idempotencyKey": "k"}
    assert (await gql(person, UPDATE, input=given)).code == "CONFLICT"
    assert await records_of(rows, person) == []
    assert not (await gql(person, UPDATE, input={"fullName": "Ada", "idempotencyKey": "k"})).errors


async def test_an_effect_that_breaks_leaves_nothing_and_frees_the_key(
    gql: Gql, make: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await make.person()
    before = await stored(database)
    create = domain.api_keys.create

    async def break_after(*args: Any, **kwargs: Any) -> None:
        _, secret = await create(*args, **kwargs)
        raise RuntimeError(f"no words for the caller, least of all {secret}")

    with monkeypatch.context() as patch:
        patch.setattr(domain.api_keys, "create", break_after)
        answer = await gql(person, CREATE, input=new_key())
    assert (answer.code, answer.data) == ("INTERNAL_SERVER_ERROR", None)
    assert "no words" not in json.dumps(answer.body)
    assert answer.headers["X-Request-Id"] in answer.errors[0]["message"]
    assert await stored(database) == before
    assert not (await gql(person, CREATE, input=new_key())).errors


async def test_a_refusal_leaves_its_evidence_and_frees_the_key(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(invited=False)
    for attempts in (1, 2):
        answer = await gql(person, VALIDATE, input={"code": "wrong", "idempotencyKey": "k"})
        assert (answer.code, answer.data) == ("INVALID_INVITE", None)
        assert len(await rows(InviteAttempt, InviteAttempt.user_id == person.user_id)) == attempts
    assert await records_of(rows, person) == []
    assert not (await gql(person, VALIDATE, input={"code": BETA_CODE, "idempotencyKey": "k"})).errors


async def test_an_outcome_is_kept_for_a_day(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    await gql(person, UPDATE, input={"fullName": "Ada", "idempotencyKey": "old"})
    first = await gql(person, CREATE, input=new_key())
    clock.move(DAY - timedelta(minutes=1))
    assert (await gql(later(make, person), CREATE, input=new_key())).body == first.body
    clock.move(timedelta(minutes=1))
    answer = await gql(later(make, person), CREATE, input=new_key(name="another input"))
    assert not answer.errors
    assert await keys_of(rows, person) == ["ci", "another input"]
    # What has expired goes with the next outcome that is kept.
    [record] = await records_of(rows, person)
    assert record.expires_at - record.created_at == DAY


async def test_no_secret_is_stored_with_an_outcome(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    made = (await gql(person, CREATE, input=new_key())).data["createApiKey"]
    rotated = (await gql(person, ROTATE, input={"id": made["apiKey"]["id"], "idempotencyKey": "k"})).data[
        "rotateApiKey"
    ]
    await gql(person, VALIDATE, input={"code": BETA_CODE, "idempotencyKey": "k"})
    records = await records_of(rows, person)
    assert sorted(record.field for record in records) == ["create_api_key", "rotate_api_key", "validate_invite"]
    for record in records:
        text = json.dumps([record.outcome, record.key, record.field]) + record.input_digest.hex()
        for secret in (made["secret"], rotated["secret"], BETA_CODE):
            assert secret not in text
            assert secret.removeprefix("iq_")[:8] not in text
        assert all(name.endswith("_id") for name in record.outcome)


@pytest.mark.parametrize("document", [CREATE, ROTATE])
async def test_a_secret_that_is_not_kept_is_shown_once(
    document: str, gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    given = new_key()
    if document == ROTATE:
        made = await gql(person, CREATE, input=given)
        given = {"id": made.data["createApiKey"]["apiKey"]["id"], "idempotencyKey": "k"}
    [first] = (await gql(person, document, input=given)).data.values()
    async with database.transaction() as session:
        await session.execute(update(ApiKey).where(ApiKey.user_id == person.user_id).values(sealed=None))
    answer = await gql(person, document, input=given)
    assert not answer.errors
    [again] = answer.data.values()
    assert first["secret"]
    assert again == first | {"secret": None}

"""The whole schema: guarded, described, bounded, and the same as what is committed."""

from pathlib import Path
from typing import Any

import graphql
import pytest
from strawberry.permission import PermissionExtension
from strawberry.types.field import StrawberryField

from auth.permissions import HasValidatedInvite, IsAuthenticated, IsSession, has_scope, strangers_or
from resolvers.root import Mutation, Query, schema
from schema.inputs import MutationInput
from schema.payloads import Payload

ROOT = Path(__file__).resolve().parents[2]
BUILT = schema._schema

OPEN: dict[str, list[type]] = {"entitlement": [strangers_or(has_scope("account:read"))], "plans": []}
"""Root fields that strangers may use, and what others need for them: the whole public surface, in one place."""

WITHOUT_INVITE = {"validate_invite", "update_profile", "create_api_key", "rotate_api_key", "revoke_api_key"}
"""Mutations that an account may use before an invite has let it in (CONTRACT section 6)."""


def fields_of(root: Any) -> list[StrawberryField]:
    return list(root.__strawberry_definition__.fields)


def guards_of(field: StrawberryField) -> list[type]:
    extensions = [found for found in field.extensions if isinstance(found, PermissionExtension)]
    return [type(permission) for found in extensions for permission in found.permissions]


ROOT_FIELDS = [field for root in (Query, Mutation) for field in fields_of(root)]
MUTATIONS = fields_of(Mutation)
NAMED: dict[str, Any] = {"ids": lambda field: field.python_name}


@pytest.mark.parametrize("field", ROOT_FIELDS, **NAMED)
def test_every_root_field_has_a_guard_or_is_public_on_purpose(field: StrawberryField) -> None:
    guards = guards_of(field)
    if field.python_name in OPEN:
        assert guards == OPEN[field.python_name]
        return
    assert guards[0] is IsAuthenticated, "Begin permission_classes with IsAuthenticated."
    by_key = [guard for guard in guards if guard.__name__.startswith("HasScope")]
    assert IsSession in guards or by_key, "Say what an API key may: IsSession or has_scope(…)."


@pytest.mark.parametrize("field", MUTATIONS, **NAMED)
def test_every_mutation_takes_the_way_of_mutations(field: StrawberryField) -> None:
    """One input, one payload, both of the shared kind: so it was declared with resolvers.mutation."""
    assert field.base_resolver is not None
    assert field.base_resolver.wrapped_func.__qualname__.startswith("mutation.<locals>"), "Declare it with @mutation."
    (argument,) = field.arguments
    takes: Any = argument.type
    gives: Any = field.type
    name = field.python_name.title().replace("_", "")
    assert (argument.python_name, takes.__name__, gives.__name__) == ("input", f"{name}Input", f"{name}Payload")
    assert issubclass(takes, MutationInput)
    assert issubclass(gives, Payload)
    if field.python_name not in WITHOUT_INVITE:
        assert HasValidatedInvite in guards_of(field), "Writes need an invite."


def described() -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for name, kind in BUILT.type_map.items():
        if name.startswith("__") or name in graphql.specified_scalar_types:
            continue
        found.append((name, kind.description))
        for field_name, field in getattr(kind, "fields", {}).items():
            found.append((f"{name}.{field_name}", field.description))
    return found


def test_everything_is_described() -> None:
    assert [name for name, description in described() if not description] == []


def test_names_are_nouns_not_getters() -> None:
    assert [name for name, _ in described() if ".get" in name] == []


def test_the_committed_schema_is_what_the_code_prints() -> None:
    committed = (ROOT / "schema.graphql").read_text()
    assert committed.rstrip() == schema.as_str().rstrip(), "make schema"

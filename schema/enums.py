"""How enums of the database get their descriptions for clients. Which enums there are is the nouns'."""

from enum import Enum

import strawberry
from strawberry.types.enum import has_enum_definition


def describe(kind: type[Enum], description: str, **values: str) -> None:
    """Show an enum to clients; `values` describes its members, by name."""
    strawberry.enum(kind, description=description)
    assert has_enum_definition(kind)
    for value in kind.__strawberry_definition__.values:
        value.description = values.get(value.name)

"""Input objects, built without asking for the types of their fields each time. What Strawberry makes of them stays."""

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any, NamedTuple

from strawberry import Schema
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField


class _Step(NamedTuple):
    """A field by its two names; its type where its values have to be converted."""

    graphql_name: str
    python_name: str
    convert_to: Any


def quicken(schema: Schema) -> None:
    """Let the input types of the schema build their values by what was found out once.

    Strawberry resolves the type of each field for each value, which for an input of ten fields takes as long as a
    short statement. Types with a `from_input` of their own keep it, and those with a `Maybe` keep Strawberry's, which
    checks them in the document then.
    """
    for concrete in schema.schema_converter.type_map.values():
        definition = concrete.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input and definition.from_input is None:
            types = [field.resolve_type(type_definition=definition) for field in definition.fields]
            if not any(isinstance(one, StrawberryMaybe) for one in types):
                definition.from_input = _Builder(definition.fields, types)


class _Builder:
    """As `strawberry.types.arguments.convert_argument` builds an input object."""

    def __init__(self, fields: list[StrawberryField], types: list[Any]) -> None:
        self._fields = list(zip(fields, types, strict=True))
        self._absent: Mapping[str, None] = {
            field.python_name: None
            for field in fields
            if field.default_value is MISSING and field.default_factory is MISSING
        }
        self._steps: tuple[_Step, ...] | None = None

    def __call__(self, type_: type, value: Mapping[str, Any], context: InputContext) -> Any:
        if self._steps is None:
            self._steps = tuple(_step(field, inside, context) for field, inside in self._fields)
        given: dict[str, Any] = dict(self._absent)
        for name, python_name, convert_to in self._steps:
            if name in value:
                found = value[name]
                given[python_name] = found if convert_to is None else context.convert(found, convert_to, name)
        return type_(**given)


def _step(field: StrawberryField, inside: Any, context: InputContext) -> _Step:
    bare = inside.of_type if isinstance(inside, StrawberryOptional) else inside
    as_it_is = isinstance(bare, StrawberryEnumDefinition) or bare in (str, int, float, bool, *_scalars(context))
    return _Step(context.config.name_converter.from_field(field), field.python_name, None if as_it_is else inside)


def _scalars(context: InputContext) -> list[Any]:
    """Those that the schema knows, without the one whose values Strawberry converts."""
    from strawberry.relay import GlobalID  # noqa: PLC0415 - only here, and of some weight

    return [one for one in context.scalar_registry if one is not GlobalID]

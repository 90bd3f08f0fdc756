"""Input objects and arguments, built by what was found out of their types once. What Strawberry makes of them stays."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING
from typing import Any, NamedTuple

from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import InputContext, convert_argument
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
            names, scalars = context.config.name_converter, _scalars(context.scalar_registry)
            self._steps = tuple(
                _Step(names.from_field(field), field.python_name, _convertible(inside, scalars))
                for field, inside in self._fields
            )
        given: dict[str, Any] = dict(self._absent)
        for name, python_name, convert_to in self._steps:
            if name in value:
                found = value[name]
                as_it_is = convert_to is None or found is None
                given[python_name] = found if as_it_is else context.convert(found, convert_to, name)
        return type_(**given)


class Arguments:
    """As `strawberry.types.arguments.convert_arguments` converts those of a field."""

    def __init__(self, declared: StrawberryField, converter: GraphQLCoreConverter) -> None:
        self._config, self._registry = converter.config, converter.scalar_registry
        names, scalars = converter.config.name_converter, _scalars(converter.scalar_registry)
        self._steps = tuple(
            _Step(names.from_argument(one), one.python_name, _convertible(one.type, scalars))
            for one in declared.arguments
        )

    def convert(self, given: Mapping[str, Any], info: Any) -> dict[str, Any]:
        """By their names in Python; those that are not given are left out."""
        found: dict[str, Any] = {}
        for name, python_name, convert_to in self._steps:
            if name in given:
                value = given[name]
                if convert_to is not None:
                    value = self._converted(value, convert_to, info, name)
                found[python_name] = value
        return found

    def _converted(self, value: Any, convert_to: Any, info: Any, name: str) -> Any:
        build = _builder_of(convert_to) if isinstance(value, dict) else None
        if build is None:
            return convert_argument(value, convert_to, self._registry, self._config, info, path=(name,))
        return build(convert_to, value, InputContext(info, self._config, self._registry, (name,)))


def _builder_of(type_: Any) -> _Builder | None:
    """What builds the values of an input object, where that is all that Strawberry does for it."""
    definition = getattr(type_, "__strawberry_definition__", None) if isinstance(type_, type) else None
    build = definition.from_input if isinstance(definition, StrawberryObjectDefinition) else None
    return build if isinstance(build, _Builder) else None


def _convertible(type_: Any, scalars: Collection[Any]) -> Any:
    """The type, if Strawberry makes something else of its values; None where they stay as they are."""
    bare = type_.of_type if type(type_) is StrawberryOptional else type_
    as_it_is = isinstance(bare, StrawberryEnumDefinition) or bare in (str, int, float, bool, *scalars)
    return None if as_it_is else type_


def _scalars(registry: Mapping[Any, Any]) -> list[Any]:
    """Those that the schema knows, without the one whose values Strawberry converts."""
    from strawberry.relay import GlobalID  # noqa: PLC0415 - only here, and of some weight

    return [one for one in registry if one is not GlobalID]

"""How the value of a field is got: an attribute, a plain function, or the resolver as Strawberry wraps it."""

import inspect
import keyword
from types import FunctionType
from typing import Any, NamedTuple

from graphql import GraphQLField, default_field_resolver
from strawberry import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from engine.plans.arguments import arguments_of
from engine.plans.guarding import Guarded, guarded
from engine.plans.info import ResolveInfo, info_maker
from engine.plans.selections import Field, Operation


class Getter(NamedTuple):
    """An expression over `source`, `place` and `run`, and the objects that it names."""

    expression: str
    names: dict[str, Any]
    needs_place: bool = False


class Resolving:
    """Knows of one schema where Strawberry's wrapper does nothing, so that it can be left out."""

    def __init__(self, schema: Schema) -> None:
        self._converter = schema.schema_converter
        self._make_info = info_maker(schema.config.info_class)
        # Others wrap resolvers in a way of their own.
        self._as_known = type(schema.schema_converter) is GraphQLCoreConverter and not schema.exception_handlers

    def getter(self, field: Field, operation: Operation) -> Getter:
        """How to get the value of the field from its object."""
        declared = self._declared(field.definition)
        if declared is not None:
            attribute = _attribute(declared)
            if attribute is not None:
                return Getter(f"source.{attribute}", {})
            if _is_plain(declared):
                return self._call(field, declared)
        return _wrapped(field, operation, self._guard(field))

    def _declared(self, definition: GraphQLField) -> StrawberryField | None:
        """What Strawberry made the field of, if it is all that its resolver comes down to."""
        declared = self._by_strawberry(definition)
        return declared if declared is not None and not declared.extensions else None

    def _guard(self, field: Field) -> Guarded | None:
        """What resolves a field of which permissions are the only extension."""
        declared = self._by_strawberry(field.definition)
        return None if declared is None else guarded(declared, self._converter, alone=field.alone)

    def _by_strawberry(self, definition: GraphQLField) -> StrawberryField | None:
        declared = definition.extensions.get("strawberry-definition")
        known = (
            self._as_known
            and isinstance(declared, StrawberryField)
            and type(declared).get_result is StrawberryField.get_result
            and getattr(definition.resolve, "__module__", None) == GraphQLCoreConverter.__module__
        )
        return declared if known else None

    def _call(self, field: Field, declared: StrawberryField) -> Getter:
        resolver = declared.base_resolver
        assert resolver is not None
        number = field.slot.number
        names: dict[str, Any] = {f"function{number}": resolver.wrapped_func}
        given = ["source"] if resolver.self_parameter else []
        given += [f"{named.name}=source" for named in (resolver.parent_parameter, resolver.root_parameter) if named]
        if resolver.info_parameter:
            given.append(
                f"{resolver.info_parameter.name}=make_info(ResolveInfo(field{number}, place, run), declared{number})"
            )
            names |= {
                "make_info": self._make_info,
                "ResolveInfo": ResolveInfo,
                f"field{number}": field,
                f"declared{number}": declared,
            }
        return Getter(f"function{number}({', '.join(given)})", names, bool(resolver.info_parameter))


def _attribute(declared: StrawberryField) -> str | None:
    """The attribute that a field without a resolver reads."""
    name = declared.python_name
    reads = declared.base_resolver is None and declared.default_resolver is getattr
    return name if reads and name.isidentifier() and not keyword.iskeyword(name) else None


def _is_plain(declared: StrawberryField) -> bool:
    """Whether the resolver is a function that takes nothing but its object and `info`."""
    resolver = declared.base_resolver
    return (
        resolver is not None
        and isinstance(resolver.wrapped_func, FunctionType)
        and not inspect.isasyncgenfunction(resolver.wrapped_func)
        and not declared.arguments
    )


def _wrapped(field: Field, operation: Operation, guard: Guarded | None) -> Getter:
    """The resolver with its field extensions and conversion of arguments: by the schema, or by `guard`."""
    number = field.slot.number
    names = {
        "ResolveInfo": ResolveInfo,
        f"field{number}": field,
        f"resolve{number}": guard or field.definition.resolve or default_field_resolver,
    }
    call = f"resolve{number}(source, ResolveInfo(field{number}, place, run)"
    arguments = arguments_of(field, operation)
    stars = "" if guard else "**"
    if callable(arguments):
        call += f", {stars}arguments{number}(run)"
    elif arguments or guard:
        call += f", {stars}arguments{number}"
    return Getter(call + ")", {**names, f"arguments{number}": arguments}, needs_place=True)

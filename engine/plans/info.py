"""What resolvers get as `info`: the attributes of graphql-core's, each made when it is asked for."""

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfoHelpers,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.pyutils import Path
from strawberry.execution import optimized_is_awaitable
from strawberry.types.field import StrawberryField

from engine.plans.places import Place, path_of
from engine.plans.running import Run
from engine.plans.selections import Ahead, Field


class Info(strawberry.Info[Any, Any]):
    """Strawberry's, which has its context through two properties: guards and resolvers ask for it again and again."""

    context: Any = None

    def __init__(self, raw_info: Any, field: StrawberryField) -> None:
        self._raw_info = raw_info
        self._field = field
        self.context = raw_info.context


def info_maker(info_class: type[strawberry.Info]) -> Callable[[Any, StrawberryField], strawberry.Info]:
    """What makes the `info` of resolvers, for a schema with this class of them."""
    if info_class is strawberry.Info:
        return Info
    return lambda raw_info, field: info_class(_raw_info=raw_info, _field=field)


class ResolveInfo:
    """A `GraphQLResolveInfo` as Strawberry extends it, of one field in one run.

    It is a class of its own because a tuple of fifteen values and the path for each call cost more than most resolvers.
    """

    __slots__ = ("_field", "_place", "_run", "context")

    def __init__(self, field: Field, place: Place, run: Run) -> None:
        self._field = field
        self._place = place
        self._run = run
        self.context = run.context

    @property
    def ahead(self) -> Ahead | None:
        """What may be read of this field before it is resolved."""
        return self._run.ahead if self._run.ahead_of is self._field else None

    @property
    def field_name(self) -> str:
        return self._field.name

    @property
    def field_nodes(self) -> list[FieldNode]:
        return list(self._field.nodes)

    @property
    def return_type(self) -> GraphQLOutputType:
        return self._field.definition.type

    @property
    def parent_type(self) -> GraphQLObjectType:
        return self._field.parent

    @property
    def path(self) -> Path:
        return path_of(self._place)

    @property
    def schema(self) -> GraphQLSchema:
        return self._run.operation.schema

    @property
    def fragments(self) -> dict[str, FragmentDefinitionNode]:
        return self._run.operation.fragments

    @property
    def root_value(self) -> Any:
        return self._run.root

    @property
    def operation(self) -> OperationDefinitionNode:
        return self._run.operation.node

    @property
    def variable_values(self) -> dict[str, Any]:
        return self._run.variables.coerced

    @property
    def is_awaitable(self) -> Any:
        return optimized_is_awaitable

    @property
    def abort_signal(self) -> None:
        return None

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        return self._run.helpers()

    @property
    def operation_extensions(self) -> Any:
        return self._run.extensions

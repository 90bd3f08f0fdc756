"""What a plan cannot do, and which conditions make its variants: told from the document, before anything is planned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)
from graphql.language import DirectiveNode, SelectionNode

_CONDITIONS = ("skip", "include")
_DEFERRED = ("defer", "stream")
_INTROSPECTION = ("__schema", "__type")


class Fallback(StrEnum):
    """Why an operation ran on graphql-core although plans are on."""

    SUBSCRIPTION = "subscription"
    OPERATION_DIRECTIVE = "operation directive"
    DIRECTIVE = "directive other than skip and include"
    DEFER = "defer or stream"
    FRAGMENT_ARGUMENTS = "arguments of a fragment"
    INTROSPECTION = "introspection"
    CONDITION = "a condition without a value"
    VARIANTS = "too many variants"
    SIZE = "too many fields"
    EXECUTOR = "an executor of the schema's own"


class Unsupported(Exception):
    """The operation runs on graphql-core."""

    def __init__(self, reason: Fallback) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Survey:
    """Of one operation: why no plan can answer it, and the variables that decide its variant, with their defaults."""

    reason: Fallback | None
    conditions: Mapping[str, bool | None]

    def variant(self, variables: Mapping[str, Any]) -> tuple[bool, ...] | None:
        """The values of the conditions; None where one has no value, of which graphql-core makes an error."""
        if not self.conditions:  # as most have none
            return ()
        values = [variables.get(name, default) for name, default in self.conditions.items()]
        return tuple(values) if all(isinstance(value, bool) for value in values) else None


def survey(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Survey:
    """Walk the operation and the fragments it reaches, each once."""
    try:
        names = dict.fromkeys(_conditions(operation, fragments))
    except Unsupported as unsupported:
        return Survey(unsupported.reason, {})
    return Survey(None, {name: default for name, default in _defaults(operation).items() if name in names})


def _defaults(operation: OperationDefinitionNode) -> dict[str, bool | None]:
    return {
        definition.variable.name.value: default.value
        if isinstance(default := definition.default_value, BooleanValueNode)
        else None
        for definition in operation.variable_definitions or ()
    }


def _conditions(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Iterator[str]:
    if operation.operation is OperationType.SUBSCRIPTION:
        raise Unsupported(Fallback.SUBSCRIPTION)
    if operation.directives:
        raise Unsupported(Fallback.OPERATION_DIRECTIVE)
    seen: set[str] = set()
    pending: list[SelectionSetNode] = [operation.selection_set]
    while pending:
        for selection in pending.pop().selections:
            yield from _conditions_of(selection)
            if isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in seen:
                    seen.add(name)
                    pending.append(_body_of(fragments[name]))
            elif isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set:
                pending.append(selection.selection_set)


def _body_of(fragment: FragmentDefinitionNode) -> SelectionSetNode:
    if fragment.variable_definitions:
        raise Unsupported(Fallback.FRAGMENT_ARGUMENTS)
    return fragment.selection_set


def _conditions_of(selection: SelectionNode) -> Iterator[str]:
    if isinstance(selection, FieldNode) and selection.name.value in _INTROSPECTION:
        raise Unsupported(Fallback.INTROSPECTION)
    for directive in selection.directives or ():
        yield from _condition_of(directive)


def _condition_of(directive: DirectiveNode) -> Iterator[str]:
    if directive.name.value in _DEFERRED:
        raise Unsupported(Fallback.DEFER)
    if directive.name.value not in _CONDITIONS:
        raise Unsupported(Fallback.DIRECTIVE)
    for argument in directive.arguments or ():
        if isinstance(argument.value, VariableNode):
            yield argument.value.name.value

"""Which plan answers a request: made at the second use of an operation and its conditions, kept with its document."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, FragmentDefinitionNode, OperationDefinitionNode
from strawberry import Schema
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from engine.plans.plan import Plan
from engine.plans.resolving import Resolving
from engine.plans.selections import Composed, Composer, Operation, Slot
from engine.plans.support import Fallback, Survey, Unsupported, survey
from engine.plans.variables import InputTypes, Variables

MAX_VARIANTS = 16
"""Of an operation: combinations of its conditions that may have a plan of their own."""

_Variant = tuple[bool, ...]


@dataclass(slots=True)
class _Known:
    """Of one operation: what it asks of plans, and what each variant has come to: None where it was used once."""

    operation: Operation
    survey: Survey
    variables: Variables | None = None
    variants: dict[_Variant, Plan | Fallback | None] = field(default_factory=dict)


@dataclass(slots=True)
class Planned:
    """What is known of the operations of one document. `grow` is told of the bytes that plans take.

    `fell_back`: why graphql-core has answered some of them.
    """

    grow: Callable[[int], None]
    operations: dict[str | None, _Known] = field(default_factory=dict)
    fell_back: set[Fallback] = field(default_factory=set)


class Planner:
    """Plans for one schema. `fallbacks` counts the requests that graphql-core answered although there should be one.

    `on_fallback` is told why, the first time for each document.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        hide_suggestions: bool,
        composer: Composer | None,
        on_fallback: Callable[[str], None] | None = None,
    ) -> None:
        self._schema = schema._schema  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
        self._hide_suggestions = hide_suggestions
        self._resolving = Resolving(schema)
        self._input_types = InputTypes()
        self._composer = composer
        self._on_fallback = on_fallback
        self._known_executor = schema.execution_context_class is StrawberryGraphQLCoreExecutionContext
        self.fallbacks: Counter[str] = Counter()

    def plan(
        self,
        planned: Planned,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> Plan | None:
        """The plan for an operation of the document with the conditions that the variables set.

        None at its first use, because most documents that are new are never seen again, and where no plan can be.
        """
        found = self._find(planned, document, operation, variables)
        if isinstance(found, Fallback):
            self.fallbacks[found.value] += 1
            if self._on_fallback is not None and found not in planned.fell_back:
                planned.fell_back.add(found)
                self._on_fallback(found.value)
            return None
        return found

    def _find(
        self,
        planned: Planned,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
    ) -> Plan | Fallback | None:
        name = operation.name.value if operation.name else None
        known = planned.operations.get(name)
        if known is None:
            known = planned.operations[name] = self._survey(document, operation)
        if known.survey.reason is not None:
            return known.survey.reason
        variant = known.survey.variant(variables)
        if variant is None:
            return Fallback.CONDITION
        if variant in known.variants:
            found = known.variants[variant]
            if found is None:
                found = known.variants[variant] = self._compile(planned, known, variant)
                if isinstance(found, Plan):
                    planned.grow(found.size)
            return found
        if len(known.variants) >= MAX_VARIANTS:
            return Fallback.VARIANTS
        known.variants[variant] = None
        return None

    def _survey(self, document: DocumentNode, operation: OperationDefinitionNode) -> _Known:
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        surveyed = survey(operation, fragments) if self._known_executor else Survey(Fallback.EXECUTOR, {})
        return _Known(Operation(self._schema, operation, fragments, self._hide_suggestions), surveyed)

    def _compile(self, planned: Planned, known: _Known, variant: _Variant) -> Plan | Fallback:
        composer, operation = self._composer, known.operation

        def compose(slot: Slot) -> Composed | None:
            return composer.compose(slot, operation, planned.grow) if composer else None

        if known.variables is None:
            known.variables = Variables(operation, self._input_types)
            planned.grow(known.variables.size)
        conditions = dict(zip(known.survey.conditions, variant, strict=True))
        try:
            return Plan(operation, conditions, self._resolving, compose, variables=known.variables)
        except Unsupported as unsupported:
            return unsupported.reason

"""What an operation selects, collected once: objects, their fields in order, and the slots that values go to."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues

from engine.plans.places import Place
from engine.plans.support import Fallback, Unsupported

MAX_FIELDS = 500
"""Of a plan, and types of objects below them, however often they are answered: each takes about 0.1 ms to compile."""

NEEDS = "needs"
"""In the `metadata` of a field: what its resolver will ask the context for; `Engine(foresee=…)` is told before."""

Complete = Callable[[Any, Place, Any], Any]
"""From a value that a resolver gave, its place and the `Run` to the answer, or a coroutine that leads to it."""


class Composer(Protocol):
    """Answers fields whole, in another way than by their objects: asked once for each slot of a plan."""

    def compose(self, slot: "Slot", operation: "Operation", grow: Callable[[int], None]) -> "Composed | None":
        """What answers the objects of this slot; None where the plan does. `grow` is told of bytes it takes later."""


class Ahead(Protocol):
    """What a field at the root is going to ask for, and may be read before: only its composer knows more of it."""

    @property
    def asked(self) -> Any:
        """What the field asks for, as it declares (`AtOnce.read`)."""


class Composed(NamedTuple):
    """`step`: from the ordinary step for the objects of a slot to one that passes on to it what it cannot answer.

    `ahead`: what of it can be read before anything runs, by the `Run`; None where nothing can. Whoever is told to
    foresee it may have it read together with something else.
    """

    step: Callable[[Complete], Complete]
    ahead: Callable[[Any], Ahead | None] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What is the same for all runs: the operation and its surroundings."""

    schema: GraphQLSchema
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    hide_suggestions: bool


@dataclass(slots=True, eq=False)
class Slot:
    """Where a value goes: a field, or an item of its list (`item`, which may be a list again).

    `complete` is the step of the plan that answers a value here; it is set once the plan is compiled. `composed`: what
    answers its objects in another way.
    """

    number: int
    field: "Field"
    type: GraphQLOutputType
    nodes: Sequence[FieldNode]
    nullable: bool
    item: "Slot | None" = None
    composed: Composed | None = None
    complete: Complete = dataclasses.field(init=False)

    @property
    def kind(self) -> Any:
        """Its type without the `!`."""
        return get_nullable_type(self.type)

    @property
    def below(self) -> "Mapping[str, Selection]":
        """What is selected of its objects, by the name of their type."""
        return self.field.below


@dataclass(slots=True, eq=False)
class Field:
    """One field of an object in the answer. Nodes of the same response key are merged.

    `alone`: at the root, where no other one runs at the same time: the only one, `__typename` aside, or a mutation's.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    parent: GraphQLObjectType
    definition: GraphQLField
    below: "Mapping[str, Selection]" = dataclasses.field(default_factory=dict)
    slot: Slot = dataclasses.field(init=False)
    alone: bool = False


@dataclass(slots=True, eq=False)
class Selection:
    """The fields of an object of one type, in the order of the answer."""

    number: int
    type: GraphQLObjectType
    fields: list[Field] = dataclasses.field(default_factory=list)


_Key = tuple[str, tuple[int, ...]]


class Selections:
    """Collects an operation. What is selected in several places alike, by a fragment, is there once."""

    def __init__(self, operation: Operation, conditions: Mapping[str, bool]) -> None:
        self._operation = operation
        self._fragments = {name: FragmentDetails(node) for name, node in operation.fragments.items()}
        self._variables = VariableValues({}, dict(conditions))
        self._collected: dict[_Key, Selection] = {}
        self._shared: dict[_Key, Selection] = {}
        self.size = 0
        self.slots: list[Slot] = []
        self.root = self._root()
        fields = [field for field in self.root.fields if field.name != "__typename"]
        for field in fields:
            field.alone = len(fields) == 1 or self.serial

    @property
    def selections(self) -> list[Selection]:
        return list(self._shared.values())

    @property
    def needs(self) -> frozenset[str]:
        """What the fields declare that they will ask for."""
        definitions = (field.definition for selection in self.selections for field in selection.fields)
        declared = (definition.extensions.get("strawberry-definition") for definition in definitions)
        wanted = (getattr(one, "metadata", {}).get(NEEDS) for one in declared)
        return frozenset(name for name in wanted if name is not None)

    def _root(self) -> Selection:
        operation = self._operation
        root = operation.schema.get_root_type(operation.node.operation)
        assert root is not None
        collected = collect_fields(operation.schema, self._fragments, self._variables, root, operation.node)
        return self._selection(root, collected)

    @property
    def serial(self) -> bool:
        return self._operation.node.operation is OperationType.MUTATION

    def _of_field(self, kind: GraphQLObjectType, details: list[FieldDetails]) -> Selection:
        key = (kind.name, tuple(id(detail.node) for detail in details))
        if key not in self._collected:
            operation = self._operation
            collected = collect_subfields(
                operation.schema, self._fragments, self._variables, operation.node, kind, details
            )
            self._collected[key] = self._selection(kind, collected)
        return self._collected[key]

    def _selection(self, kind: GraphQLObjectType, collected: CollectedFields) -> Selection:
        groups = collected.grouped_field_set
        nodes = [0 if detail is None else id(detail.node) for group in groups.values() for detail in (*group, None)]
        key = (kind.name, tuple(nodes))
        if key not in self._shared:
            self._grow(len(groups))
            selection = self._shared[key] = Selection(len(self._shared), kind)
            selection.fields += [self._field(kind, name, group) for name, group in groups.items()]
        return self._shared[key]

    def _field(self, parent: GraphQLObjectType, key: str, details: list[FieldDetails]) -> Field:
        nodes = [detail.node for detail in details]
        name = nodes[0].name.value
        definition = self._operation.schema.get_field(parent, name)
        assert definition is not None
        found = Field(key, name, nodes, parent, definition)
        kinds: list[GraphQLObjectType] = []
        named = get_named_type(definition.type)
        if is_object_type(named):
            kinds = [named]
        elif is_abstract_type(named):
            kinds = list(self._operation.schema.get_possible_types(named))
        self._grow(len(kinds))
        found.below = {kind.name: self._of_field(kind, details) for kind in kinds}
        found.slot = self._slot(found, definition.type)
        return found

    def _grow(self, by: int) -> None:
        self.size += by
        if self.size > MAX_FIELDS:
            raise Unsupported(Fallback.SIZE)

    def _slot(self, of: Field, type_: GraphQLOutputType) -> Slot:
        kind = get_nullable_type(type_)
        item = self._slot(of, kind.of_type) if isinstance(kind, GraphQLList) else None
        slot = Slot(len(self.slots), of, type_, of.nodes, not is_non_null_type(type_), item)
        self.slots.append(slot)
        return slot

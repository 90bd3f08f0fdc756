"""What a document may cost at most, counted before anything runs. Not what a field costs in SQL."""

from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode, is_interface_type, is_object_type

from engine.limits import Cost, Limits, TooComplex, bounded
from engine.measuring import Meter, Sum, declared


class Complexity:
    """The measure of one schema: depth, fields at the root, aliases, directives, and cost.

    The cost is that of each field, as often as the list it is in has items: 1, or what the schema declares where a
    field is dearer than that (`metadata={"weight": 10}`). How long a list gets is told by `first` or `last`, else by
    the ids asked for (an argument of the type [ID]), else by its field (`metadata={"at_most": 10}`), else it is taken
    for `Limits.list_size`. The `edges` and `nodes` of a connection are as long as its page, by default
    `Limits.page_size`. Leaves count once in a list as well: their items cost next to nothing.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._weights = _weights(schema)

    def check(self, document: DocumentNode) -> bool:
        """Raise `TooComplex` where an operation passes a limit whatever its variables are.

        Tells whether a variable decides how long a list gets, so that `check_values` has to look at every request.
        """
        meter = self._meter(document, None)
        for operation in document.definitions:
            if isinstance(operation, OperationDefinitionNode):
                self._check(self._cost(meter, document, operation))
        return meter.varies

    def check_values(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> None:
        """Raise `TooComplex` where the operation costs too much with these variables, as they came."""
        meter = self._meter(document, _given(operation, variables))
        self._check_cost(self._sum(meter, operation).with_page(self._limits.list_size))

    def cost(self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Cost:
        """What the operation was counted to cost with these variables."""
        return self._cost(self._meter(document, _given(operation, variables)), document, operation)

    def _meter(self, document: DocumentNode, variables: Mapping[str, Any] | None) -> Meter:
        return Meter(self._schema, document, self._limits, self._weights, variables)

    def _sum(self, meter: Meter, operation: OperationDefinitionNode) -> Sum:
        return meter.measure(operation.selection_set.selections, self._schema.get_root_type(operation.operation), 1)

    def _cost(self, meter: Meter, document: DocumentNode, operation: OperationDefinitionNode) -> Cost:
        found = self._sum(meter, operation)
        above = [operation.directives, *(one.directives for one in operation.variable_definitions or ())]
        return Cost(
            requested=bounded(found.with_page(self._limits.list_size)),
            limit=self._limits.cost,
            tokens=document.token_count,
            depth=found.levels,
            root_fields=len(meter.response_names(operation.selection_set.selections)),
            aliases=bounded(found.aliases),
            directives=bounded(found.directives + sum(len(some or ()) for some in above)),
        )

    def _check(self, cost: Cost) -> None:
        limits = self._limits
        spread = ", fragments counted wherever they are spread"
        for measure, words, found, limit in (
            ("rootFields", "root fields", cost.root_fields, limits.root_fields),
            ("aliases", f"aliases{spread}", cost.aliases, limits.aliases),
            ("directives", f"directives{spread}", cost.directives, limits.directives),
        ):
            if found > limit:
                message = f"The operation has {found} {words}; at most {limit} are answered. Ask for less at once."
                raise TooComplex(measure, limit, message, found)
        self._check_cost(cost.requested)

    def _check_cost(self, found: int) -> None:
        limit = self._limits.cost
        if found > limit:
            message = f"The operation costs {bounded(found)}, each field counted for every item of its list; at most"
            raise TooComplex(
                "cost", limit, f"{message} {limit} is answered. Ask for shorter pages or fewer fields.", found
            )


def _given(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables with their defaults."""
    definitions = operation.variable_definitions or ()
    return {**{one.variable.name.value: one.default_value for one in definitions}, **variables}


def _weights(schema: GraphQLSchema) -> Mapping[tuple[str, str], int]:
    """Of the fields that cost more than 1, by the names of type and field."""
    return {
        (kind.name, name): weight
        for kind in schema.type_map.values()
        if is_object_type(kind) or is_interface_type(kind)
        for name, field in kind.fields.items()
        if (weight := declared(field, "weight")) is not None
    }

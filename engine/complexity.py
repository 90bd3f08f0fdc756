"""What a document may cost at most, measured in one pass before validation. Not what a field costs in SQL."""

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, OperationDefinitionNode
from graphql.language import SelectionNode

# The lists of the introspection types multiply when nested, and every schema serves them to anyone it serves at all.
_INTROSPECTION_LISTS = frozenset(
    {"types", "fields", "args", "inputFields", "interfaces", "possibleTypes", "enumValues", "directives"}
)
_INTROSPECTION_LIST_SIZE = 8


class TooComplex(Exception):
    """The document passes a limit; the message names it."""


def check_complexity(document: DocumentNode, max_depth: int, max_fields: int) -> None:
    """Raise `TooComplex` where an operation nests deeper than `max_depth` or selects more than `max_fields`.

    Fragments count wherever they are spread but are walked once, so the time is linear in the document: eighteen
    fragments that each spread the next one twice select 2^18 fields.
    """
    meter = _Meter(document, max_depth)
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            fields, _height = meter.measure(operation.selection_set.selections, 1, introspecting=False)
            if fields > max_fields:
                raise TooComplex(f"The operation selects more than {max_fields} fields, fragments counted in.")


class _Meter:
    def __init__(self, document: DocumentNode, max_depth: int) -> None:
        self._max_depth = max_depth
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measured: dict[str, tuple[int, int]] = {}
        self._open: set[str] = set()

    def measure(self, selections: tuple[SelectionNode, ...], level: int, *, introspecting: bool) -> tuple[int, int]:
        """The fields selected here and below, and how many levels that takes."""
        self._check_level(level)
        total = height = 0
        for selection in selections:
            fields, levels = self._measure_one(selection, level, introspecting)
            total += fields
            height = max(height, levels)
        return total, height + 1

    def _measure_one(self, selection: SelectionNode, level: int, introspecting: bool) -> tuple[int, int]:
        if isinstance(selection, FragmentSpreadNode):
            return self._measure_fragment(selection.name.value, level)
        name = selection.name.value if isinstance(selection, FieldNode) else ""
        introspecting = introspecting or name in ("__schema", "__type")
        fields = levels = 0
        nested = getattr(selection, "selection_set", None)
        if nested is not None:
            fields, levels = self.measure(nested.selections, level + 1, introspecting=introspecting)
        if introspecting and name in _INTROSPECTION_LISTS:
            fields *= _INTROSPECTION_LIST_SIZE
        return fields + bool(name), levels

    def _measure_fragment(self, name: str, level: int) -> tuple[int, int]:
        if name not in self._measured:
            fragment = self._fragments.get(name)
            if fragment is None or name in self._open:
                return 0, 0  # validation reports the missing fragment, and the cycle
            self._open.add(name)
            self._measured[name] = self.measure(
                fragment.selection_set.selections,
                level + 1,
                introspecting=fragment.type_condition.name.value.startswith("__"),
            )
            self._open.remove(name)
        fields, levels = self._measured[name]
        self._check_level(level + levels)
        return fields, levels

    def _check_level(self, level: int) -> None:
        if level > self._max_depth:
            raise TooComplex(f"The document nests deeper than {self._max_depth} levels, fragments counted in.")

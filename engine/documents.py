"""Text to a document that may run: parsed, measured, validated once and remembered. Not what it is run with."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    ValidationContext,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ASTValidationRule
from graphql.validation.validate import ValidationAbortedError
from strawberry import Schema
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from engine.answers import InputFault, Reason, Refused, refuse
from engine.complexity import TooComplex, check_complexity
from engine.strings import fault_of_surrogate, faults_of_literals

# Pairs of fields that validation compares before it gives up; the library's own 500,000 take half a second.
_MERGE_BUDGET = 100_000
_MAX_ERRORS = 5
_NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may be at most. GraphiQL's introspection: 183 tokens, 18 levels, 29,000 fields as counted."""

    characters: int = 50_000
    lines: int = 5_000
    tokens: int = 3_000
    depth: int = 40
    fields: int = 40_000
    remembered_tokens: int = 40_000  # about 0.4 kB of memory each


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document and its operations by name; None names the one without a name."""

    ast: DocumentNode
    operations: Mapping[str | None, OperationDefinitionNode]


class Documents:
    """The documents of one schema, the least recently used forgotten first."""

    def __init__(self, schema: Schema, limits: Limits, *, introspection: bool) -> None:
        self._schema = schema._schema  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
        self._limits = limits
        self._hide_suggestions = not introspection
        self._rules = _rules(introspection=introspection)
        self._remembered: OrderedDict[str, Document] = OrderedDict()
        self._remembered_tokens = 0

    def get(self, text: str) -> Document | Refused:
        """The document, or why it may not run."""
        document = self._remembered.get(text)
        if document is not None:
            self._remembered.move_to_end(text)
            return document
        checked = self._check(text)
        if isinstance(checked, Document):
            self._remember(text, checked)
        return checked

    def _check(self, text: str) -> Document | Refused:
        limits = self._limits
        if len(text) > limits.characters:
            return refuse(Reason.COMPLEXITY, f"The document is longer than {limits.characters} characters.")
        # Each location in an error costs a walk over the lines before it.
        if sum(1 for _ in _NEWLINE.finditer(text)) >= limits.lines:
            return refuse(Reason.COMPLEXITY, f"The document has more than {limits.lines} lines.")
        try:
            ast = parse(text, max_lexical_tokens=limits.tokens, max_comments=limits.tokens)
            check_complexity(ast, limits.depth, limits.fields)
        except GraphQLSyntaxError as error:
            fault = fault_of_surrogate(text, next(iter(error.positions or ()), 0))
            return Refused(Reason.INPUT, (error,), (fault,)) if fault else Refused(_reason(error), (error,))
        except TooComplex as error:
            return refuse(Reason.COMPLEXITY, str(error))
        faults: tuple[InputFault, ...] = faults_of_literals(ast) if "\0" in text or "\\u" in text else ()
        if faults:
            return Refused(Reason.INPUT, (GraphQLError("A string of the document cannot be stored."),), faults)
        return self._validate(ast)

    def _validate(self, ast: DocumentNode) -> Document | Refused:
        errors = validate(
            self._schema, ast, self._rules, max_errors=_MAX_ERRORS, hide_suggestions=self._hide_suggestions
        )
        if errors and all(isinstance(error, ValidationAbortedError) for error in errors):
            return refuse(Reason.COMPLEXITY, "The document selects the same fields too often, or nests too deep.")
        if errors:
            return Refused(Reason.VALIDATION, errors)
        operations = [node for node in ast.definitions if isinstance(node, OperationDefinitionNode)]
        return Document(ast, {node.name.value if node.name else None: node for node in operations})

    def _remember(self, text: str, document: Document) -> None:
        self._remembered[text] = document
        self._remembered_tokens += document.ast.token_count
        while self._remembered_tokens > self._limits.remembered_tokens:
            _text, forgotten = self._remembered.popitem(last=False)
            self._remembered_tokens -= forgotten.ast.token_count


class _BoundedMergeRule(OverlappingFieldsCanBeMergedRule):
    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = _MERGE_BUDGET


def _rules(*, introspection: bool) -> list[type[ASTValidationRule]]:
    rules: list[type[ASTValidationRule]] = [
        _BoundedMergeRule if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules
    ]
    rules += [MaybeNullValidationRule, OneOfInputValidationRule]  # as Strawberry adds them to every validation
    if not introspection:
        rules.append(NoSchemaIntrospectionCustomRule)
    return rules


def _reason(error: GraphQLSyntaxError) -> Reason:
    return Reason.COMPLEXITY if error.message.endswith("Parsing aborted.") else Reason.PARSE

"""Text to a document that may run: parsed, measured, validated once and remembered. Not what it is run with."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

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

from engine.answers import InputFault, Reason, Refused, refuse, refuse_too_complex
from engine.complexity import Complexity
from engine.limits import Cost, Limits, TooComplex, too_deep
from engine.plans import Planned
from engine.remembering import Remembered
from engine.strings import fault_of_surrogate, faults_of_literals

# Pairs of fields that validation compares before it gives up: 30 fragments of 12 fields, spread in one place, pass. The
# library's own 500,000 take half a second.
_MERGE_BUDGET = 20_000
_MAX_ERRORS = 5
# Measured: what a document, each of its tokens with the nodes made of it, and each error of a refusal take at most.
_DOCUMENT_BYTES = 20_000
_TOKEN_BYTES = 500
_REFUSAL_BYTES = 1_000
_NEWLINE = re.compile(r"\r\n|\n|\r")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The words that clients of Apollo's protocol look for.
_UNKNOWN = refuse(Reason.UNKNOWN_DOCUMENT, "PersistedQueryNotFound")
_MISMATCH = Refused(
    Reason.INPUT,
    (GraphQLError("provided sha does not match query"),),
    (InputFault("extensions.persistedQuery.sha256Hash", "provided sha does not match query: send that of the text."),),
)


@dataclass(slots=True)
class Document:
    """A valid document and its operations by name; None names the one without a name.

    `varies` where its cost hangs on the variables. `registered` once somebody has sent it together with its hash, so
    that the hash alone will do.
    """

    ast: DocumentNode
    operations: Mapping[str | None, OperationDefinitionNode]
    varies: bool
    planned: Planned
    registered: bool = False


class Documents:
    """The documents of one schema: what was checked lately is known by the SHA-256 of its text, refusals as well."""

    def __init__(self, schema: Schema, limits: Limits, *, introspection: bool) -> None:
        self._schema = schema._schema  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
        self._limits = limits
        self._complexity = Complexity(self._schema, limits)
        self._hide_suggestions = not introspection
        self._rules = _rules(introspection=introspection)
        self._remembered: Remembered[Document] = Remembered(limits.remembered_bytes)
        # Apart, so that a flood of refusals costs nobody a document.
        self._refusals: Remembered[Refused] = Remembered(limits.remembered_refusal_bytes)

    def get(self, text: str | None, sha256: str | None = None) -> Document | Refused:
        """The document, or why it may not run.

        With its SHA-256, in 64 lower-case hexadecimal digits, a valid document is registered under it as long as it is
        remembered, and is found by that alone then.
        """
        if text is None:
            return self._find_registered(sha256 or "")
        if len(text) > self._limits.characters:
            return refuse_too_complex(_too_long("characters", self._limits.characters, len(text)))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
        if sha256 is not None and sha256 != digest.hexdigest():
            return _MISMATCH
        key = digest.digest()
        document = self._remembered.get(key) or self._refusals.get(key) or self._check_first(key, text)
        if sha256 is not None and isinstance(document, Document):
            document.registered = True
        return document

    def _find_registered(self, sha256: str) -> Document | Refused:
        known = self._remembered.get(bytes.fromhex(sha256)) if _SHA256.fullmatch(sha256) else None
        return known if known is not None and known.registered else _UNKNOWN

    def _check_first(self, key: bytes, text: str) -> Document | Refused:
        checked = self._check(key, text)
        if isinstance(checked, Document):
            self._remembered.put(key, checked, _size_of_document(text, checked))
            return checked
        refused = _without_source(checked)
        self._refusals.put(key, refused, _size_of_refusal(refused))
        return refused

    def weigh(
        self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> Refused | None:
        """Why the operation costs too much with these variables; None where it does not."""
        if document.varies:
            try:
                self._complexity.check_values(document.ast, operation, variables)
            except TooComplex as error:
                return refuse_too_complex(error)
        return None

    def cost(self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Cost:
        """What the operation was counted to cost with these variables."""
        return self._complexity.cost(document.ast, operation, variables)

    def _check(self, key: bytes, text: str) -> Document | Refused:
        limits = self._limits
        # Each location in an error costs a walk over the lines before it.
        lines = 1 + sum(1 for _ in _NEWLINE.finditer(text))
        if lines > limits.lines:
            return refuse_too_complex(_too_long("lines", limits.lines, lines))
        try:
            ast = parse(text, max_lexical_tokens=limits.tokens, max_comments=limits.tokens)
            varies = self._complexity.check(ast)
        except GraphQLSyntaxError as error:
            return self._refuse_syntax(text, error)
        except TooComplex as error:
            return refuse_too_complex(error)
        faults: tuple[InputFault, ...] = faults_of_literals(ast) if "\0" in text or "\\u" in text else ()
        if faults:
            return Refused(Reason.INPUT, (GraphQLError("A string of the document cannot be stored."),), faults)
        return self._validate(key, ast, varies=varies)

    def _refuse_syntax(self, text: str, error: GraphQLSyntaxError) -> Refused:
        if error.message.endswith("Parsing aborted."):
            for measure in ("tokens", "comments"):
                if f" {measure}. " in error.message:
                    return refuse_too_complex(_too_long(measure, self._limits.tokens))
            return refuse_too_complex(too_deep(self._limits.depth))
        fault = fault_of_surrogate(text, next(iter(error.positions or ()), 0))
        return Refused(Reason.INPUT, (error,), (fault,)) if fault else Refused(Reason.PARSE, (error,))

    def _validate(self, key: bytes, ast: DocumentNode, *, varies: bool) -> Document | Refused:
        errors = validate(
            self._schema, ast, self._rules, max_errors=_MAX_ERRORS, hide_suggestions=self._hide_suggestions
        )
        if errors and all(isinstance(error, ValidationAbortedError) for error in errors):
            message = "The document selects the same fields too often, or nests too deep. Select each of them once."
            return refuse_too_complex(TooComplex("comparisons", _MERGE_BUDGET, message))
        if errors:
            return Refused(Reason.VALIDATION, errors)
        operations = [node for node in ast.definitions if isinstance(node, OperationDefinitionNode)]
        by_name = {node.name.value if node.name else None: node for node in operations}
        return Document(ast, by_name, varies, Planned(partial(self._remembered.grow, key)))


def _too_long(measure: str, limit: int, requested: int | None = None) -> TooComplex:
    message = f"The document has more than {limit} {measure}. Ask for less at once, or send values as variables."
    return TooComplex(measure, limit, message, requested)


def _size_of_document(text: str, document: Document) -> int:
    """The memory it holds, from above: its nodes, the tokens of the source and the source, to which the nodes point.

    The source counts twice, as the values of its strings and comments are copies.
    """
    return _DOCUMENT_BYTES + document.ast.token_count * _TOKEN_BYTES + 2 * sys.getsizeof(text)


def _size_of_refusal(refused: Refused) -> int:
    texts = [error.message for error in refused.errors]
    texts += [part for fault in refused.faults for part in fault]
    return _REFUSAL_BYTES + sum(_REFUSAL_BYTES + sys.getsizeof(text) for text in texts)


def _without_source(refused: Refused) -> Refused:
    """The same refusal; its errors know their places, but do not keep the document alive."""
    errors = []
    for error in refused.errors:
        light = GraphQLError(error.message, extensions=error.extensions)
        light.locations = error.locations
        errors.append(light)
    return Refused(refused.reason, tuple(errors), refused.faults)


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

"""The engine's one door: a request in, an answer out. How an operation runs is for its plan, or for graphql-core."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, OperationType
from graphql.execution import Executor
from graphql.execution.values import VariableValues
from strawberry import Schema
from strawberry.execution import optimized_is_awaitable

from engine.answers import Answer, Executed, InputFault, Reason, Refused, refuse, refuse_too_complex
from engine.bounded import Bounded, TooManyFieldsError
from engine.documents import Document, Documents
from engine.inputs import quicken
from engine.limits import Limits
from engine.plans import MAX_INPUT_ERRORS, Composer, Foresee, Planner
from engine.strings import unstorable_strings

_VARIABLE_ERROR = re.compile(r"Variable '\$(\w+)' has invalid value(?: at (\S+))?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks, of any transport.

    `sha256` is that of the document, in lower-case hexadecimal, where the client says it: it is checked, and a valid
    document is registered under it. Without `query` it stands for the document registered so (Apollo's automatic
    persisted queries). With `report_cost` the answer tells what the operation was counted to cost.
    """

    query: str | None
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    report_cost: bool = False


class Engine:
    """Answers requests to one schema.

    Strawberry's schema extensions and operation directives do not run here, so a schema that has some is refused.
    With `compiled` an operation that comes again runs as a plan: the same answer, sooner. A `composer` answers fields
    of plans whole, such as that of `engine.sql`. `foresee` is told, with the context and before anything runs, what the
    fields of a plan declare as their `NEEDS`, and which page of the root the composer will be asked for. `on_fallback`
    is told why graphql-core answers what no plan can, once for each document and reason.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        limits: Limits | None = None,
        introspection: bool = True,
        compiled: bool = True,
        composer: Composer | None = None,
        foresee: Foresee | None = None,
        on_fallback: Callable[[str], None] | None = None,
    ) -> None:
        if schema.get_extensions():
            raise TypeError(
                "The engine runs no schema extensions or operation directives; build the schema without them."
            )
        self._schema = schema._schema  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
        self._executor: type[Executor[Any]] = type("BoundedExecutor", (Bounded, schema.execution_context_class), {})
        self._hide_suggestions = not introspection
        limits = limits or Limits()
        self._max_fields = limits.executed_fields
        self._foresee = foresee
        self._documents = Documents(schema, limits, introspection=introspection)
        if compiled:
            quicken(schema)
        self._planner = (
            Planner(schema, hide_suggestions=self._hide_suggestions, composer=composer, on_fallback=on_fallback)
            if compiled
            else None
        )

    @property
    def fallbacks(self) -> Counter[str]:
        """How many requests graphql-core answered because no plan can, by the reason; first uses do not count."""
        return self._planner.fallbacks if self._planner else Counter()

    async def execute(
        self,
        request: GraphQLRequest,
        context: object,
        *,
        root: object = None,
        operations: Collection[OperationType] = (OperationType.QUERY, OperationType.MUTATION),
    ) -> Answer:
        """Run the operation meant, if its type is one of `operations`; everything is checked before anything runs.

        Only that the answer is larger than it was taken for shows later: it is cut off then, and refused all the same.
        Cancelling is safe: when the CancelledError leaves, no resolver of the request is running any more.
        """
        document = self._documents.get(request.query, request.sha256)
        if isinstance(document, Refused):
            return document
        operation = _choose(document, request.operation_name)
        if isinstance(operation, Refused):
            return operation
        if operation.operation not in operations:
            return refuse(Reason.OPERATION_TYPE, f"A {operation.operation.value} cannot be answered here.")
        if request.variables or document.varies:
            refused = self._refusal_of_values(document, operation, request.variables)
            if refused is not None:
                return refused
        try:
            running = self._run(document, operation, request, root, context)
            answer = running if isinstance(running, Refused) else await running
        except TooManyFieldsError as error:
            return refuse_too_complex(error)
        return self._with_cost(answer, document, operation, request.variables) if request.report_cost else answer

    def _run(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        request: GraphQLRequest,
        root: object,
        context: object,
    ) -> Refused | Awaitable[Answer]:
        plan = None
        if self._planner is not None:
            plan = self._planner.plan(document.planned, document.ast, operation, request.variables)
        if plan is None:
            return self._run_uncompiled(document, request, root, context)
        variables = VariableValues({}, {})
        if operation.variable_definitions:
            coerced = plan.variables.coerce(request.variables)
            if isinstance(coerced, list):
                return _refuse_input(coerced)
            variables = coerced
        return plan.run(
            root,
            context,
            variables=variables,
            extensions=request.extensions,
            max_fields=self._max_fields,
            foresee=self._foresee,
        )

    async def _run_uncompiled(
        self, document: Document, request: GraphQLRequest, root: object, context: object
    ) -> Answer:
        executor = self._executor.build(
            self._schema,
            document.ast,
            root,
            context,
            cast("dict[str, Any]", request.variables),
            request.operation_name,
            max_coercion_errors=MAX_INPUT_ERRORS,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=self._hide_suggestions,
            operation_extensions=request.extensions,
            max_fields=self._max_fields,
        )
        if isinstance(executor, list):
            return _refuse_input(executor)
        try:
            result = executor.execute_operation()
            if optimized_is_awaitable(result):
                result = await cast("Awaitable[ExecutionResult]", result)
        finally:
            await cast("Bounded", executor).settle()
        finished = cast("ExecutionResult", result)
        return Executed(finished.data, finished.errors or ())

    def _with_cost(
        self, answer: Answer, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> Answer:
        if isinstance(answer, Refused):
            return answer
        return answer._replace(cost=self._documents.cost(document, operation, variables))

    def _refusal_of_values(
        self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> Refused | None:
        faults = unstorable_strings(variables)
        if faults:
            return Refused(Reason.INPUT, (GraphQLError("A value of the variables cannot be taken."),), faults)
        return self._documents.weigh(document, operation, variables)


def _choose(document: Document, name: str | None) -> OperationDefinitionNode | Refused:
    """The operation to run (GraphQL specification, section 6.1, GetOperation)."""
    if name is None and len(document.operations) == 1:
        return next(iter(document.operations.values()))
    if name is None:
        return refuse(Reason.OPERATION, "The document has several operations: say which one by operationName.")
    chosen = document.operations.get(name)
    return chosen or refuse(Reason.OPERATION, f"The document has no operation named {name[:100]!r}.")


def _refuse_input(errors: list[GraphQLError]) -> Refused:
    return Refused(Reason.INPUT, errors, tuple(map(_fault, errors)))


def _fault(error: GraphQLError) -> InputFault:
    match = _VARIABLE_ERROR.match(error.message)
    if match is None:
        return InputFault("variables", error.message)
    name, path, message = match.groups()
    return InputFault(name + (path or ""), message)

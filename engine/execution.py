"""The engine's one door: a request in, an answer out. Execution itself is graphql-core's, by Strawberry's executor."""

import asyncio
import re
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, OperationType
from graphql.execution import Executor
from strawberry import Schema
from strawberry.execution import optimized_is_awaitable

from engine.answers import Answer, Executed, InputFault, Reason, Refused, refuse
from engine.documents import Document, Documents
from engine.limits import Limits
from engine.strings import unstorable_strings

_MAX_INPUT_ERRORS = 20
_VARIABLE_ERROR = re.compile(r"Variable '\$(\w+)' has invalid value(?: at (\S+))?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks, of any transport."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)


class Engine:
    """Answers requests to one schema.

    Strawberry's schema extensions and operation directives do not run here, so a schema that has some is refused.
    """

    def __init__(self, schema: Schema, *, limits: Limits | None = None, introspection: bool = True) -> None:
        if schema.get_extensions():
            raise TypeError(
                "The engine runs no schema extensions or operation directives; build the schema without them."
            )
        self._schema = schema._schema  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
        self._executor: type[Executor[Any]] = type("BoundedExecutor", (_Bounded, schema.execution_context_class), {})
        self._hide_suggestions = not introspection
        limits = limits or Limits()
        self._max_fields = limits.executed_fields
        self._documents = Documents(schema, limits, introspection=introspection)

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
        document = self._documents.get(request.query)
        if isinstance(document, Refused):
            return document
        operation = _choose(document, request.operation_name)
        if isinstance(operation, Refused):
            return operation
        if operation.operation not in operations:
            return refuse(Reason.OPERATION_TYPE, f"A {operation.operation.value} cannot be answered here.")
        refused = self._refusal_of_values(document, operation, request.variables)
        if refused is not None:
            return refused
        executor = self._executor.build(
            self._schema,
            document.ast,
            root,
            context,
            cast("dict[str, Any]", request.variables),
            request.operation_name,
            max_coercion_errors=_MAX_INPUT_ERRORS,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=self._hide_suggestions,
            operation_extensions=request.extensions,
            max_fields=self._max_fields,
        )
        if isinstance(executor, list):
            return Refused(Reason.INPUT, executor, tuple(map(_fault, executor)))
        return await _run(executor)

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


async def _run(executor: Executor[Any]) -> Answer:
    try:
        result = executor.execute_operation()
        if optimized_is_awaitable(result):
            result = await cast("Awaitable[ExecutionResult]", result)
    except _TooManyFieldsError as error:
        return refuse(Reason.COMPLEXITY, str(error))
    finally:
        await cast("_Bounded", executor).settle()
    finished = cast("ExecutionResult", result)
    return Executed(finished.data, finished.errors or ())


def _fault(error: GraphQLError) -> InputFault:
    match = _VARIABLE_ERROR.match(error.message)
    if match is None:
        return InputFault("variables", error.message)
    name, path, message = match.groups()
    return InputFault(name + (path or ""), message)


class _TooManyFieldsError(Exception):
    """The operation turned out to select more fields than one may."""


class _Bounded(Executor[Any]):
    """Stops at a number of fields, and knows which resolvers are still at work.

    graphql-core leaves some behind: the siblings of a field that failed at once run on after the answer, and those of
    a cancelled list or object are told to stop but not waited for.
    """

    def __init__(self, *args: Any, max_fields: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_fields = max_fields
        self._fields = 0
        self._working: set[asyncio.Future[Any]] = set()

    def execute_collected_subfields(
        self, parent: Any, source: Any, path: Any, grouped_field_set: Mapping[str, Any], *args: Any
    ) -> Any:
        self._fields += len(grouped_field_set)
        if self._fields > self._max_fields:
            raise _TooManyFieldsError(
                f"The answer has more than {self._max_fields} fields and was cut off; ask for less."
            )
        return super().execute_collected_subfields(parent, source, path, cast("Any", grouped_field_set), *args)

    def handle_field_error(self, raw_error: Exception, *args: Any) -> None:
        if isinstance(raw_error, _TooManyFieldsError):
            raise raw_error  # the end of the whole operation, where others only end their field
        super().handle_field_error(raw_error, *args)

    async def complete_awaitable_value(self, *args: Any) -> Any:
        self._working.add(_current_task())
        return await super().complete_awaitable_value(*args)

    async def complete_awaitable_list_item_value(self, *args: Any) -> Any:
        self._working.add(_current_task())
        return await super().complete_awaitable_list_item_value(*args)

    async def settle(self) -> None:
        """Stop what still runs and wait until it has stopped."""
        if self.background_futures:
            await asyncio.sleep(0)  # what is stopped before it began leaves a coroutine that nobody awaited
            for abandoned in tuple(self.background_futures):
                abandoned.cancel()
        own = _current_task()
        while left := {work for work in self._working | self.background_futures if work is not own and not work.done()}:
            for work in left:
                # Once only: to cancel again would interrupt the rollback that the first time set off.
                if isinstance(work, asyncio.Task) and not work.cancelling():
                    work.cancel()
            await asyncio.wait(left)


def _current_task() -> asyncio.Future[Any]:
    return cast("asyncio.Future[Any]", asyncio.current_task())

"""Fields that permission classes guard, and nothing else: the same checks, without the chain of calls around them."""

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from strawberry.exceptions import PermissionReturnedNonBooleanError
from strawberry.execution import optimized_is_awaitable as is_awaitable
from strawberry.permission import BasePermission, PermissionExtension
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from engine.inputs import Arguments
from engine.plans.info import info_maker

Guarded = Callable[[Any, Any, Mapping[str, Any]], Any]
"""From the source, the info and the arguments as graphql-core has them to what the resolver returns, or leads to it."""


AT_ONCE = "at_once"
"""In the `metadata` of a field whose permissions are all `QuickPermission`s: an `AtOnce`."""
LATER = object()
"""Says that the resolver has to be asked, which may wait."""


class AtOnce(NamedTuple):
    """How a field is answered without its resolver: the same, or `LATER`.

    `read` makes of the arguments what is asked for, and raises as the resolver would; `answer` makes the value of that,
    given `info` and it. Used where the field is alone: beside others, which errors are told hangs on how long each of
    them takes.
    """

    read: Callable[..., Any]
    answer: Callable[[Any, Any], Any]


@runtime_checkable
class QuickPermission(Protocol):
    """A permission that may know without waiting."""

    def has_permission_at_once(self, source: Any, info: Any) -> bool | None:
        """True or an error where `has_permission` would come to that; anything else where that has to be asked."""


def guarded(declared: StrawberryField, converter: GraphQLCoreConverter, *, alone: bool) -> Guarded | None:
    """What resolves the field as `PermissionExtension.resolve_async` does; None where there is more to it.

    `alone`: no other field runs at the same time.
    """
    resolver, extension = declared.base_resolver, _only_guard(declared)
    if resolver is None or extension is None or not isinstance(resolver.wrapped_func, FunctionType):
        return None
    named = resolver.info_parameter
    if resolver.parent_parameter or resolver.root_parameter or (named is not None and named.name != "info"):
        return None  # which permissions would be told of as well
    function: Callable[..., Any] = resolver.wrapped_func
    if not inspect.iscoroutinefunction(function):
        return None
    make_info, arguments = info_maker(converter.config.info_class), Arguments(declared, converter)
    with_source, with_info = resolver.self_parameter is not None, named is not None
    permissions = tuple(extension.permissions)
    quick = [one.has_permission_at_once if isinstance(one, QuickPermission) else None for one in permissions]
    way: AtOnce | None = declared.metadata.get(AT_ONCE)
    # Who has a way at once is asked there.
    checks = tuple(zip(permissions, quick if alone and way is None else [None] * len(quick), strict=True))

    async def ask(source: Any, raw_info: Any, given: Mapping[str, Any]) -> Any:
        info: Any = make_info(raw_info, declared)
        told = arguments.convert(given, info) if given else {}
        for permission, at_once in checks:
            if at_once is not None and at_once(source, info) is True:
                continue
            verdict: Any = permission.has_permission(source, info, **told)
            if is_awaitable(verdict):
                verdict = await verdict
            if verdict is not True and not _allowed(permission, verdict):
                return extension._on_unauthorized(permission)  # noqa: SLF001 - as its own `resolve_async`
        if with_info:
            told["info"] = info
        return await (function(source, **told) if with_source else function(**told))

    known = [at_once for at_once in quick if at_once is not None]
    if way is None or not alone or len(known) < len(permissions):
        return ask
    read, answer = way

    def tell(source: Any, raw_info: Any, given: Mapping[str, Any]) -> Any:
        info: Any = make_info(raw_info, declared)
        for at_once in known:
            if at_once(source, info) is not True:
                return ask(source, raw_info, given)
        ahead = raw_info.ahead
        value = answer(info, read(**arguments.convert(given, info)) if ahead is None else ahead.asked)
        return ask(source, raw_info, given) if value is LATER else value

    return tell


def _only_guard(declared: StrawberryField) -> PermissionExtension | None:
    """The extension of the field, if it is one of permissions and its only one."""
    if len(declared.extensions) != 1:
        return None
    (extension,) = declared.extensions
    return extension if type(extension) is PermissionExtension else None


def _allowed(permission: BasePermission, verdict: Any) -> bool:
    """As Strawberry has it: only a real boolean decides."""
    if isinstance(verdict, bool):
        return verdict
    if inspect.iscoroutine(verdict):
        verdict.close()
    raise PermissionReturnedNonBooleanError(permission, verdict)

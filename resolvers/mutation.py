"""The way of every mutation, in one place (CONTRACT section 7). What a mutation does is for its rule in domain."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple, get_args, get_type_hints

import strawberry
from strawberry.permission import BasePermission

import clock
import domain
import errors
from auth.permissions import WithinTier
from db import queries
from db.models import IdempotencyRecord
from db.session import Session, wrote
from domain.actor import Actor
from domain.plans import Plans
from domain.refusal import Refused
from errors import Faults
from resolvers.turns import Turns
from schema.context import Info, Services
from schema.inputs import MutationInput
from schema.payloads import Payload

KEPT_FOR = timedelta(hours=24)
TWIN_WAIT_SECONDS = 10.0

WRITES_AT_ONCE = 3
"""Transactions that one account may have under way in a process."""
_TURNS = Turns(WRITES_AT_ONCE)

_Effect = Callable[..., Awaitable[Payload | Refused]]
_TakeEffect = Callable[["Work"], Awaitable[Payload | Refused]]
_Prepare = Callable[[Actor, Any, Faults], AbstractAsyncContextManager[Any]]


class Work(NamedTuple):
    """What the effect of a mutation gets: the caller, the transaction that ends with it, and what was prepared."""

    session: Session
    actor: Actor
    services: Services
    prepared: Any

    @property
    def plans(self) -> Plans:
        return self.services.plans


def mutation(
    *guards: type[BasePermission],
    description: str,
    prepare: _Prepare = lambda _actor, _input, _faults: nullcontext(),
    alone: Callable[[Any], bool] = lambda _prepared: False,
) -> Callable[[_Effect], Any]:
    """Declare a root field: `async def field(self, work: Work, input: XInput) -> XPayload`, or `-> XPayload | Refused`.

    Guards (credential, account, invite or scope) come first, then the check of the input, then one transaction with
    the idempotency look-up, the guards `within_tier`, the effect and its record. An effect that raises leaves nothing
    behind; one that returns `Refused` leaves its evidence.

    `prepare` is for the part of a check that takes its time, such as reading a file (`resolvers.reading`): it is
    entered before the transaction and only for an input without faults so far, adds those it finds, and what it yields
    is `work.prepared`. It is left when the work is done.

    `alone` says of what was prepared whether the effect writes in one prepared statement, which needs no transaction
    around it where there is no idempotency key.
    """
    gates = [guard.feature for guard in guards if issubclass(guard, WithinTier)]
    first = [guard for guard in guards if not issubclass(guard, WithinTier)]

    def declare(effect: _Effect) -> Any:
        hints = get_type_hints(effect)
        answers = get_args(hints["return"]) or (hints["return"],)
        (payload_type,) = (answer for answer in answers if answer is not Refused)

        async def resolve(self: Any, info: Info, input: MutationInput) -> Payload:
            actor = await info.context.caller.actor()

            async def take_effect(work: Work) -> Payload | Refused:
                for feature in gates:
                    await domain.usage.require(work.session, work.plans, work.actor, feature)
                result = await effect(self, work, input)
                if not isinstance(result, Refused):
                    for feature in gates:
                        domain.usage.require_spent(work.session, work.plans, feature)
                return result

            faults = Faults()
            input.find_faults(faults)
            faults.check()
            async with prepare(actor, input, faults) as prepared:
                faults.check()
                single = input.idempotency_key is None and alone(prepared)
                attempt = _Attempt(effect.__name__, input, actor, info.context.services, payload_type, prepared, single)
                result = await attempt.outcome(take_effect)
            info.context.forget()
            if isinstance(result, Refused):
                raise result.error
            return result

        resolve.__name__ = effect.__name__
        resolve.__annotations__ = {"info": Info, "input": hints["input"], "return": payload_type}
        return strawberry.mutation(resolver=resolve, permission_classes=first, description=description)

    return declare


class _Attempt(NamedTuple):
    """One call of a mutation by one caller."""

    field: str
    input: MutationInput
    actor: Actor
    services: Services
    payload_type: type[Payload]
    prepared: Any
    alone: bool

    async def outcome(self, effect: _TakeEffect) -> Payload | Refused:
        """Do the work, or return what it came to before; a twin at work under the same key is waited for."""
        key = self.input.idempotency_key
        if key is not None:
            return await self._outcome_once(effect, key)
        async with _TURNS.of(self.actor.user_id), self.services.database.transaction(alone=self.alone) as session:
            return await self._done(effect, session)

    async def _outcome_once(self, effect: _TakeEffect, key: str) -> Payload | Refused:
        caller = self.actor.user_id
        deadline, pause = time.monotonic() + TWIN_WAIT_SECONDS, 0.02
        while True:
            async with _TURNS.of(caller), self.services.database.transaction() as session:
                ours = await queries.idempotency.claim(session, caller, self.field, key)
                # Looked up by those who wait as well: once it is there, none of them needs the claim any more.
                earlier = await self._earlier(session, key)
                if earlier is not None:
                    return earlier
                if ours:
                    result = await self._done(effect, session)
                    if not isinstance(result, Refused):
                        await self._record(session, key, result)
                    return result
            # Waiting outside the transaction: however many twins there are, they hold no connection of the pool.
            if time.monotonic() > deadline:
                raise errors.Conflict("The same request is still being worked on. Retry with the same key in a moment.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _done(self, effect: _TakeEffect, session: Session) -> Payload | Refused:
        wrote(session, self.actor.user_id)
        return await effect(Work(session, self.actor, self.services, self.prepared))

    async def _earlier(self, session: Session, key: str) -> Payload | None:
        record = await queries.idempotency.record_of(session, self.actor.user_id, self.field, key, clock.now())
        if record is None:
            return None
        if record.input_digest != self.input.digest():
            raise errors.IdempotencyKeyReused("This idempotency key was used with another input. Take a new key.")
        return self.payload_type.replay(record.outcome)

    async def _record(self, session: Session, key: str, payload: Payload) -> None:
        now = clock.now()
        await queries.idempotency.forget_expired(session, self.actor.user_id, now)
        session.add(
            IdempotencyRecord(
                user_id=self.actor.user_id,
                field=self.field,
                key=key,
                input_digest=self.input.digest(),
                outcome=payload.outcome(),
                created_at=now,
                expires_at=now + KEPT_FOR,
            )
        )

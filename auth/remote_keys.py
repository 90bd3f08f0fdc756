"""The keys an issuer publishes, cached: when they are fetched, how long they count. What a key is stands in keys."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import httpx
import structlog

import clock
from auth.keys import Key, keys_of, select
from errors import ServiceUnavailable
from integrations.issuers import FetchFailed, KeyAddress, fetch_json, max_age

log = structlog.stdlib.get_logger(__name__)

FETCH_TIMEOUT = 5.0
"""Seconds for one refresh in all, discovery included."""
FRESH_FOR = 600.0
"""Seconds a key set counts as fresh when its answer does not say; what it says is held between the next two."""
FRESH_AT_LEAST, FRESH_AT_MOST = 60.0, 3600.0
COOL_DOWN = 10.0
"""Seconds between two fetches, whatever tokens ask for; counted from the end of the last, also of a failed one."""
UNKNOWN_FOR = 30.0
"""Seconds for which a `kid` that a fetch did not bring causes no further fetch."""
MAX_UNKNOWN = 1000


class RemoteKeys:
    """A `KeySource` over HTTP.

    Fresh keys are served from memory. Stale ones are too, while one refresh runs that nobody waits for; when it fails
    they go on being served, for as long as the outage lasts. A `kid` that is not there is looked for by one fetch that
    all askers share. A set that was fetched well replaces the old one, also an empty set: that is how keys are
    withdrawn, and how Supabase answers for a project that signs by secret.
    """

    def __init__(self, http: httpx.AsyncClient, issuer: str, jwks_url: str | None = None) -> None:
        """Without `jwks_url` the address is found by discovery, at the first need."""
        self._http = http
        self._issuer = issuer
        self._address = KeyAddress(http, issuer, jwks_url)
        self.version = 0
        self._keys: tuple[Key, ...] | None = None
        self._fetched_at = 0.0
        self._fresh_for = 0.0
        self._tried_at: float | None = None
        self._unknown: OrderedDict[tuple[str, str | None], float] = OrderedDict()
        self._refresh: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None, *, other_than: Sequence[Key] = ()) -> Sequence[Key]:
        """See `KeySource`. Waits for at most one fetch; `ServiceUnavailable` while there was never a key set."""
        if self._keys is None:
            await self._finish(self._begin())
        elif not _is_within(self._fetched_at, self._fresh_for):
            self._begin()
        if self._keys is None:
            raise ServiceUnavailable(
                f"The signing keys of {self._issuer} cannot be fetched now; try again in {COOL_DOWN:.0f} seconds."
            )
        found = select(self._keys, algorithm, kid, other_than)
        if found or self._is_known_missing(algorithm, kid) or (refresh := self._begin()) is None:
            return found
        await self._finish(refresh)
        found = select(self._keys, algorithm, kid, other_than)
        if not found:
            self._remember_missing(algorithm, kid)
        return found

    async def aclose(self) -> None:
        """Cancel a refresh that is running."""
        if self._refresh is not None and not self._refresh.done():
            self._refresh.cancel()
            await asyncio.wait({self._refresh})

    def _begin(self) -> asyncio.Task[None] | None:
        """The refresh that is running, or a new one; None while it is too early for one."""
        if self._refresh is None or self._refresh.done():
            if self._tried_at is not None and _is_within(self._tried_at, COOL_DOWN):
                return None
            self._refresh = asyncio.create_task(self._fetch(), name=f"keys of {self._issuer}")
        return self._refresh

    async def _finish(self, refresh: asyncio.Task[None] | None) -> None:
        if refresh is None:
            return
        # Not awaited directly: a request that is cancelled would take the fetch of all the others with it.
        await asyncio.wait({refresh})
        if not refresh.cancelled():
            refresh.result()  # a failed fetch is no exception here; what raises is a fault of ours and must be seen

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                document, headers = await fetch_json(self._http, await self._address.url())
            keys = keys_of(document)
        except (FetchFailed, TimeoutError, ValueError) as error:
            self._address.doubt()
            reason = str(error) or f"no answer within {FETCH_TIMEOUT:.0f} seconds"
            log.warning("signing keys not refreshed", issuer=self._issuer, reason=reason, kept=self._keys is not None)
            return
        finally:
            self._tried_at = clock.now().timestamp()
        if keys != self._keys:
            self.version += 1
            self._unknown.clear()
            log.info("signing keys fetched", issuer=self._issuer, count=len(keys))
        age = max_age(headers)
        self._keys = keys
        self._fetched_at = self._tried_at
        self._fresh_for = FRESH_FOR if age is None else min(max(float(age), FRESH_AT_LEAST), FRESH_AT_MOST)

    def _is_known_missing(self, algorithm: str, kid: str | None) -> bool:
        since = self._unknown.get((algorithm, kid))
        return since is not None and _is_within(since, UNKNOWN_FOR)

    def _remember_missing(self, algorithm: str, kid: str | None) -> None:
        self._unknown[algorithm, kid] = clock.now().timestamp()
        self._unknown.move_to_end((algorithm, kid))
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)


def _is_within(since: float, seconds: float) -> bool:
    # A clock that was set back must not freeze the keys: a moment in the future is no moment to count from.
    return 0 <= clock.now().timestamp() - since < seconds

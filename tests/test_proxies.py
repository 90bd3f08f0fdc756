"""What a proxy says of its client counts where it is trusted, and where an address is made of it."""

import httpx
import pytest
from starlette.applications import Starlette

SAID = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


async def asked(app: Starlette, path: str, *, peer: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gatehouse.test") as client:
        return await client.get(path, headers=SAID)


@pytest.mark.parametrize(("peer", "scheme"), [("203.0.113.7", "http"), ("127.0.0.1", "https")])
async def test_a_redirect_keeps_the_scheme_that_a_trusted_proxy_tells(app: Starlette, peer: str, scheme: str) -> None:
    response = await asked(app, "/health/", peer=peer)
    assert (response.status_code, response.headers["location"]) == (307, f"{scheme}://gatehouse.test/health")


@pytest.mark.parametrize(("peer", "scheme"), [("203.0.113.7", "http"), ("127.0.0.1", "https")])
async def test_so_do_the_addresses_of_the_local_issuer(app: Starlette, peer: str, scheme: str) -> None:
    paths = [getattr(route, "path", "") for route in app.routes]
    (path, *_) = [path for path in paths if path.endswith("/.well-known/openid-configuration")]
    response = await asked(app, path, peer=peer)
    assert response.json()["jwks_uri"].startswith(f"{scheme}://gatehouse.test/")

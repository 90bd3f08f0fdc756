"""Keys, tokens and an HTTP server that play the issuers; what is expected of the verifier stands in the tests."""

import asyncio
import base64
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

import clock
from auth.keys import keys_of, select

CLERK = "https://clerk.example.test"
SUPABASE = "https://project.supabase.test/auth/v1"
OIDC = "https://id.example.test/"
SECRET = "a shared secret of more than thirty-two bytes"
PARTY = "https://app.example.test"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The RSA key of this name, the same in all tests of a process."""
    return _rsa_key(name, bits)


@functools.cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """The one EC key."""
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: PrivateKey, kid: str | None = "k1", **members: Any) -> dict[str, Any]:
    """The public JWK of `key`."""
    if isinstance(key, rsa.RSAPrivateKey):
        shape = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        shape = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**shape, **({} if kid is None else {"kid": kid}), **members}


def jwks(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def times(lives: int = 60, since: int = 0) -> dict[str, int]:
    now = int(clock.now().timestamp())
    return {"iat": now + since, "exp": now + since + lives}


def clerk_claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": CLERK, "sub": "user_3XRj", "sid": "sess_1xTS", "azp": PARTY, "v": 2, "sts": "active", **times()}
    return changed(claims, changes)


def supabase_claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": SUPABASE, "sub": "5f0c1f7e-2b1d-4c1a-9a53-0f1a2b3c4d5e", "aud": "authenticated", **times(3600)}
    return changed({**claims, "role": "authenticated", "email": "ada@example.test", "is_anonymous": False}, changes)


def oidc_claims(**changes: Any) -> dict[str, Any]:
    return changed({"iss": OIDC, "sub": "auth0|1", "aud": "our-api", **times(3600)}, changes)


def changed(claims: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`claims` with `changes`; what is changed to ... goes."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def token(
    claims: Mapping[str, Any], key: PrivateKey | str | None = None, algorithm: str = "RS256", **header: Any
) -> str:
    """A token signed by PyJWT; `kid` is k1 unless changed, `kid=...` leaves it out."""
    return jwt.encode(
        dict(claims), key or rsa_key(), algorithm, headers=changed({"kid": "k1"}, header), sort_headers=False
    )


def raw_token(header: Any, payload: Any, sign: Callable[[bytes], bytes] = lambda _: b"\x00") -> str:
    """A token of whatever parts, objects as JSON and bytes as they are, for what PyJWT would not write."""
    segments = [encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)]
    signature = encoded(sign(".".join(segments).encode()))
    return ".".join([*segments, signature])


def rs256(message: bytes, key: rsa.RSAPrivateKey | None = None) -> bytes:
    """The signature over a message, by rsa_key() unless told otherwise."""
    return RSAAlgorithm(RSAAlgorithm.SHA256).sign(message, key or rsa_key())


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class FixedKeys:
    """A `KeySource` of the JWKs given, without any network; counts how often it was asked."""

    def __init__(self, *jwks: Mapping[str, Any]) -> None:
        self.version = 0
        self.asked = 0
        self.put(*jwks)

    def put(self, *jwks: Mapping[str, Any]) -> None:
        self._keys = keys_of({"keys": [dict(each) for each in jwks]})
        self.version += 1

    async def find(self, algorithm: str, kid: str | None, *, other_than: Any = ()) -> Any:
        self.asked += 1
        return select(self._keys, algorithm, kid, other_than)

    async def aclose(self) -> None:
        """Nothing runs."""


@dataclass
class Answer:
    """What the server says at a path. `wait` holds the answer back until it is set."""

    body: bytes = b""
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    wait: asyncio.Event | None = None
    drip: float = 0.0
    """Seconds between single bytes of the body."""


class FakeIssuer:
    """An HTTP server on the loopback whose answers can be changed while it runs; `fetches` counts them by path."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Answer] = {}
        self.fetches: Counter[str] = Counter()
        self.asked = asyncio.Event()

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    def publish(self, *keys: Mapping[str, Any], **headers: str) -> None:
        self.answers["/jwks"] = Answer(jwks(*keys), headers={k.replace("_", "-"): v for k, v in headers.items()})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode()
            self.fetches[path] += 1
            self.asked.set()
            await _write(self.answers.get(path, Answer(status="404 Not Found")), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


async def _write(answer: Answer, writer: asyncio.StreamWriter) -> None:
    if answer.wait is not None:
        await answer.wait.wait()
    lines = {"Content-Length": str(len(answer.body)), "Connection": "close", **answer.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {answer.status}\r\n{head}\r\n".encode())
    step = 1 if answer.drip else max(len(answer.body), 1)
    for start in range(0, len(answer.body), step):
        writer.write(answer.body[start : start + step])
        await writer.drain()
        await asyncio.sleep(answer.drip)


@asynccontextmanager
async def fake_issuer() -> AsyncIterator[FakeIssuer]:
    handlers: set[asyncio.Task[None]] = set()
    issuer = FakeIssuer()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(issuer.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield issuer
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()

"""Verification keys: their shapes, a JWK set made into keys, a shared secret; keys behind a URL are in remote_keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

# RFC 7518, section 3.1, and RFC 8037: which key an algorithm is made for. `none` and everything else is unknown here.
SHAPES: Mapping[str, str] = MappingProxyType(
    {
        "HS256": "oct",
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
        "ES256": "P-256",
        "ES384": "P-384",
        "ES512": "P-521",
        "EdDSA": "Ed25519",
    }
)
MAX_KEYS = 100  # of one JWK set; the largest providers publish about ten
MAX_KID = 256
_RSA_BITS = range(2048, 8192 + 1)  # below: RFC 7518, section 3.3; above: one check would take milliseconds
_MAX_RSA_TEXT = 1400  # base64url of 8192 bits, and some air
_MAX_CANDIDATES = 4


@dataclass(frozen=True, slots=True)
class Key:
    """One key that can check signatures; never a private key of somebody else."""

    shape: str
    """One of the values of SHAPES."""
    material: PublicKey | bytes = field(repr=False)
    kid: str | None = None
    algorithm: str | None = None
    """The only algorithm the key's publisher wants it used with (RFC 7517, section 4.4), if any was named."""

    def fits(self, algorithm: str) -> bool:
        """Whether a signature by `algorithm` may be checked with this key."""
        return self.shape == SHAPES.get(algorithm) and self.algorithm in (None, algorithm)


class KeySource(Protocol):
    """Where the keys of one issuer come from; chosen by configuration, never by a token."""

    @property
    def version(self) -> int:
        """Another number whenever keys were added or withdrawn, as far as is known."""

    async def find(self, algorithm: str, kid: str | None, *, other_than: Sequence[Key] = ()) -> Sequence[Key]:
        """The keys a token with this `alg` and `kid` may be signed with; none when there are none.

        `other_than` are keys that failed already: a provider may sign with a new key under the old `kid` (Clerk's is
        the instance's id), so the source looks for a newer one. `ServiceUnavailable` when the keys are out of reach.
        """

    async def aclose(self) -> None:
        """End what still runs in the background."""


class SharedSecret:
    """The key source of HS256: one secret, whatever `kid` the token names."""

    def __init__(self, secret: str) -> None:
        """`ValueError` for what is a public key or a JWK, as that would let anybody sign."""
        try:
            material = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
        except PyJWTError:
            raise ValueError("a key or certificate, not a shared secret") from None
        self._key = Key("oct", material, algorithm="HS256")
        self.version = 0

    async def find(self, algorithm: str, kid: str | None, *, other_than: Sequence[Key] = ()) -> Sequence[Key]:
        return select((self._key,), algorithm, None, other_than)

    async def aclose(self) -> None:
        """Nothing runs."""


def select(keys: Sequence[Key], algorithm: str, kid: str | None, other_than: Sequence[Key] = ()) -> tuple[Key, ...]:
    """The keys among `keys` for this `alg` and `kid`, few. Without `kid`: the one that fits, if it is the only one."""
    fitting = [key for key in keys if key.fits(algorithm)]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid]
    elif len(fitting) > 1:
        fitting = []
    return tuple(key for key in fitting if key not in other_than)[:_MAX_CANDIDATES]


def keys_of(document: object) -> tuple[Key, ...]:
    """The usable keys of a JWK set (RFC 7517, section 5); unknown and unfit ones are left out, not errors.

    `ValueError` when `document` is no JWK set, or an unreasonably long one.
    """
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("not a JSON object with a list `keys`")
    if len(members) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    return tuple(key for key in map(_key_of, members) if key is not None)


def _key_of(jwk: object) -> Key | None:
    if not isinstance(jwk, dict) or not _is_for_verifying(jwk):
        return None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID)):
        return None
    if not (algorithm is None or (isinstance(algorithm, str) and algorithm in SHAPES)):
        return None
    loaded = _load(jwk)
    return Key(*loaded, kid=kid, algorithm=algorithm) if loaded else None


def _is_for_verifying(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops")
    return jwk.get("use") in (None, "sig") and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _load(jwk: dict[str, Any]) -> tuple[str, PublicKey] | None:
    # Public keys only: a private one that anybody can read signs for anybody.
    try:
        match jwk.get("kty"):
            case "RSA" if len(jwk["n"]) <= _MAX_RSA_TEXT:
                rsa = RSAAlgorithm.from_jwk(jwk)
                return ("RSA", rsa) if isinstance(rsa, RSAPublicKey) and rsa.key_size in _RSA_BITS else None
            case "EC":
                curve = ECAlgorithm.from_jwk(jwk)
                return (jwk["crv"], curve) if isinstance(curve, EllipticCurvePublicKey) else None
            case "OKP":
                edwards = OKPAlgorithm.from_jwk(jwk)
                return ("Ed25519", edwards) if isinstance(edwards, Ed25519PublicKey) else None
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        # A broken key must not take the good ones with it (RFC 7517, section 5).
        return None
    return None

"""The local issuer's keys: PEM files in a folder, made, rotated and read here; tokens are local_issuer's."""

import base64
import fcntl
import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import clock
from auth.keys import SHAPES, Key, select

log = structlog.stdlib.get_logger(__name__)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MAX_LIFETIME = timedelta(days=30)
"""The longest a local token may live, hence how long a key is kept after its successor came."""
_ROTATE_AFTER = timedelta(days=7)
_MAX_GENERATIONS = 16
_LOCK_TIMEOUT = 10.0
_NAME = re.compile(r"(?P<serial>\d{6,9})-(?P<created>\d{1,12})\.(?P<algorithm>rs256|es256)\.pem")
_MAKERS: Mapping[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair of the local issuer."""

    kid: str
    algorithm: str
    private: PrivateKey = field(repr=False)

    @property
    def public(self) -> Key:
        return Key(SHAPES[self.algorithm], self.private.public_key(), kid=self.kid, algorithm=self.algorithm)


class LocalKeys:
    """A `KeySource` over a folder (0700, files 0600) that other processes may rotate meanwhile.

    The newest key of an algorithm signs; older ones go on verifying until no token of theirs can be alive, or until
    _MAX_GENERATIONS newer ones exist. A file operation is microseconds here and only in development, so `find` does it
    on the event loop.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder and the first keys where they are missing, and newer ones after a week.

        Blocks while it makes a key. `TimeoutError` when another process holds the folder for too long.
        """
        self._folder = folder
        self._loaded: dict[str, SigningKey | None] = {}  # None: a file that is no key, warned of once
        self.version = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with self._locked():
            newest = max((int(name["created"]) for name in self._names()), default=None)
            due = clock.now().timestamp() - _ROTATE_AFTER.total_seconds()
            if newest is None or newest < due or {name["algorithm"].upper() for name in self._names()} != set(_MAKERS):
                self._add_generation()

    def rotate(self) -> None:
        """Sign with new keys from now on."""
        with self._locked():
            self._add_generation()

    def signing_key(self, algorithm: str) -> SigningKey:
        """The newest key of `algorithm`; `FileNotFoundError` when somebody emptied the folder."""
        keys = self.all_of(algorithm)
        if not keys:
            raise FileNotFoundError(f"{self._folder} holds no key for {algorithm} any more; start again to make one.")
        return keys[0]

    def all_of(self, algorithm: str) -> list[SigningKey]:
        """The keys of `algorithm`, newest first."""
        return [key for key in self._read() if key.algorithm == algorithm]

    async def find(self, algorithm: str, kid: str | None, *, other_than: Sequence[Key] = ()) -> Sequence[Key]:
        return select([key.public for key in self._read()], algorithm, kid, other_than)

    async def aclose(self) -> None:
        """Nothing runs."""

    def _read(self) -> list[SigningKey]:
        names = sorted((name.string for name in self._names()), reverse=True)
        if names != list(self._loaded):
            self.version += 1
            self._loaded = {name: self._loaded[name] if name in self._loaded else self._load(name) for name in names}
        return [key for key in self._loaded.values() if key is not None]

    def _load(self, name: str) -> SigningKey | None:
        algorithm = name.split(".")[1].upper()
        try:
            private = serialization.load_pem_private_key((self._folder / name).read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            log.warning("key file of the local issuer skipped", file=name, remedy="delete it")
            return None
        return SigningKey(_thumbprint(private), algorithm, private)

    def _names(self) -> list[re.Match[str]]:
        listed = os.listdir(self._folder) if self._folder.is_dir() else []
        return [name for name in map(_NAME.fullmatch, listed) if name is not None]

    def _add_generation(self) -> None:
        now = int(clock.now().timestamp())
        serial = max((int(name["serial"]) for name in self._names()), default=0) + 1
        for algorithm, make in _MAKERS.items():
            self._write(f"{serial:06d}-{now}.{algorithm.lower()}.pem", make())
        self._retire(now)

    def _write(self, name: str, key: PrivateKey) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = self._folder / ".draft"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / name)  # whole or not at all: readers take no lock

    def _retire(self, now: int) -> None:
        created = {int(name["serial"]): int(name["created"]) for name in self._names()}
        serials = sorted(created)
        retired = {
            serial
            for serial, successor in itertools.pairwise(serials)
            if created[successor] < now - MAX_LIFETIME.total_seconds() or serial <= serials[-1] - _MAX_GENERATIONS
        }
        for name in self._names():
            if int(name["serial"]) in retired:
                (self._folder / name.string).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        with os.fdopen(os.open(self._folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError(
                            f"{self._folder} is held by another process; stop it, or try again."
                        ) from None
                    time.sleep(0.02)
            yield


def _thumbprint(key: PrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(public).digest()[:15]).decode()

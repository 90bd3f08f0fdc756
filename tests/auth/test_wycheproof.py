"""Wycheproof's JWS vectors (wycheproof/SOURCE.md) through the functions the verifier itself reads and checks with."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from auth.keys import SHAPES, Key, keys_of
from auth.tokens import is_signed, read, require_bounded
from errors import InvalidCredential

GROUPS = json.loads((Path(__file__).parent / "wycheproof" / "json_web_signature_test.json").read_text())["testGroups"]

# Valid to Wycheproof, refused here on purpose.
STRICTER = {
    **dict.fromkeys((372, 373), "a question mark in base64url, which RFC 7515, section 2, does not have"),
    **dict.fromkeys((346, 350), "a PS384 signature with a key whose `alg` is PS256 (RFC 7517, section 4.4)"),
    **dict.fromkeys((347, 351), "a key for ES521, which RFC 7518 does not have; the signature's is ES512"),
}
# Labelled invalid, but byte for byte the valid vector 357: the fault they are named for is not in them
# (github.com/C2SP/wycheproof/issues/236).
MISLABELLED = (367, 370)
VECTORS = [(group, test) for group in GROUPS for test in group["tests"]]


def key_of(group: dict[str, Any]) -> Key | None:
    jwk = group.get("public") or group["private"]
    if jwk["kty"] == "oct":
        return Key("oct", _bytes(jwk["k"]), kid=jwk.get("kid"), algorithm=jwk["alg"])
    return next(iter(keys_of({"keys": [jwk]})), None)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def holds(token: str, key: Key | None) -> bool:
    """As the verifier does it: form first, then a key with this `kid`, then the signature."""
    try:
        require_bounded(token)
        unverified = read(token)
    except InvalidCredential:
        return False
    if key is None or unverified.kid not in (None, key.kid) or unverified.algorithm not in SHAPES:
        return False
    return is_signed(token, key, unverified.algorithm)


@pytest.mark.parametrize(("group", "test"), VECTORS, ids=[f"{t['tcId']}-{t['comment']}" for _, t in VECTORS])
def test_vector(group: dict[str, Any], test: dict[str, Any]) -> None:
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    expected = (test["result"] == "valid" or test["tcId"] in MISLABELLED) and test["tcId"] not in STRICTER
    assert holds(token, key_of(group)) is expected, STRICTER.get(test["tcId"], test["comment"])


def test_the_mislabelled_vectors_are_the_valid_one() -> None:
    tokens = {test["tcId"]: test["jws"] for _, test in VECTORS}
    assert {tokens[number] for number in MISLABELLED} == {tokens[357]}


def test_every_vector_is_there() -> None:
    assert len(VECTORS) == 401
    assert sum(test["result"] == "valid" for _, test in VECTORS) > 30

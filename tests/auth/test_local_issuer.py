"""Tokens of the local issuer, verified like any other and without network; its key files and their rotation."""

import asyncio
import multiprocessing
import shutil
import socket
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

import clock
from auth import local_keys
from auth.issuers import Kind
from auth.keys import keys_of
from auth.local_issuer import ISSUERS, LocalIssuer
from auth.verifier import Verifier
from errors import InvalidCredential
from tests.auth import fakes

HOURS = timedelta(hours=8)
SUBJECTS: dict[Kind, str] = {"clerk": "user_1", "supabase": "5f0c1f7e-2b1d-4c1a-9a53-0f1a2b3c4d5e", "oidc": "me"}
KINDS: list[Kind] = ["clerk", "supabase", "oidc"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a first generation of keys, to copy: making an RSA key takes a while."""
    folder = tmp_path_factory.mktemp("made") / "issuer"
    LocalIssuer(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".gatehouse" / "issuer"


@pytest.fixture
def local(folder: Path, made: Path) -> LocalIssuer:
    shutil.copytree(made, folder)
    return LocalIssuer(folder)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One RSA key for all generations, while the EC keys are new each time."""
    monkeypatch.setattr(local_keys, "_MAKERS", {**local_keys._MAKERS, "RS256": fakes.rsa_key})


@pytest.fixture
def verifier(local: LocalIssuer) -> Verifier:
    return Verifier(local.issuers())


def sign(local: LocalIssuer, kind: Kind, **options: Any) -> str:
    return local.sign(kind, SUBJECTS[kind], **{"expires_in": HOURS, **options})


def pems(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pem"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_local_token_is_verified_and_no_connection_is_attempted(
    local: LocalIssuer, verifier: Verifier, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for method in ("sock_connect", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(asyncio.get_running_loop(), method, refuse, raising=True)
    token = sign(local, kind, email="ada@example.test", full_name="Ada", username="ada")
    found = await verifier.verify(token, from_cookie=True)
    assert (found.kind, found.issuer, found.subject) == (kind, ISSUERS[kind], SUBJECTS[kind])
    assert found.facts.email == "ada@example.test"
    believed = kind != "supabase"
    assert found.facts.email_verified is believed
    assert (found.facts.full_name, found.facts.username) == (("Ada", "ada") if believed else (None, None))
    with pytest.raises(InvalidCredential):
        await verifier.verify(token[:-8] + "AAAAAAAA")


@pytest.mark.parametrize(("kind", "algorithm"), [("clerk", "RS256"), ("supabase", "ES256"), ("oidc", "RS256")])
def test_a_local_token_has_the_shape_of_its_kind(local: LocalIssuer, kind: Kind, algorithm: str) -> None:
    token = sign(local, kind)
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (header["alg"], header["typ"]) == (algorithm, "JWT")
    assert claims["exp"] - claims["iat"] == 8 * 3600
    expected: dict[Kind, set[str]] = {
        "clerk": {"azp", "exp", "fva", "iat", "iss", "jti", "nbf", "sid", "sts", "sub", "v"},
        "supabase": {
            *("aal", "amr", "app_metadata", "aud", "email", "exp", "iat", "is_anonymous", "iss", "phone"),
            *("role", "session_id", "sub", "user_metadata"),
        },
        "oidc": {"aud", "exp", "iat", "iss", "sub"},
    }
    assert set(claims) == expected[kind]
    assert (header.get("cat") == "cl_B7d4PD111AAA") is (kind == "clerk")


async def test_further_claims_win(local: LocalIssuer, verifier: Verifier) -> None:
    with pytest.raises(InvalidCredential, match="pending"):
        await verifier.verify(sign(local, "clerk", claims={"sts": "pending"}))


async def test_a_local_token_lives_as_long_as_was_asked(local: LocalIssuer, verifier: Verifier) -> None:
    token = sign(local, "clerk")
    clock.move(HOURS - timedelta(seconds=5))
    await verifier.verify(token)
    clock.move(timedelta(seconds=15))
    with pytest.raises(InvalidCredential, match="expired"):
        await verifier.verify(token)


@pytest.mark.parametrize("lifetime", [timedelta(), -HOURS, timedelta(days=30, seconds=1)])
def test_a_lifetime_that_cannot_be_is_refused(local: LocalIssuer, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="30 days"):
        sign(local, "oidc", expires_in=lifetime)


def test_a_subject_of_clerk_starts_with_user(local: LocalIssuer) -> None:
    with pytest.raises(ValueError, match="user_"):
        local.sign("clerk", "ada", expires_in=HOURS)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_kinds_do_not_pass_for_each_other(local: LocalIssuer, verifier: Verifier, kind: Kind) -> None:
    for other in KINDS:
        if other != kind:
            with pytest.raises(InvalidCredential):
                await verifier.verify(sign(local, kind, claims={"iss": ISSUERS[other]}))


async def test_another_folder_is_another_issuer(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(InvalidCredential, match="signature"):
        await verifier.verify(sign(LocalIssuer(tmp_path / "other"), "clerk"))


def test_only_the_owner_reads_the_keys(local: LocalIssuer, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(pems(folder)) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    folder.chmod(0o755)
    LocalIssuer(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_keys_are_kept(local: LocalIssuer, folder: Path) -> None:
    before = pems(folder)
    again = LocalIssuer(folder)
    assert pems(folder) == before
    await Verifier(again.issuers()).verify(sign(local, "supabase"))


@pytest.mark.parametrize("kind", KINDS)
async def test_rotation_by_another_process_is_seen_and_old_tokens_stay_good(
    local: LocalIssuer, verifier: Verifier, folder: Path, kind: Kind
) -> None:
    old = sign(local, kind)
    await verifier.verify(old)
    other = LocalIssuer(folder)
    other.rotate()
    new = sign(other, kind)
    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    await verifier.verify(new)
    await verifier.verify(old)
    assert jwt.get_unverified_header(sign(local, kind))["kid"] == jwt.get_unverified_header(new)["kid"]


async def test_a_deleted_key_counts_no_more(local: LocalIssuer, verifier: Verifier, folder: Path) -> None:
    old = sign(local, "oidc")
    await verifier.verify(old)
    local.rotate()
    for path in pems(folder)[:2]:
        path.unlink()
    await verifier.verify(sign(local, "oidc"))
    with pytest.raises(InvalidCredential):
        await verifier.verify(old)


@pytest.mark.usefixtures("quick")
async def test_keys_rotate_by_themselves_and_stay_for_the_longest_token(folder: Path) -> None:
    token = sign(LocalIssuer(folder), "supabase", expires_in=timedelta(days=30))
    for _ in range(4):
        clock.move(timedelta(days=7, minutes=1))
        await Verifier(LocalIssuer(folder).issuers()).verify(token)
    assert len(pems(folder)) == 10
    for _ in range(10):
        clock.move(timedelta(days=7, minutes=1))
        LocalIssuer(folder)
    assert len(pems(folder)) == 12


@pytest.mark.usefixtures("quick")
def test_the_number_of_keys_is_bounded(local: LocalIssuer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_keys, "_MAX_GENERATIONS", 3)
    for _ in range(6):
        local.rotate()
    assert len(pems(folder)) == 6


async def test_a_spoiled_key_file_is_passed_over(local: LocalIssuer, verifier: Verifier, folder: Path) -> None:
    token = sign(local, "clerk")
    (folder / "000009-1.rs256.pem").write_text("spoiled")
    (folder / "notes.txt").write_text("not a key")
    await verifier.verify(token)
    assert sign(local, "clerk")


def test_a_half_made_first_generation_is_completed(local: LocalIssuer, folder: Path) -> None:
    pems(folder)[0].unlink()
    again = LocalIssuer(folder)
    assert all(again.jwks(kind)["keys"] for kind in KINDS)


def test_an_emptied_folder_is_said(local: LocalIssuer, folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError, match="start again"):
        sign(local, "clerk")


def _start(folder: Path, results: Any) -> None:
    results.put(LocalIssuer(folder).jwks("clerk"))


def test_processes_that_start_at_once_agree_on_the_keys(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_start, args=(folder, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(timeout=30)
    assert found[0] == found[1] == found[2]
    assert len(pems(folder)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_keys_are_public_and_usable(local: LocalIssuer, kind: Kind) -> None:
    local.rotate()
    published = local.jwks(kind)
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {name for key in published["keys"] for name in key}
    assert len(keys_of(published)) == 2
    assert published["keys"][0]["kid"] == jwt.get_unverified_header(sign(local, kind))["kid"]


@pytest.mark.parametrize("kind", KINDS)
def test_discovery_names_the_issuer_without_the_port(local: LocalIssuer, kind: Kind) -> None:
    document = local.discovery(kind, "http://127.0.0.1:9000/")
    assert document["issuer"] == ISSUERS[kind]
    path = ISSUERS[kind].removeprefix("http://localhost")
    assert document["jwks_uri"] == f"http://127.0.0.1:9000{path}/.well-known/jwks.json"

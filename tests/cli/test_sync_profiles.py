"""Where profiles lie, which addresses are taken, and that a write is whole or not at all."""

import contextlib
import os
import threading
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.sync import profiles
from cli.sync.address import server_of
from cli.sync.failures import Failure

HOME = Path("/home/ada")
KEY = "iq_" + "x" * 43


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, "/home/ada/.config/gatehouse"),
        ("linux", {"XDG_CONFIG_HOME": "/etc/ada"}, "/etc/ada/gatehouse"),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, "/home/ada/.config/gatehouse"),
        ("linux", {"XDG_CONFIG_HOME": ""}, "/home/ada/.config/gatehouse"),
        ("darwin", {"XDG_CONFIG_HOME": "/etc/ada"}, "/home/ada/Library/Application Support/gatehouse"),
        ("win32", {"APPDATA": "/C/Roaming"}, "/C/Roaming/gatehouse"),
        ("win32", {}, "/home/ada/AppData/Roaming/gatehouse"),
    ],
)
def test_each_platform_has_its_folder(platform: str, environ: dict[str, str], expected: str) -> None:
    assert profiles.folder(platform, environ, HOME) == Path(expected)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://gatehouse.example.com", "https://gatehouse.example.com"),
        (" https://gatehouse.example.com/ ", "https://gatehouse.example.com"),
        ("https://gatehouse.example.com:8443/graphql", "https://gatehouse.example.com:8443"),
        ("https://example.com/api/graphql/", "https://example.com/api"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8000/graphql", "http://[::1]:8000"),
        ("http://LOCALHOST", "http://localhost"),
        ("HTTPS://example.com", "https://example.com"),
    ],
)
def test_an_address_is_good_with_and_without_graphql(text: str, url: str) -> None:
    server = server_of(text, insecure_http=False)
    assert (server.url, server.endpoint) == (url, f"{url}/graphql")


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost:8000", "example.com", "ftp://example.com", "https://", "https:///graphql", "https://[::1"),
        *("https://h:99999", "https://h:0", "https://h:x", "https://ada@h", "https://ada:pw@h", "https://h?x=1"),
        *("https://h/#x", "file:///etc/passwd", "https://h\x1b[2J"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        server_of(text, insecure_http=True)
    assert refused.value.code == "BAD_URL"


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "10.0.0.1", "192.168.1.1", "0.0.0.0", "localhost.example.com", "127.0.0.1.example.com"),
        *("localhost.", "[::]", "[fe80::1]", "2130706433", "0x7f000001", "127.1"),
    ],
)
def test_only_this_machine_is_reached_by_plain_http(host: str) -> None:
    with pytest.raises(Failure) as refused:
        server_of(f"http://{host}:8000", insecure_http=False)
    assert refused.value.code == "INSECURE_URL"
    assert not server_of(f"http://{host}:8000", insecure_http=True).loopback


@given(st.text() | st.from_regex(r"https?://.{0,30}") | st.from_regex(r"\Ahttp://127.0.0.1.{0,9}\Z"))
def test_any_text_is_an_address_that_can_be_asked_or_a_failure(text: str) -> None:
    with contextlib.suppress(Failure):
        server = server_of(text, insecure_http=False)
        asked = httpx.URL(server.endpoint)
        assert asked.scheme == "https" or asked.host == "localhost" or ip_address(asked.host).is_loopback
        assert (asked.userinfo, asked.query, asked.fragment) == (b"", b"", "")
        assert server_of(server.endpoint, insecure_http=False) == server


@given(st.text(min_size=4))
def test_a_text_that_is_no_key_is_not_repeated(text: str) -> None:
    with pytest.raises(Failure) as refused:
        profiles.checked_key(text)
    assert text not in str(refused.value) + refused.value.remedy


@pytest.fixture
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})


def profile(url: str) -> profiles.Profile:
    return profiles.Profile.model_validate({"url": url, "api_key": KEY})


@pytest.mark.usefixtures("_at_home")
def test_a_write_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    path = profiles.store("default", profile("https://one"))
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match="No space left"):
        profiles.store("default", profile("https://two"))
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["sync.json"]


@pytest.mark.usefixtures("_at_home")
def test_readers_never_see_half_a_file() -> None:
    profiles.store("default", profile("https://0"))
    over, seen = threading.Event(), set()

    def write() -> None:
        for number in range(100):
            profiles.store("default", profile(f"https://{number}"))
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        seen.add(profiles.read()["default"].url)
    writer.join()
    assert len(seen) > 1


def test_a_key_is_in_no_repr() -> None:
    connection = profiles.Connection(server_of("https://h", insecure_http=False), KEY)
    assert KEY not in repr(connection) + repr(profile("https://h"))

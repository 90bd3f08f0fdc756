"""Which server is meant, and whether a secret may travel there. What is said to it is client's."""

import ipaddress
from dataclasses import dataclass

import httpx

from cli.sync.failures import Failure

_PATH = "/graphql"


@dataclass(frozen=True, slots=True)
class Server:
    """A Gatehouse: its address without `/graphql`, and whether that is this very machine."""

    url: str
    loopback: bool

    @property
    def is_direct(self) -> bool:
        """Plain http that stays on this machine: it must not be handed to a proxy."""
        return self.loopback and self.url.startswith("http:")

    @property
    def endpoint(self) -> str:
        return f"{self.url}{_PATH}"


def server_of(text: str, *, insecure_http: bool) -> Server:
    """The server at an address, with or without `/graphql`; `Failure` for none, and for one in the open."""
    try:
        # Read by what will connect, so that both see the same host.
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    # What has no place in a host is escaped by httpx, and would be no host.
    named_well = bool(url.host) and "%" not in url.host
    if url.scheme not in ("http", "https") or not named_well or not (url.port is None or 1 <= url.port <= 65_535):
        named = "What is set" if "@" in text else repr(text)  # it may have a password
        words = f"{named} is not an address of a server."
        raise Failure("BAD_URL", words, "Write https://host or https://host:port.")
    if url.userinfo or url.query or url.fragment or "?" in text:
        words = "The address has more than host, port and path."
        raise Failure("BAD_URL", words, "Write it without user, password, ? and #.")
    loopback = _is_loopback(url.host)
    if url.scheme == "http" and not loopback and not insecure_http:
        words = f"By plain http everybody on the way to {url.host} could read the key."
        raise Failure("INSECURE_URL", words, "Use https://, or --insecure-http where you know the way.")
    path = url.raw_path.decode().rstrip("/").removesuffix(_PATH).rstrip("/")
    return Server(f"{url.scheme}://{url.netloc.decode()}{path}", loopback)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

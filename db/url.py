"""How a host's DATABASE_URL becomes one that asyncpg understands. Whether it can be reached is not tried here."""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

_SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg"}

# Hosts put parameters of libpq, of Prisma and of poolers into their URLs. asyncpg takes what it does not know for a
# server setting, which Postgres then refuses; so only what says where and how to connect is passed on.
_UNDERSTOOD = {
    *("host", "port", "user", "password", "passfile", "dbname", "database", "target_session_attrs"),
    *("ssl", "sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
}


_SSL_MODES = {name: name for name in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")}
# As node-postgres writes it; without a look at the certificate is what libpq calls `require`.
_SSL_WORDS = {"true": "require", "1": "require", "no-verify": "require", "false": "disable", "0": "disable"}
_NO_URL = "not a Postgres URL; write postgresql://user:password@host:5432/database."
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:@\[\]]+)(?::([0-9]{1,5}))?")


def dsn(url: str) -> str:
    """`url` in the form of asyncpg; `ValueError` with public words, which repeat nothing of it, when it is none.

    `ssl=true`, as some hosts write it, means what libpq calls `sslmode=require`.
    """
    parts = _split(url)
    if parts.scheme not in _SCHEMES or "://" not in url or parts.fragment or "\0" in unquote(url):
        raise ValueError(_NO_URL)
    user, _, hosts = parts.netloc.rpartition("@")
    if "@" in user:
        raise ValueError("its password has an @; percent-encode special characters, such as %40 for @.")
    given = parse_qsl(parts.query, keep_blank_values=True)
    query = [
        _ssl(value) if name in ("ssl", "sslmode") else (name, value) for name, value in given if name in _UNDERSTOOD
    ]
    _check_hosts(hosts)
    for name, value in query:
        if name == "host" and not value.startswith("/"):
            _check_hosts(value)
        if name == "port":
            _check_hosts(",".join(f"host:{port}" for port in value.split(",")))
    if not parts.path.strip("/") and not any(name in ("dbname", "database") and value for name, value in query):
        raise ValueError("names no database; write postgresql://user:password@host:5432/database.")
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{urlencode(query)}" if query else "")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Its own words would repeat the password.
        raise ValueError(_NO_URL) from None


def _ssl(value: str) -> tuple[str, str]:
    mode = (_SSL_MODES | _SSL_WORDS).get(value)
    if mode is None:
        raise ValueError(f"no such sslmode; write one of {', '.join(_SSL_MODES)}.")
    return "sslmode", mode


def _check_hosts(hosts: str) -> None:
    for host in hosts.split(",") if hosts else ():
        match = _HOST.fullmatch(host)
        if match is None or not (match[1] is None or 1 <= int(match[1]) <= 65535):
            raise ValueError("its host or port is none; write host:5432, and percent-encode special characters.")

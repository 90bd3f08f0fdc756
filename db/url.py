"""How a host's DATABASE_URL becomes one that asyncpg understands. Whether it can be reached is not tried here."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg"}

# Hosts put parameters of libpq, of Prisma and of poolers into their URLs. asyncpg takes what it does not know for a
# server setting, which Postgres then refuses; so only what says where and how to connect is passed on.
_UNDERSTOOD = {
    *("host", "port", "user", "password", "passfile", "dbname", "database", "target_session_attrs"),
    *("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
}


def dsn(url: str) -> str:
    """`url` in the form of asyncpg; `ValueError` with public words when it is not a Postgres URL.

    `ssl=true`, as some hosts write it, means what libpq calls `sslmode=require`.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError("not a Postgres URL; write postgresql://user:password@host:5432/database.")
    query = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "ssl":
            query.append(("sslmode", "require" if value in ("true", "1") else value))
        elif name in _UNDERSTOOD:
            query.append((name, value))
    if not parts.path.strip("/") and not any(name in ("dbname", "database") for name, _ in query):
        raise ValueError("names no database; write postgresql://user:password@host:5432/database.")
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))

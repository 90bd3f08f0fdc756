"""DATABASE_URLs as hosts hand them out, and what is no such thing."""

from urllib.parse import urlsplit

import asyncpg.connect_utils
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.session import Database
from db.url import dsn

GOOD = {
    "postgresql://u:p@h:5432/d": "postgresql://u:p@h:5432/d",
    "postgres://u:p@h/d": "postgresql://u:p@h/d",
    "postgresql+asyncpg://u:p@h/d": "postgresql://u:p@h/d",
    "POSTGRES://u:p@h/d": "postgresql://u:p@h/d",
    "postgres://u:p%40%2F%3F%23@h/d": "postgresql://u:p%40%2F%3F%23@h/d",
    "postgres://h/d": "postgresql://h/d",
    "postgres://u@[::1]:5432/d": "postgresql://u@[::1]:5432/d",
    "postgres://u@h1:5432,h2:5433/d?target_session_attrs=read-write": (
        "postgresql://u@h1:5432,h2:5433/d?target_session_attrs=read-write"
    ),
    # Sockets: in the query, or as the host.
    "postgresql:///d?host=/run/pg": "postgresql:///d?host=%2Frun%2Fpg",
    "postgresql://u@/d?host=/run/pg&port=5433": "postgresql://u@/d?host=%2Frun%2Fpg&port=5433",
    "postgresql://%2Frun%2Fpg/d": "postgresql://%2Frun%2Fpg/d",
    "postgresql://?host=h&dbname=d&user=u": "postgresql://?host=h&dbname=d&user=u",
    # Neon
    "postgresql://u:p@ep-x-pooler.eu.neon.tech/d?sslmode=require&channel_binding=require": (
        "postgresql://u:p@ep-x-pooler.eu.neon.tech/d?sslmode=require"
    ),
    # Supabase's pooler, as Prisma is told to reach it
    "postgresql://u.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1": (
        "postgresql://u.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres"
    ),
    # Prisma
    "postgresql://u:p@h/d?schema=public&connect_timeout=5&pool_timeout=5": "postgresql://u:p@h/d",
    # DigitalOcean, Heroku, Render, node-postgres
    "postgresql://u:p@h:25060/d?sslmode=verify-full&sslrootcert=/etc/ca.crt": (
        "postgresql://u:p@h:25060/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.crt"
    ),
    "postgres://u:p@h/d?ssl=true": "postgresql://u:p@h/d?sslmode=require",
    "postgres://u:p@h/d?ssl=1": "postgresql://u:p@h/d?sslmode=require",
    "postgres://u:p@h/d?ssl=false": "postgresql://u:p@h/d?sslmode=disable",
    "postgres://u:p@h/d?ssl=0": "postgresql://u:p@h/d?sslmode=disable",
    "postgres://u:p@h/d?ssl=require": "postgresql://u:p@h/d?sslmode=require",
    "postgres://u:p@h/d?sslmode=no-verify": "postgresql://u:p@h/d?sslmode=require",
    "postgres://u:p@h/d?": "postgresql://u:p@h/d",
    "postgres://u:p@h/d?application_name=x&keepalives=1&options=-c%20a%3Db": "postgresql://u:p@h/d",
}

BAD = [
    "",
    "h",
    "/var/lib/data.db",
    "mysql://u:p@h/d",
    "sqlite:///d",
    "postgresql:u:p@h/d",
    "http://h/d",
    "postgres://u:p@h",
    "postgres://u:p@h/",
    "postgres://u:p@h/?sslmode=require",
    "postgres://u:p@h:port/d",
    "postgres://u:p@h:/d",
    "postgres://u:p@h:0/d",
    "postgres://u:p@h:99999/d",
    "postgres://u:p@h1,,h2/d",
    "postgres://u:p@h1:5432,h2:x/d",
    "postgres://u:p@[::1/d",
    "postgres://u:p@[::1]x/d",
    "postgres://u:p@h\u2100/d",
    "postgres://u:p@ss@h/d",
    "postgres://u:p#ss@h/d",
    "postgres://u:p/ss@h/d",
    "postgres://u:p?ss@h/d",
    "postgres://u:p@h/d?sslmode=maybe",
    "postgres://u:p@h/d?ssl=maybe",
    "postgres:///d?host=/run/pg&port=x",
    "postgres:///d?host=a,,b",
    "postgres://u:p@h/d\0",
    "postgres://u:p@h/d%00",
]


@pytest.mark.parametrize(("url", "understood"), GOOD.items())
def test_urls_of_hosts(url: str, understood: str) -> None:
    assert dsn(url) == understood
    assert dsn(understood) == understood


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_url_of_a_database(url: str) -> None:
    with pytest.raises(ValueError, match=r"Postgres URL|names no database|host|ssl|percent") as raised:
        dsn(url)
    assert "ss@" not in str(raised.value)
    assert "u:p" not in str(raised.value)


def parsed_by_asyncpg(url: str) -> None:
    """As `asyncpg.connect` reads it, without connecting."""
    names = "host port user password passfile database ssl service servicefile direct_tls server_settings"
    nothing = dict.fromkeys([*names.split(), "target_session_attrs", "krbsrvname", "gsslib"])
    asyncpg.connect_utils._parse_connect_dsn_and_args(dsn=url, **nothing)


# A `verify-full` is not among them: asyncpg reads the certificates at once.
@pytest.mark.parametrize("url", [url for url in GOOD.values() if "rootcert" not in url])
def test_asyncpg_understands_what_comes_out(url: str) -> None:
    parsed_by_asyncpg(url)


WORDS = [
    *("postgres://", "postgresql://", "u", "p", "h", "5432", "//", "d", "::1", "é", "%00"),
    *("ssl=", "sslmode=", "require", "true", "host=", "port=", "dbname="),
]
PARTS = st.sampled_from([*"/@:?#&=%,[] \0", *WORDS])
URLS = st.lists(PARTS, max_size=12).map("".join)


@given(URLS | URLS.map("postgres://h/d".__add__) | st.text(max_size=40))
def test_whatever_is_given_is_understood_or_a_value_error(url: str) -> None:
    try:
        understood = dsn(url)
    except ValueError:
        return
    assert urlsplit(understood).scheme == "postgresql"
    parsed_by_asyncpg(understood)


async def test_a_real_server_by_its_socket(database_url: str) -> None:
    parts = urlsplit(database_url.replace("postgresql://", "postgres://", 1))
    separator = "&" if parts.query else "?"
    database = Database(f"{parts.geturl()}{separator}pgbouncer=true&channel_binding=prefer&schema=public")
    assert await database.revision()
    await database.close()

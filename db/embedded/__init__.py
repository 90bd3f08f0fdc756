"""A Postgres that Gatehouse brings along for development and tests. What is stored in it is not decided here."""

from db.embedded.cluster import EmbeddedPostgres, running_url
from db.embedded.error import EmbeddedPostgresError

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "running_url"]

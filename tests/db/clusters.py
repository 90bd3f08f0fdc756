"""Throwaway clusters of the embedded Postgres, as small as they go."""

from pathlib import Path

from db.embedded import EmbeddedPostgres


def postgres_at(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, durable=False, shared_buffers="16MB", max_connections=20)

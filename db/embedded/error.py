"""The one error of the embedded Postgres. Clients of the API never see it, hence it is no AppError."""


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot do what was asked; the first line says why and what to do, log lines may follow."""

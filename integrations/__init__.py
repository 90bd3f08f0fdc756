"""What we ask of others: a client with timeouts and typed answers per service. No rules and no rows."""

"""Rows: tables, statements and the connection to Postgres."""

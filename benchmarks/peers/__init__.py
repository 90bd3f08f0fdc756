"""Gatehouse beside other ways to answer the same four operations over the same Postgres. Not part of a server."""

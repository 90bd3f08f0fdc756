"""Every statement, one module per noun: reads are owner-bound Core `Select`s, writes take the session of their work."""

from db.queries import accounts, api_keys, chat, deliveries, idempotency, invites, portfolios, scans, usage

__all__ = ["accounts", "api_keys", "chat", "deliveries", "idempotency", "invites", "portfolios", "scans", "usage"]

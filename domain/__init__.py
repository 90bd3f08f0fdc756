"""Rules: what is true of accounts, keys, scans and the rest, for every door alike. No GraphQL, no HTTP, no SQL."""

from domain import accounts, api_keys, chat, invites, portfolios, scans, usage

__all__ = ["accounts", "api_keys", "chat", "invites", "portfolios", "scans", "usage"]

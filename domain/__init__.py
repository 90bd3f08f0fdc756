"""Rules: what is true of accounts, keys, invites and usage, for every door alike. No GraphQL, no HTTP, no SQL."""

from domain import accounts, api_keys, chat, invites, portfolios, usage

__all__ = ["accounts", "api_keys", "chat", "invites", "portfolios", "usage"]

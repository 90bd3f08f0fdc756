"""Rules: what is true of accounts, keys and invites, for every door alike. No GraphQL, no HTTP, no SQL."""

from domain import accounts, api_keys, invites

__all__ = ["accounts", "api_keys", "invites"]

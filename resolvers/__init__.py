"""Verbs the client calls, and the GraphQL door itself: guard, one call, wrap. No rule about the business and no SQL."""

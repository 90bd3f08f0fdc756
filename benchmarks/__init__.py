"""Measurements of Gatehouse beside the bare way to the same thing, through its public surface. Not part of a server."""

"""Look-ahead: what a plan selects of a page, composed into one statement whose JSON Postgres writes."""

from engine.sql.composer import Composer, Fetch
from engine.sql.declarations import COMPOSED, EMBEDDED, LISTING, Listing, Page

__all__ = ["COMPOSED", "EMBEDDED", "LISTING", "Composer", "Fetch", "Listing", "Page"]

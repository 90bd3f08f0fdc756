"""Look-ahead: what a plan selects of a page, composed into one statement whose JSON Postgres writes."""

from engine.sql.composer import Composer, Fetch
from engine.sql.declarations import CALLERS, COMPOSED, EMBEDDED, LISTING, Listing, Page
from engine.sql.statements import Ahead

__all__ = ["CALLERS", "COMPOSED", "EMBEDDED", "LISTING", "Ahead", "Composer", "Fetch", "Listing", "Page"]

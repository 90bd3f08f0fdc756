"""Media types in headers: what a caller accepts and what it sends (RFC 9110, sections 8.3 and 12.5.1). No bodies."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
HTML = "text/html"

# The longest that browsers send has 200 characters.
MAX_HEADER = 2_048

# A quote that nothing ends reaches to the end of the header: to look for its end again at every later quote, and not
# find it, would take time by the square of the length.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++', re.DOTALL)
_PARAMETER = re.compile(rf';\s*+([^\s;="]++)=({_QUOTED}|[^\s;"]*+)', re.DOTALL)


class MediaType(NamedTuple):
    """A media type or range in lower case, with its parameters."""

    name: str
    parameters: Mapping[str, str]

    @property
    def is_utf8(self) -> bool:
        """UTF-8 is meant, or nothing is said, which means UTF-8 (GraphQL over HTTP, "Media Types")."""
        return self.parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8")

    @property
    def quality(self) -> float:
        """The weight of a range: 0 where it is refused, or where the weight makes no sense."""
        try:
            weight = float(self.parameters.get("q", "1"))
        except ValueError:
            return 0
        return weight if 0 <= weight <= 1 else 0


def media_types(header: str) -> list[MediaType]:
    """The elements of an `Accept` or `Content-Type` header, in their order. One over `MAX_HEADER` long has none."""
    if len(header) > MAX_HEADER:
        return []
    found = []
    for element in _ELEMENT.findall(header):
        name, _, _ = element.partition(";")
        parameters = {key.lower(): value.strip('"') for key, value in _PARAMETER.findall(element)}
        found.append(MediaType(name.strip().lower(), parameters))
    return found


@lru_cache(maxsize=256)
def preferred(accept: str, offers: tuple[str, ...]) -> str | None:
    """The offer the caller likes best, or None where none is acceptable.

    The most specific range that names an offer decides its weight, so `*/*` cannot bring back what `;q=0` refused.
    Equal weights go to the range listed first, then to the offer listed first. No header accepts everything.
    """
    if not accept.strip():
        return offers[0]
    ranges: dict[str, tuple[float, int]] = {}
    for position, media in enumerate(media_types(accept)):
        if media.is_utf8:
            ranges.setdefault("*/*" if media.name == "*" else media.name, (media.quality, -position))
    best: tuple[float, int, int] = (0, 0, 0)
    chosen = None
    for place, offer in enumerate(offers):
        family = offer.partition("/")[0]
        weight = next((ranges[name] for name in (offer, f"{family}/*", "*/*") if name in ranges), (0.0, 0))
        if weight[0] > 0 and (chosen is None or (*weight, -place) > best):
            best, chosen = (*weight, -place), offer
    return chosen


def is_json(content_type: Sequence[str]) -> bool:
    """Whether the values of the `Content-Type` header say JSON in UTF-8, once, and nothing else."""
    return (len(content_type) == 1 and content_type[0] == JSON) or _is_json(content_type)


def _is_json(content_type: Sequence[str]) -> bool:
    media = media_types(",".join(content_type))
    return len(media) == 1 and media[0].name == JSON and media[0].is_utf8

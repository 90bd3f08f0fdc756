"""What an HTTP request is refused for before it is a GraphQL request. Who refuses, and when, is for others."""

from collections.abc import Mapping
from typing import ClassVar

from errors import BadUserInput


class BadRequest(BadUserInput):
    """The HTTP request is not one that carries a GraphQL request; nothing was run."""

    headers: ClassVar[Mapping[str, str]] = {}


class MethodNotAllowed(BadRequest):
    """Only GET and POST are served."""

    status = 405
    headers: ClassVar[Mapping[str, str]] = {"Allow": "GET, POST"}


class NotAcceptable(BadRequest):
    """The caller accepts no media type that can be served."""

    status = 406


class BodyTooSlow(BadRequest):
    """The body did not come in time."""

    status = 408
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class BodyTooLarge(BadRequest):
    """The body is larger than allowed."""

    status = 413


class UnsupportedMediaType(BadRequest):
    """The body is not plain JSON in UTF-8.

    Text, forms and multipart stay refused for good: browsers send them to any site without a preflight, so serving
    them would let every web page act for its visitor.
    """

    status = 415

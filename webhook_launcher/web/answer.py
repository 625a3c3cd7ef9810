"""An answer as a value, before flask or the worker puts it on the wire."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response

JSON = "application/json"
PROBLEM = "application/problem+json"
# Every answer is about this moment, and none is a document for a browser to guess at.
ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body; `headers` besides the content type and those of every answer."""

    status: int
    content: Mapping[str, object]
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """The content on the wire."""
        return (_encode(self.content) + "\n").encode()

    def response(self) -> Response:
        """As flask wants it."""
        response = Response(self.body, status=self.status, content_type=self.content_type)
        response.headers.extend(self.headers)
        return response

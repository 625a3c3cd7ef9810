"""The raw body of a request, under a limit: refused unread where its length is announced."""

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge


def read_body(limit: int, setting: str = "") -> bytes:
    """All of the body. Raises RequestEntityTooLarge, naming the `setting` that limits it.

    BadRequest when the connection ended before the announced length: half of a body may read
    like a whole one, and gunicorn hands it over without a word.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit, setting)
    # A body that announces no length is cut off in silence where this limit is (werkzeug's
    # LimitedStream.readall), so one byte more than allowed is what tells that it was too long.
    request.max_content_length = limit + 1
    body = request.get_data(cache=False)
    if len(body) > limit:
        raise _too_large(limit, setting)
    if len(body) < (request.content_length or 0):
        raise BadRequest("the body is shorter than its Content-Length")
    return body


def _too_large(limit: int, setting: str) -> RequestEntityTooLarge:
    by = f" ({setting})" if setting else ""
    return RequestEntityTooLarge(f"the body may have {limit} bytes{by}")

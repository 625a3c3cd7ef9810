"""Who may use the API: the bearer of the admin token, compared in constant time."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request

from webhook_launcher.web.problems import problem


def admin_only(token: bytes | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for views: 403 when no token is configured, 401 without the right one."""

    def guard(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return refusal(token) or view(*args, **kwargs)

        return guarded

    return guard


def refusal(token: bytes | None) -> Response | None:
    """The answer to a request that may not pass; None when it may."""
    if token is None:
        return problem(
            403,
            "no-admin-token",
            "The API is off",
            "No admin token is configured.",
            "Set `admin: {token_file: …}` in the configuration and restart the launcher.",
        )
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # As bytes: compare_digest refuses text beyond ASCII, which the token never is.
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token):
        return None
    return problem(
        401,
        "authentication",
        "Not the admin token",
        "The Authorization header does not carry the admin token.",
        "Send `Authorization: Bearer <content of admin.token_file>`.",
    )

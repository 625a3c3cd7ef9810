"""Errors as `application/problem+json` (RFC 9457); the only home of HTTP statuses."""

import logging
from collections.abc import Mapping
from types import MappingProxyType

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from webhook_launcher.core.errors import (
    AuthenticationError,
    CommandError,
    ConfigurationError,
    EventError,
    JournalError,
    LauncherError,
    OutOfScopeError,
    UnknownWorkloadError,
    VerificationError,
)
from webhook_launcher.web.answer import PROBLEM, Answer

_log = logging.getLogger(__name__)
# First match wins, so the more special class stands first.
_STATUSES: tuple[tuple[type[LauncherError], int], ...] = (
    (AuthenticationError, 401),
    (OutOfScopeError, 422),
    (EventError, 400),
    (VerificationError, 422),
    (ConfigurationError, 422),
    (UnknownWorkloadError, 404),
    (CommandError, 409),
    (JournalError, 503),  # full, or a disk that may be mended: nothing was accepted, send it again
)
# Flask's own texts for these speak to somebody at a browser.
_DETAIL = {
    NotFound: "there is nothing at this path",
    MethodNotAllowed: "this path does not take this method",
}
_ADVICE = {
    400: "Correct the request; nothing was done.",
    404: "Look at the path: POST /hooks/<source>, GET /healthz, GET /readyz, or /api/v1/….",
    405: "Use one of the methods in the Allow header.",
    413: "Send less, or raise `limits.body` in the configuration.",
}
_BAD_CREDENTIALS = 401
_SERVER_FAULT = 500
_TOO_LARGE = 413
_LATER = (429, 503)
_RETRY_AFTER = 30


def status_of(error: LauncherError) -> int:
    """The HTTP status of an error; 503 for what may pass, 500 otherwise."""
    for family, status in _STATUSES:
        if isinstance(error, family):
            return status
    return 503 if error.retryable else _SERVER_FAULT


def document(
    status: int,
    code: str,
    title: str,
    detail: str,
    advice: str,
    *,
    more: Mapping[str, object] = MappingProxyType({}),
    retry_after: int = _RETRY_AFTER,
) -> Answer:
    """A problem document; `detail` is about this occurrence, `advice` what to do."""
    content = {"status": status, "code": code, "title": title, "detail": detail, "advice": advice}
    headers: tuple[tuple[str, str], ...] = ()
    if status in _LATER:
        headers = (("Retry-After", str(retry_after)),)
    if status == _BAD_CREDENTIALS:  # RFC 9110, 11.6.1: a 401 names its scheme
        headers = (("WWW-Authenticate", "Bearer"),)
    return Answer(status, {**content, **more}, PROBLEM, headers)


def problem(
    status: int, code: str, title: str, detail: str, advice: str, **more: object
) -> Response:
    """The same as flask's response."""
    return document(status, code, title, detail, advice, more=more).response()


def of_error(error: LauncherError) -> Answer:
    """The problem document of a launcher error; one of our own faults is also logged."""
    title = error.code.replace("-", " ").capitalize()
    more = {"problems": error.as_documents()} if isinstance(error, ConfigurationError) else {}
    answer = document(status_of(error), error.code, title, str(error), error.advice(), more=more)
    if answer.status >= _SERVER_FAULT:
        _log.error("refused", extra={"code": error.code, "detail": str(error)})
    return answer


def of_http(error: HTTPException) -> Answer:
    """The problem document of flask's own errors."""
    status = error.code or _SERVER_FAULT
    return document(
        status,
        error.name.lower().replace(" ", "-"),
        error.name,
        _detail(error),
        _ADVICE.get(status, "Nothing was done; see docs/operations.md for the paths there are."),
    )


def of_fault(error: BaseException) -> Answer:
    """What is told of a fault of our own; the log has the rest."""
    _log.error("fault while answering", exc_info=error)
    return document(
        _SERVER_FAULT,
        "fault",
        "Internal fault",
        "The launcher met a fault of its own; nothing of this request was accepted.",
        "Read the launcher's log, and report what it says.",
    )


def too_large(limit: int) -> Answer:
    """The body of a request is longer than allowed."""
    return document(
        _TOO_LARGE,
        "request-entity-too-large",
        "Request Entity Too Large",
        f"the body may have {limit} bytes (limits.body)",
        _ADVICE[_TOO_LARGE],
    )


def _detail(error: HTTPException) -> str:
    if error.description and error.description != type(error).description:
        return error.description
    return _DETAIL.get(type(error)) or error.description or error.name


def install(app: Flask) -> None:
    """Answer every error as a problem document, also those of Flask and our own faults."""

    @app.errorhandler(LauncherError)
    def launcher_error(error: LauncherError) -> Response:
        return of_error(error).response()

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = of_http(error).response()
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        return of_fault(error).response()

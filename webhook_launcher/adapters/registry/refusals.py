"""A status that is not 200, turned into the error that says who must act and what to do."""

from email.utils import parsedate_to_datetime
from http import HTTPStatus

from webhook_launcher.adapters.registry.transport import Answer
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import (
    ManifestNotFoundError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
)

# A registry may ask for any pause; beyond this the next look tells whether it still holds.
MAX_RETRY_AFTER = 3600.0
# The codes of the distribution-spec. Only these words of a refusal are repeated: its free text is
# foreign, and could echo what we sent.
_CODES = frozenset(
    {"DENIED", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN"}
    | {"TOOMANYREQUESTS", "UNAUTHORIZED", "UNSUPPORTED"}
)
_SERVER_ERRORS = 500


def refusal(answer: Answer, registry: str, asked: str, *, anonymous: bool) -> RegistryError:
    """The error for an answer other than 200. `asked` is the reference or `a token for ...`."""
    said = f"registry {registry} answers {answer.status}{_codes(answer)} for {asked}"
    status = answer.status
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return denied(said, registry, anonymous=anonymous)
    if status == HTTPStatus.NOT_FOUND:
        private = " If it is private, the registry needs credentials." if anonymous else ""
        return ManifestNotFoundError(said, advice=ManifestNotFoundError.default_advice + private)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(said, retry_after=retry_after(answer))
    if status >= _SERVER_ERRORS:
        return RegistryUnavailableError(said, retry_after=retry_after(answer))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RegistryError(
            f"{said}: a redirect, which is not followed here",
            advice="Name the registry by the host that serves its manifests and tokens itself.",
        )
    return RegistryError(said, advice="Check that this host is a registry with the v2 API.")


def denied(happened: str, registry: str, *, anonymous: bool) -> RegistryDeniedError:
    """401 or 403, told apart by what the operator must do: give credentials, or better ones."""
    if anonymous:
        return RegistryDeniedError(f"{happened}; no credentials are configured for it")
    return RegistryDeniedError(
        f"{happened}; it refuses the credentials that are configured for it",
        advice=f"Check user name, password and the right to pull: under `registries: {registry}`, "
        f"or else log in again with `docker login {registry}`.",
    )


def retry_after(answer: Answer) -> float | None:
    """`Retry-After` in seconds, 0 to 3600; None when it is missing or unreadable (RFC 9110 10.2.3).

    A date is taken relative to the answer's own `Date`, so our clock need not agree with it.
    """
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        # Cut before it is a number: int() of a very long one is slow, then refused.
        return min(float(value[:9]), MAX_RETRY_AFTER)
    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):  # TypeError: one says -0000, no time zone
        return None
    return min(max(pause.total_seconds(), 0.0), MAX_RETRY_AFTER)


def _codes(answer: Answer) -> str:
    try:
        errors = strict_json.loads(answer.body)["errors"]
        found = [error["code"] for error in errors]
    except (strict_json.StrictJsonError, LookupError, TypeError):
        return ""
    known = [code for code in found if isinstance(code, str) and code in _CODES]
    return f" ({', '.join(dict.fromkeys(known))})" if known else ""

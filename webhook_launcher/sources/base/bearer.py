"""OIDC bearer tokens: RS256 JWTs of one issuer for one audience, verified through PyJWT.

A token proves the caller. It proves the body only where the audience says the body's hash, which
is for the kind to arrange. Claims are read once more as strict JSON, because PyJWT keeps the last
of two equal keys, and times are compared with the given `now`, because PyJWT asks the clock.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.retention import LONGEST_TOLERANCE
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.sources.base.credentials import key_named

# GitHub's tokens have about 2 KiB, Google's one.
_MAX_TOKEN = 8192
# Clocks differ; lifetimes are five minutes (GitHub) to an hour (Google).
LEEWAY = timedelta(seconds=60)
# GitLab's are good until the job's timeout, which may be a month. A `jti` is not remembered for
# ever, so a token is not good for ever either.
LONGEST_AGE = LONGEST_TOLERANCE
_LAST_SECOND = 253402300799  # of the year 9999: later ones are no datetime


def bearer_claims(
    delivery: Delivery, source: Source, now: datetime, *, issuers: frozenset[str], audience: str
) -> Mapping[str, Any]:
    """The claims of the delivery's token. AuthenticationError when anything does not hold.

    1. `Authorization: Bearer` carries a short token whose parts are strict JSON; 2. it names a key
    of the issuer; 3. PyJWT verifies signature, algorithm and audience; 4. the issuer is ours;
    5. it is valid now.
    """
    token = _token(delivery)
    header, _ = _strict(token)
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise AuthenticationError("the token names no key")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key_named(source, kid),
            algorithms=["RS256"],
            audience=audience,
            options={
                "require": ["iss", "aud", "exp", "iat"],
                "strict_aud": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise AuthenticationError("the token is not valid for this source") from error
    if not isinstance(claims["iss"], str) or claims["iss"] not in issuers:
        raise AuthenticationError("the token is of another issuer")
    _check_times(claims, now)
    return claims


def issued_at(claims: Mapping[str, Any]) -> datetime:
    """When a verified token was made."""
    return datetime.fromtimestamp(claims["iat"], UTC)


def _token(delivery: Delivery) -> str:
    scheme, _, token = (delivery.header("authorization") or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN or not token.isascii():
        raise AuthenticationError("the delivery carries no bearer token")
    return token


def _strict(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as one reader and the next would both read them."""
    try:
        header, claims, _ = token.split(".")
        parsed = [
            strict_json.loads(base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))
            for part in (header, claims)
        ]
    except ValueError as error:
        raise AuthenticationError("the bearer is no JSON Web Token") from error
    if not all(isinstance(part, dict) for part in parsed):
        raise AuthenticationError("the bearer is no JSON Web Token")
    return parsed[0], parsed[1]


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    seconds = {name: claims.get(name, 0) for name in ("iat", "nbf", "exp")}
    for value in seconds.values():
        # `type`, not `isinstance`: true is an int in Python.
        if type(value) is not int or not 0 <= value <= _LAST_SECOND:
            raise AuthenticationError("the token's times are not seconds")
    here, leeway = now.timestamp(), LEEWAY.total_seconds()
    if here > seconds["exp"] + leeway:
        raise AuthenticationError("the token has expired")
    if here < max(seconds["iat"], seconds["nbf"]) - leeway:
        raise AuthenticationError("the token is not valid yet")
    if here > seconds["iat"] + LONGEST_AGE.total_seconds() + leeway:
        raise AuthenticationError("the token was issued more than a day ago")

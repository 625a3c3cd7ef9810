"""How deliveries prove where they come from, one function per scheme; kinds choose among them.

Each raises AuthenticationError and returns a Proof: `signed` when the body is covered, `token`
when the delivery merely carries a secret.
"""

import base64
from contextlib import suppress
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.signatures import (
    Algorithm,
    verify_hmac,
    verify_standard_webhook,
    verify_static,
    wire_bytes,
)
from webhook_launcher.core.source import KEY_LOOKUP, Delivery, Proof, Source


def url_token(delivery: Delivery, source: Source) -> Proof:
    """The last part of the URL is one of the source's tokens."""
    if delivery.token is None:
        raise AuthenticationError("the URL carries no token")
    return Proof(Trust.TOKEN, verify_static([wire_bytes(delivery.token)], source.tokens))


def body_mac(
    delivery: Delivery, source: Source, header: str, algorithm: Algorithm = "sha256"
) -> Proof:
    """A hex HMAC of the raw body in `header`, made with one of the source's secrets."""
    matching = verify_hmac(
        delivery.header(header), delivery.body, source.secrets, algorithm=algorithm
    )
    return Proof(Trust.SIGNED, matching)


def standard_webhook(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """Id, time and raw body are signed with one of the source's keys (Standard Webhooks)."""
    message = verify_standard_webhook(
        delivery.headers, delivery.body, source.keys, now=now, tolerance=source.tolerance
    )
    # The signed id is the one to remember; whatever else names the delivery is not signed.
    return Proof(Trust.SIGNED, message.key_id, message.signed_at, message.id)


def static_header(delivery: Delivery, source: Source, default: str = "Authorization") -> Proof:
    """A header carries one of the secrets; without secrets, the URL token must do it alone.

    The secret may be the header's whole value, or what follows `Bearer`, or `user:password`
    of a `Basic` header: people configure each of them, and each proves the same knowledge.
    """
    if not source.secrets:
        return url_token(delivery, source)
    presented = delivery.header(source.header or default)
    if not presented:
        raise AuthenticationError(f"the delivery carries no {source.header or default} header")
    return Proof(Trust.TOKEN, verify_static(_spellings(presented), source.secrets))


def key_named(source: Source, name: str) -> RSAPublicKey:
    """The public key that a delivery says it was signed with. AuthenticationError if unknown."""
    lookup = source.options.get(KEY_LOOKUP)
    key = lookup(name) if callable(lookup) else None
    if not isinstance(key, RSAPublicKey):
        raise AuthenticationError("the delivery names a key that is not known here")
    return key


def _spellings(presented: str) -> list[bytes]:
    scheme, _, rest = presented.partition(" ")
    found = [wire_bytes(presented)]
    if scheme.lower() == "bearer":
        found.append(wire_bytes(rest.strip()))
    elif scheme.lower() == "basic":
        # Not Basic after all? The verbatim value is still compared.
        with suppress(ValueError):
            found.append(base64.b64decode(rest.strip(), validate=True))
    return found

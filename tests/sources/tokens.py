"""ID tokens for tests, made with throw-away keys."""

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.sources.senders import with_headers
from webhook_launcher.core.source import Delivery

ISSUER = generate_private_key(65537, 2048)
STRANGER = generate_private_key(65537, 2048)
KID = "key-1"
PUBLIC_KEYS = {KID: ISSUER.public_key()}


def token(claims: dict[str, Any], key: RSAPrivateKey = ISSUER, **header: Any) -> str:
    """A signed token; claims that are None are left out."""
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, key, algorithm="RS256", headers={"kid": KID, **header})


def bearing(delivery: Delivery, text: str) -> Delivery:
    """The same request with this token."""
    return with_headers(delivery, Authorization=f"Bearer {text}")

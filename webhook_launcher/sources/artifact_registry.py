"""`artifact-registry`: Google Artifact Registry (and gcr.io) through a Pub/Sub push subscription.

Topic `gcr` says `{action: INSERT|DELETE, digest?: host/path@sha256:..., tag?: host/path:tag}`,
base64 in a wrapper or, without wrapper, as the body. Pub/Sub proves itself by an OIDC token of the
subscription's service account, which does not cover the body: trust is `token`. Anything but 2xx
is repeated for days. cloud.google.com, Artifact Registry notifications and Pub/Sub push.
"""

import base64
import binascii
from datetime import datetime

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import (
    AuthenticationError,
    MalformedEventError,
    UnreadableBodyError,
)
from webhook_launcher.core.model import Mention, Trust
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.bearer import bearer_claims, issued_at
from webhook_launcher.sources.base.body import Fields, delivery_id, label, read_fields
from webhook_launcher.sources.base.images import agree, located
from webhook_launcher.sources.base.options import text_option

_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
_MAX_MESSAGE = 64 * 1024


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """Google's token for the configured audience and service account."""
    audience, email = source.options.get("audience"), source.options.get("email")
    if not isinstance(audience, str) or not isinstance(email, str):
        raise AuthenticationError("the source has no audience and email to compare with")
    claims = bearer_claims(delivery, source, now, issuers=_ISSUERS, audience=audience)
    # Every Google account can get a token for any audience; the account is what is pinned.
    if claims.get("email") != email or claims.get("email_verified") is not True:
        raise AuthenticationError("the token is of another service account")
    return Proof(Trust.TOKEN, email, issued_at(claims))


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    try:
        fields = read_fields(delivery.body)
    except UnreadableBodyError as error:
        # Without wrapper the body is whatever somebody published: authentic, and of no use. Like
        # every such delivery it must be acknowledged, or it comes again for days.
        raise MalformedEventError(f"the message is no event of a registry: {error}") from error
    wrapped = "message" in fields
    message = fields.fields("message")
    sent = message.text("messageId") or message.text("message_id")
    sent = sent or delivery.header("x-goog-pubsub-message-id")
    identity = delivery_id(sent, delivery.body) if sent else None
    push = _content(message) if wrapped else fields
    if push is None or "action" not in push:
        return Statement(identity, ignored="the message is of another topic")
    action = push.text("action")
    if action != "INSERT":
        return Statement(identity, ignored=f"action {label(action) or 'none'} is no push")
    if "tag" not in push:
        return Statement(identity, ignored="the pushed manifest has no tag")
    return Statement(identity, (Mention(_pushed(push, source)),))


def _content(message: Fields) -> Fields | None:
    """The wrapped event; None when it is nothing of a registry's."""
    try:
        decoded = base64.b64decode(message.text("data", _MAX_MESSAGE) or "", validate=True)
        event = strict_json.loads(decoded)
    except (binascii.Error, ValueError):
        return None
    return Fields(event, "message.data") if isinstance(event, dict) else None


def _pushed(push: Fields, source: Source) -> Reference:
    tagged = located(push.required_text("tag"), source, push.at("tag"))
    if tagged.tag is None or tagged.digest is not None:
        raise MalformedEventError(f"{push.at('tag')} is not host/path:tag")
    text = push.text("digest")
    if text is None:
        return tagged
    exact = located(text, source, push.at("digest"))
    agree(tagged.repository, push.at("tag"), exact.repository, push.at("digest"))
    if exact.digest is None:
        raise MalformedEventError(f"{push.at('digest')} is not host/path@digest")
    return tagged.at(exact.digest)


def _key_set(source: Source) -> str:
    return str(source.options.get("jwks", _KEYS))


KIND = Kind(
    "artifact-registry",
    authenticate,
    read,
    credentials=frozenset(),
    needs_registry=False,
    options={"audience": text_option, "email": text_option, "jwks": text_option},
    required_options=frozenset({"audience", "email"}),
    punishes_errors=True,
    jwks=_key_set,
)

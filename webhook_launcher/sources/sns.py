r"""`sns`: ECR's EventBridge events through an Amazon SNS topic, which signs them.

The signature is in the body: RSA over `key\nvalue\n` of the fields of its type, SHA-1 for version
1 (the topics' default) and SHA-256 for version 2. Anybody can own a genuine topic, so the topics
are listed in the configuration; `MessageAttributes` are not signed and not read. No URL of a body
is ever opened. docs.aws.amazon.com, verifying the signatures of Amazon SNS messages.
"""

import base64
import re
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509 import load_pem_x509_certificate

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, delivery_id, read_fields
from webhook_launcher.sources.base.credentials import key_named
from webhook_launcher.sources.base.ecr_event import read_ecr_event
from webhook_launcher.sources.base.options import texts_option

_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES: dict[str, HashAlgorithm] = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - the sender's choice
# Host and file name both: other hosts of amazonaws.com serve what their customers put there.
_CERTIFICATE = re.compile(
    r"https://sns\.(?P<region>[a-z0-9-]{3,})\.amazonaws\.com(?P<china>\.cn)?"
    r"/(?P<name>SimpleNotificationService-[0-9a-f]+\.pem)"
)
_SUBSCRIBE = re.compile(r"https://sns\.[a-z0-9-]{3,}\.amazonaws\.com(?:\.cn)?/\?[!-~]{1,900}")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
# SNS repeats a failed delivery for at most an hour; `Timestamp` is when it was published.
_MAX_AGE = timedelta(hours=1)
_MAX_MESSAGE = 256 * 1024


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """The message is of a listed topic, recent, and signed by a certificate of Amazon SNS."""
    try:
        fields = read_fields(delivery.body)
        # Before the lookup, which may fetch: whoever sends old or foreign messages causes no work.
        signed_at = _published(fields, source, now)
        certificate = _verify(fields, source)
    except MalformedEventError as error:
        raise AuthenticationError(f"not a signed SNS message: {error}") from error
    return Proof(Trust.SIGNED, certificate, signed_at)


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag of the event inside, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    kind = fields.required_text("Type")
    identity = delivery_id(fields.required_text("MessageId"), delivery.body)
    if kind == "SubscriptionConfirmation":
        return Statement(identity, ignored=_confirmation(fields.text("SubscribeURL") or ""))
    if kind != "Notification":
        return Statement(identity, ignored="the message is no notification")
    try:
        event = strict_json.loads((fields.text("Message", _MAX_MESSAGE) or "").encode())
    except strict_json.StrictJsonError:
        event = None
    if not isinstance(event, dict):
        return Statement(identity, ignored="the message is no event of ECR")
    return read_ecr_event(Fields(event, "Message"), source, identity)


def key_of_certificate(pem: bytes) -> RSAPublicKey:
    """The key of a fetched certificate, for the outside's KeyLookup. ValueError if it has none.

    Amazon's certificates are trusted for where they were fetched from (TLS), not for their dates:
    messages are verified by their own signed time.
    """
    key = load_pem_x509_certificate(pem).public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the certificate has no RSA key")
    return key


def _verify(fields: Fields, source: Source) -> str:
    """Numbered as in Amazon's instructions; returns the certificate's file name."""
    # 1. A type whose signed fields are known, from a topic that is listed.
    names = _SIGNED.get(fields.required_text("Type"))
    topics = source.options.get("topics")
    topic = fields.required_text("TopicArn")
    if names is None or not isinstance(topics, tuple) or topic not in topics:
        raise AuthenticationError("the message is not of a topic of this source")
    # 2. A certificate of Amazon SNS, by host and by name, in the region of the topic.
    url = fields.required_text("SigningCertURL")
    certificate = _CERTIFICATE.fullmatch(url)
    algorithm = _HASHES.get(fields.required_text("SignatureVersion"))
    if certificate is None or algorithm is None:
        raise AuthenticationError("the message is not signed as Amazon SNS signs")
    partition, region = topic.split(":")[1], topic.split(":")[3]
    china = ".cn" if partition == "aws-cn" else None
    if (certificate["region"], certificate["china"]) != (region, china):
        raise AuthenticationError("SigningCertURL is of another region than TopicArn")
    # 3. Its key made this signature over the fields, each on a line below its name.
    try:
        signature = base64.b64decode(fields.required_text("Signature"), validate=True)
        key_named(source, url).verify(signature, _content(fields, names), PKCS1v15(), algorithm)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise AuthenticationError("the signature does not fit the message") from error
    return certificate["name"]


def _content(fields: Fields, names: tuple[str, ...]) -> bytes:
    """What is signed: absent fields are left out, an empty one is not."""
    lines = (
        f"{name}\n{fields.text(name, _MAX_MESSAGE) or ''}\n" for name in names if name in fields
    )
    return "".join(lines).encode()


def _published(fields: Fields, source: Source, now: datetime) -> datetime:
    text = fields.required_text("Timestamp")
    try:
        published = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedEventError("Timestamp is not a time") from error
    if not -source.tolerance <= now - published <= _MAX_AGE:
        raise AuthenticationError("the message was published too long ago, or not yet")
    return published


def _confirmation(url: str) -> str:
    """A person decides: opening the URL subscribes this endpoint to the topic."""
    if not _SUBSCRIBE.fullmatch(url):
        return "the topic asks for confirmation by a URL that is not Amazon's"
    return f"the topic asks for confirmation: open {url}"


def _topics(value: object) -> tuple[str, ...]:
    topics = texts_option(value)
    if not all(_TOPIC.fullmatch(topic) for topic in topics):
        raise ValueError("must be topic ARNs, such as arn:aws:sns:eu-central-1:123456789012:pushes")
    return topics


KIND = Kind(
    "sns",
    authenticate,
    read,
    credentials=frozenset(),
    needs_registry=False,
    options={"topics": _topics},
    required_options=frozenset({"topics"}),
    certificates=True,
    replayable=lambda source: source.tolerance + _MAX_AGE,
)

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    TOPIC,
    changed,
    options,
    pushed,
    recorded,
    source,
    with_body,
)
from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.source import KEY_LOOKUP, Delivery
from webhook_launcher.sources import KINDS, read, receive
from webhook_launcher.sources.sns import key_of_certificate

AMAZON = generate_rsa(65537, 2048)
STRANGER = generate_rsa(65537, 2048)
URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CERTIFICATES: dict[str, RSAPublicKey] = {URL: AMAZON.public_key()}
SOURCE = source("sns", options={**options("sns"), KEY_LOOKUP: CERTIFICATES.get})
PUSH = recorded("sns")
NOTIFICATION = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
CONFIRMATION = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]


def signed(delivery: Delivery, *changes: tuple[str, Any], key: RSAPrivateKey = AMAZON) -> Delivery:
    """As Amazon signs: the fields of the type, each on a line below its name."""
    body = json.loads(changed(delivery, *changes).body)
    names = NOTIFICATION if body["Type"] == "Notification" else CONFIRMATION
    content = "".join(f"{name}\n{body[name]}\n" for name in names if name in body)
    algorithm = SHA1() if body["SignatureVersion"] == "1" else SHA256()  # noqa: S303 - theirs
    signature = key.sign(content.encode(), PKCS1v15(), algorithm)
    return with_body(delivery, {**body, "Signature": base64.b64encode(signature).decode()})


def test_a_signed_notification_names_an_image() -> None:
    """SNS signs, unlike EventBridge's API destinations: here the digest may be believed."""
    event = receive(signed(PUSH), SOURCE, NOW)
    host = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"
    assert event.mentions == (pushed(f"{host}/acme/web:stable", D1),)
    assert event.trust is Trust.SIGNED
    assert event.secret_id == "SimpleNotificationService-0123456789abcdef.pem"
    assert event.delivery_id == "9d1f8a2b-0c3d-5e4f-8a6b-7c8d9e0f1a2b"
    assert event.signed_at == datetime(2026, 3, 1, 11, 59, 30, 123000, UTC)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [MISSING, "Push", "Zwölf Boxkämpfer"])
def test_both_versions_and_an_optional_subject_verify(version: str, subject: Any) -> None:
    """Version 1 is what topics are created with; absent fields are not signed."""
    if subject is MISSING:
        delivery = signed(PUSH, ("SignatureVersion", version))
    else:
        delivery = signed(PUSH, ("SignatureVersion", version), ("Subject", subject))
    assert receive(delivery, SOURCE, NOW).mentions


def test_an_empty_subject_is_signed_as_one() -> None:
    """Empty is not absent."""
    assert receive(signed(PUSH, ("Subject", "")), SOURCE, NOW).mentions


@pytest.mark.parametrize(
    "change",
    [
        ("Message", "{}"),
        ("MessageId", "another"),
        ("Subject", "added"),
        ("Timestamp", "2026-03-01T11:59:31.123Z"),
        ("Type", "SubscriptionConfirmation"),
        ("SignatureVersion", "1"),
        ("SignatureVersion", "3"),
        ("SignatureVersion", MISSING),
        ("Signature", ""),
        ("Signature", "!!!"),
        ("Signature", "AAAA"),
        ("TopicArn", "arn:aws:sns:eu-central-1:210987654321:other"),
        ("TopicArn", MISSING),
        ("Timestamp", MISSING),
    ],
)
def test_a_changed_message_is_refused(change: tuple[str, Any]) -> None:
    """Every signed field, the scheme and the topic are covered."""
    with pytest.raises(AuthenticationError):
        receive(changed(signed(PUSH), change), SOURCE, NOW)


def test_unsigned_attributes_change_nothing() -> None:
    """They are not covered by the signature, so they are not read."""
    extra = changed(signed(PUSH), ("MessageAttributes", {"repo": {"Value": "evil"}}))
    assert receive(extra, SOURCE, NOW).mentions == read(PUSH, SOURCE).mentions


@pytest.mark.parametrize(
    "url",
    [
        "https://s3.amazonaws.com/evil/SimpleNotificationService-0123456789abcdef.pem",
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com/evil.pem",
        "https://sns.eu-central-1.amazonaws.com/x/SimpleNotificationService-0.pem",
        f"{URL}\n",
        f"{URL}?x=1",
    ],
)
def test_a_certificate_from_elsewhere_is_never_asked_for(url: str) -> None:
    """Many hosts of amazonaws.com serve what their customers put there."""
    asked: list[str] = []
    spying = source("sns", options={**options("sns"), KEY_LOOKUP: asked.append})
    with pytest.raises(AuthenticationError):
        receive(signed(PUSH, ("SigningCertURL", url)), spying, NOW)
    assert asked == []


@pytest.mark.parametrize(
    "change",
    [
        ("Timestamp", "2026-03-01T10:00:00.000Z"),
        ("Timestamp", "2026-03-02T11:59:30.123Z"),
        ("Timestamp", "soon"),
        ("TopicArn", "arn:aws:sns:eu-central-1:000000000000:pushes"),
        ("SigningCertURL", URL.replace("eu-central-1", "us-east-1")),
        ("SigningCertURL", URL.replace("amazonaws.com", "amazonaws.com.cn")),
        ("SignatureVersion", "3"),
    ],
)
def test_nothing_is_looked_up_for_what_is_refused_anyway(change: tuple[str, Any]) -> None:
    """A lookup may fetch: strangers' old messages must not make us a client of Amazon's."""
    asked: list[str] = []
    spying = source("sns", options={**options("sns"), KEY_LOOKUP: asked.append})
    with pytest.raises(AuthenticationError):
        receive(signed(PUSH, change), spying, NOW)
    assert asked == []


def test_a_topic_in_china_is_signed_there() -> None:
    """The certificate is of the topic's region and partition."""
    topic = "arn:aws-cn:sns:cn-north-1:210987654321:pushes"
    url = URL.replace("eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn")
    known = {url: AMAZON.public_key()}
    own = source("sns", options={**options("sns", topics=topic), KEY_LOOKUP: known.get})
    delivery = signed(PUSH, ("TopicArn", topic), ("SigningCertURL", url))
    assert receive(delivery, own, NOW).mentions


def test_another_key_and_an_unknown_certificate_are_refused() -> None:
    """The right name on the wrong signature, and a name nobody has the key of."""
    with pytest.raises(AuthenticationError):
        receive(signed(PUSH, key=STRANGER), SOURCE, NOW)
    unknown = signed(PUSH, ("SigningCertURL", URL.replace("0123", "9999")))
    with pytest.raises(AuthenticationError):
        receive(unknown, SOURCE, NOW)
    without = replace(SOURCE, options=options("sns"))
    with pytest.raises(AuthenticationError):
        receive(signed(PUSH), without, NOW)


def test_a_topic_that_is_not_listed_is_refused_although_genuine() -> None:
    """Anybody can own a topic whose messages Amazon signs."""
    foreign = signed(PUSH, ("TopicArn", "arn:aws:sns:eu-central-1:000000000000:pushes"))
    with pytest.raises(AuthenticationError, match="topic"):
        receive(foreign, SOURCE, NOW)


def test_an_old_message_is_refused() -> None:
    """SNS repeats for an hour at most; later it is a capture."""
    published = datetime(2026, 3, 1, 11, 59, 30, 123000, UTC)
    receive(signed(PUSH), SOURCE, published + timedelta(hours=1))
    receive(signed(PUSH), SOURCE, published - timedelta(minutes=5))
    for age in (timedelta(hours=1, seconds=1), -timedelta(minutes=5, seconds=1)):
        with pytest.raises(AuthenticationError):
            receive(signed(PUSH), SOURCE, published + age)


def test_a_signed_time_that_is_none_is_refused() -> None:
    """It is what ends a capture's use."""
    for text in ("yesterday", "2026-03-01", ""):
        with pytest.raises(AuthenticationError):
            receive(signed(PUSH, ("Timestamp", text)), SOURCE, NOW)


def test_a_confirmation_is_shown_and_never_visited() -> None:
    """Opening the URL subscribes: that is for a person, and for Amazon's URL only."""
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336"
    asks = (
        ("Type", "SubscriptionConfirmation"),
        ("Message", "You have chosen to subscribe"),
        ("Token", "2336"),
        ("SubscribeURL", url),
    )
    event = receive(signed(PUSH, *asks), SOURCE, NOW)
    assert event.mentions == ()
    assert url in (event.ignored or "")
    forged = signed(PUSH, *asks[:3], ("SubscribeURL", "https://evil.example/?x"))
    assert "evil" not in (receive(forged, SOURCE, NOW).ignored or "")


@pytest.mark.parametrize(
    "change",
    [
        ("Type", "UnsubscribeConfirmation"),
        ("Message", "Hello from SNS!"),
        ("Message", '["a", "list"]'),
        ("Message", '{"notificationType":"Bounce"}'),
        ("Message", '{"a": 1, "a": 2}'),
    ],
)
def test_messages_that_are_no_push_are_ignored(change: tuple[str, str]) -> None:
    """A topic may carry other things."""
    statement = read(changed(PUSH, change), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


@pytest.mark.parametrize("body", [{"Records": [{"Sns": {}}]}, json.loads("{}"), {"detail": {}}])
def test_raw_and_lambda_deliveries_are_refused(body: dict[str, Any]) -> None:
    """Raw delivery removes the signature, Lambda's copies spell the fields differently."""
    with pytest.raises(MalformedEventError):
        read(with_body(PUSH, body), SOURCE)
    with pytest.raises(AuthenticationError):
        receive(with_body(PUSH, body), SOURCE, NOW)


def test_unreadable_bytes_fail_authentication() -> None:
    """The proof is in the body, so nothing about a broken one is authentic."""
    with pytest.raises(AuthenticationError):
        receive(with_body(PUSH, b"{"), SOURCE, NOW)


@pytest.mark.parametrize("value", [[], "pushes", ["arn:aws:sqs:eu-central-1:210987654321:q"], [1]])
def test_topics_are_arns(value: object) -> None:
    """A topic that can never match would refuse everything in silence."""
    with pytest.raises(ValueError, match="must"):
        KINDS["sns"].options["topics"](value)
    assert KINDS["sns"].options["topics"](TOPIC) == (TOPIC,)
    assert "topics" in KINDS["sns"].required_options


def test_the_key_of_a_certificate_is_taken_whatever_its_dates() -> None:
    """Messages are judged by their own time; a certificate without RSA key is none of SNS."""
    name = x509.Name([])
    for key in (AMAZON, generate_private_key(SECP256R1())):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .serial_number(1)
            .not_valid_before(datetime(2013, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2014, 1, 1, tzinfo=UTC))
            .public_key(key.public_key())
        )
        pem = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
        if isinstance(key, RSAPrivateKey):
            assert key_of_certificate(pem).public_numbers() == key.public_key().public_numbers()
        else:
            with pytest.raises(ValueError, match="RSA"):
                key_of_certificate(pem)
    with pytest.raises(ValueError, match=r"\w"):
        key_of_certificate(b"not a certificate")

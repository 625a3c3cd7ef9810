"""Published signature vectors of `../shared/vectors`, by the functions that kinds verify with."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.sources.recordings import VECTORS, load, require_recordings
from tests.sources.senders import NOW, changed, options, secrets, source
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.signatures import (
    Algorithm,
    parse_signing_key,
    parse_verification_key,
    sign,
    verify_hmac,
    verify_standard_webhook,
)
from webhook_launcher.core.source import KEY_LOOKUP, Delivery
from webhook_launcher.sources import KINDS
from webhook_launcher.sources.sns import key_of_certificate

require_recordings()

ALGORITHMS: dict[str, Algorithm] = {"sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
GOOGLE = load(VECTORS / "google-pubsub-oidc.json")
HTTP_SIGNATURES = load(VECTORS / "rfc9421/vectors.json")
PUSH = load(VECTORS / "github/adnanh-push-sig.json")


# Prose, and the certificate and key that the vectors beside them name.
READ_ELSEWHERE = {"INDEX.md", "sns/string-to-sign.md"}
BY_PATTERN = ("sns/bouncy*.json", "sns/*.pem", "rfc9421/*.pem")


def test_no_vector_is_left_out() -> None:
    """A file that is added to the folder must be run here, not only lie there."""
    here = Path(__file__).read_text("utf-8")
    listed = {p for p in VECTORS.rglob("*") if p.is_file()}
    matched = {p for pattern in BY_PATTERN for p in VECTORS.glob(pattern)}
    names = {p.relative_to(VECTORS).as_posix() for p in listed - matched} - READ_ELSEWHERE
    named = {name for name in names if f'"{name}"' in here}
    assert names - named - {PUSH["body_file"], f"github/{PUSH['body_file']}"} == set()


def refusal(check: Callable[[], object]) -> AuthenticationError | None:
    """None when a verification holds."""
    try:
        check()
    except AuthenticationError as error:
        return error
    return None


def name_of(case: Any) -> str:
    """What a case is called."""
    return str(case.get("name", case.get("signature", case.get("value", "case"))))[:40]


@pytest.mark.parametrize("case", load(VECTORS / "github/hmac.json"), ids=name_of)
def test_githubs_vectors(case: dict[str, Any]) -> None:
    """The header names an algorithm; ours is configured, and the older header is never read."""
    value, body, secret = case["value"], case["body"].encode(), secrets(case["secret"].encode())
    algorithm = ALGORITHMS.get((value or "").partition("=")[0], "sha256")
    error = refusal(lambda: verify_hmac(value, body, secret, algorithm=algorithm))
    assert (error is None) is bool(case["ok"])
    sent = Delivery({case["header"].lower(): value} if value else {}, body)
    given = source("github", secrets=secret)
    error = refusal(lambda: KINDS["github"].authenticate(sent, given, NOW))
    current = case["header"] == "X-Hub-Signature-256"
    assert (error is None) is (case["ok"] is True and current)


def test_a_real_push_byte_for_byte() -> None:
    """Tabs and the missing line feed at the end are signed as well."""
    body, secret = (VECTORS / "github" / PUSH["body_file"]).read_bytes(), PUSH["secret"].encode()
    current = next(value for name, value in PUSH.items() if name.startswith("X-Hub-Signature-256"))
    assert verify_hmac(current, body, secrets(secret)) == "0"
    assert verify_hmac(PUSH["X-Hub-Signature"], body, secrets(secret), algorithm="sha1") == "0"
    assert refusal(lambda: verify_hmac(current, body + b"\n", secrets(secret)))


@pytest.mark.parametrize("case", load(VECTORS / "adnanh-webhook-hmac.json"), ids=name_of)
def test_hmacs_bare_prefixed_and_in_lists(case: dict[str, Any]) -> None:
    """And an error never says the MAC that would have been accepted."""
    body, secret = case["body"].encode(), secrets(case["secret"].encode())
    algorithm = ALGORITHMS[case.get("algo", "sha256")]
    error = refusal(lambda: verify_hmac(case["signature"], body, secret, algorithm=algorithm))
    assert (error is None) is case["ok"]
    expected = case.get("expected_mac_must_not_leak")
    if error and expected:
        assert expected not in f"{error} {error.advice()} {error!r}"


@pytest.mark.parametrize("case", load(VECTORS / "nexus.json"), ids=name_of)
def test_nexus_signs_with_sha1(case: dict[str, Any]) -> None:
    """A real signature over the exact body."""
    given = source("nexus", secrets=secrets(case["secret"].encode()))
    sent = Delivery({case["header"].lower(): case["value"]}, case["body"].encode())
    error = refusal(lambda: KINDS["nexus"].authenticate(sent, given, NOW))
    assert (error is None) is case["ok"]


@pytest.mark.parametrize("case", load(VECTORS / "rfc4231.json"), ids=name_of)
def test_the_rfcs_own_hmac(case: dict[str, Any]) -> None:
    """RFC 4231, test case 2: the library computes what the standard says."""
    body, secret = case["data"].encode(), secrets(bytes.fromhex(case["key_hex"]))
    assert verify_hmac(case["sha256"], body, secret) == "0"
    assert verify_hmac(case["sha512"], body, secret, algorithm="sha512") == "0"


STANDARD = load(VECTORS / "standard-webhooks.json")


@pytest.mark.parametrize(
    "case", [case for case in STANDARD if case["ok"] != "config-error"], ids=name_of
)
def test_standard_webhooks(case: dict[str, Any]) -> None:
    """Of three reference libraries and Svix' server; `skip-entry`: the entry, not the rest."""
    key = parse_verification_key("k", case.get("secret") or case["public_key"])
    names = [name for name in ("id", "timestamp", "signature") if case[name] is not None]
    sent = {f"webhook-{name}": case[name] for name in names}
    now, body = datetime.fromtimestamp(case["now"], UTC), case["body"].encode()
    error = refusal(
        lambda: verify_standard_webhook(sent, body, [key], now=now, tolerance=timedelta(minutes=5))
    )
    assert (error is None) is bool(case["ok"])
    if "private_key" in case:
        keys = [parse_signing_key(case["private_key"])]
        assert sign(case["id"], int(case["timestamp"]), body, keys) == case["signature"]


@pytest.mark.parametrize(
    "case", [case for case in STANDARD if case["ok"] == "config-error"], ids=name_of
)
def test_empty_secrets_are_configuration_errors(case: dict[str, Any]) -> None:
    """Everybody can sign with them."""
    with pytest.raises(ValueError, match="empty"):
        parse_verification_key("k", case["secret"])


@pytest.mark.parametrize("case", load(VECTORS / "stripe.json"), ids=name_of)
def test_stripe_style_signatures(case: dict[str, Any]) -> None:
    """Through a `generic` source; a time in the future (`policy`) is refused here."""
    given = source(
        "generic",
        options=options("generic", hmac={"header": "S", "signed": "timestamped"}),
        secrets=secrets(case["secret"].encode()),
    )
    sent = Delivery({"s": case["header"]}, case["body"].encode())
    now = datetime.fromtimestamp(case["now"], UTC)
    error = refusal(lambda: KINDS["generic"].authenticate(sent, given, now))
    assert (error is None) is (case["ok"] is True)


def message(name: str, changes: dict[str, Any] | None = None) -> Delivery:
    """A recorded SNS message, with fields changed."""
    recorded = Delivery({}, (VECTORS / "sns" / name).read_bytes())
    return changed(recorded, *(changes or {}).items())


def refusal_by_sns(sent: Delivery, base: Delivery) -> AuthenticationError | None:
    """At the time of the recording, with its topic listed and the archived certificate known."""
    known = {
        f"https://sns.us-east-1.amazonaws.com/{path.name}": key_of_certificate(path.read_bytes())
        for path in (VECTORS / "sns").glob("*.pem")
    }
    recorded = json.loads(base.body)
    own = options("sns", topics=recorded["TopicArn"])
    given = source("sns", options={**own, KEY_LOOKUP: known.get})
    now = datetime.fromisoformat(recorded["Timestamp"])
    return refusal(lambda: KINDS["sns"].authenticate(sent, given, now))


@pytest.mark.parametrize("path", sorted(VECTORS.glob("sns/bouncy*.json")), ids=lambda p: p.stem)
def test_messages_that_amazon_signed(path: Path) -> None:
    """One was signed with a certificate that is archived nowhere: it must fail."""
    sent = message(path.name)
    assert (refusal_by_sns(sent, sent) is None) is ("delivery" not in path.name)


@pytest.mark.parametrize("case", load(VECTORS / "sns/negatives.json"), ids=name_of)
def test_messages_that_were_tampered_with(case: dict[str, Any]) -> None:
    """Signed fields, certificates from elsewhere; attributes are not signed and not read."""
    sent, base = message(case["base"], case["message_diff"]), message(case["base"])
    assert (refusal_by_sns(sent, base) is None) is case["ok"]


def test_googles_published_token() -> None:
    """Its key is gone: even at its own time, with its own claims pinned, nobody is let in."""
    claims = GOOGLE["claims"]
    given = source(
        "artifact-registry",
        options=options("artifact-registry", audience=claims["aud"], email=claims["email"]),
    )
    sent = Delivery({"authorization": GOOGLE["authorization"]}, b"{}")
    now = datetime.fromtimestamp(claims["iat"], UTC)
    error = refusal(lambda: KINDS["artifact-registry"].authenticate(sent, given, now))
    assert (error is None) is GOOGLE["ok"]


def http_signature_holds(case: dict[str, Any]) -> bool:
    """The signature over the case's own base, as RFC 9421 verifies it."""
    base = next(
        c for c in HTTP_SIGNATURES["cases"] if c["signature_input"] == case["signature_input"]
    )
    content = base["signature_base"].encode()
    signature = base64.b64decode(case["signature"].partition("=:")[2].removesuffix(":"))
    if "key_b64" in case:
        made = hmac.digest(base64.b64decode(case["key_b64"]), content, "sha256")
        return hmac.compare_digest(made, signature)
    key = load_pem_public_key((VECTORS / "rfc9421" / case["public_key"]).read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("case", HTTP_SIGNATURES["cases"], ids=name_of)
def test_http_message_signatures_are_genuine_and_do_not_cover_the_body(
    case: dict[str, Any],
) -> None:
    """So what follows refuses them for what they cover, not for being broken."""
    assert http_signature_holds(case) is case["ok"]
    assert "content-digest" not in case["signature_input"]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("case", HTTP_SIGNATURES["cases"], ids=name_of)
def test_http_message_signatures_prove_nothing_here(case: dict[str, Any], kind: str) -> None:
    """No sender makes them, and the published ones do not cover the body: no kind takes them."""
    request = HTTP_SIGNATURES["request"]
    headers = {name.lower(): value for name, value in request["headers"].items()}
    headers |= {"signature-input": case["signature_input"], "signature": case["signature"]}
    given = source(kind, secrets=secrets(base64.b64decode(case.get("key_b64", "AAAA"))))
    sent = Delivery(headers, request["body"].encode())
    assert refusal(lambda: KINDS[kind].authenticate(sent, given, NOW))

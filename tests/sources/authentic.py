"""For every kind and every way in which it proves itself: a delivery that is let in, its source.

What the authentication table of the documentation says is held against these, by experiment.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from tests.sources.senders import (
    NOW,
    SECRET,
    TOKEN,
    changed,
    mac,
    options,
    recorded,
    secrets,
    source,
    with_body,
    with_headers,
)
from tests.sources.tokens import ISSUER, PUBLIC_KEYS, bearing, token
from webhook_launcher.core.signatures import (
    generate_key_pair,
    generate_secret,
    parse_signing_key,
    parse_verification_key,
    sign,
)
from webhook_launcher.core.source import KEY_LOOKUP, Delivery, Source
from webhook_launcher.sources.github_oidc import GITHUB, audience_of

SECONDS = int(NOW.timestamp())
Change = Callable[[Delivery], Delivery]


@dataclass(frozen=True)
class Case:
    """A delivery that its source lets in at NOW.

    `proof` is the documentation's phrase for how it proves itself, `identity` the one for what
    tells it from another (None: nothing does), `renamed` the same delivery under another id.
    """

    name: str
    delivery: Delivery
    source: Source
    proof: str
    identity: str | None
    renamed: Change | None = None

    @property
    def kind(self) -> str:
        """The kind that the case is of."""
        return self.source.kind

    @property
    def id_is_signed(self) -> bool:
        """Whether the proof covers the id; elsewhere whoever repeats it may rename it."""
        return self.proof in (KEYS, "Standard Webhooks", AMAZON, JOB)

    def other(self) -> Delivery:
        """The same under another id, with the old proof."""
        return self.renamed(self.delivery) if self.renamed else self.delivery


def _header(name: str) -> Change:
    return lambda delivery: replace(
        delivery, headers={**delivery.headers, name.lower(): "another-id"}
    )


def _field(path: str, value: Any = "another-id") -> Change:
    return lambda delivery: changed(delivery, (path, value))


URL, STATIC = "the URL's token", "a static header"
MAC, SHA1 = "HMAC-SHA256 over the body", "HMAC-SHA1 over the body"
KEYS = "id, time and body"
AMAZON, JOB = "RSA signature", "the job's ID token"
SHARED = secrets(SECRET)
_PRIVATE, _PUBLIC = generate_key_pair(lambda size: b"\x07" * size)
_HMAC_KEY = generate_secret(lambda size: b"\x05" * size)


def _by_url(kind: str, identity: str | None, renamed: Change | None = None) -> Case:
    delivery = replace(recorded(kind), token=TOKEN.decode())
    given = source(kind, tokens=secrets(TOKEN), registry=_host(kind))
    return Case(f"{kind} by URL", delivery, given, URL, identity, renamed)


def _by_header(kind: str, identity: str | None, renamed: Change | None) -> Case:
    own = source(kind, secrets=SHARED, registry=_host(kind))
    headers = {**recorded(kind).headers, (own.header or "").lower(): SECRET.decode()}
    delivery = replace(recorded(kind), headers=headers)
    return Case(f"{kind} by header", delivery, own, STATIC, identity, renamed)


def _by_mac(
    kind: str, header: str, proof: str, identity: str | None, renamed: Change | None = None
) -> Case:
    algorithm = "sha1" if proof == SHA1 else "sha256"
    delivery = recorded(kind)
    value = mac(delivery.body, algorithm=algorithm)
    signed = with_headers(delivery, **{header: f"sha256={value}" if "Hub" in header else value})
    own = source(kind, secrets=SHARED, registry=_host(kind))
    return Case(f"{kind} by MAC", signed, own, proof, identity, renamed)


def _by_key(kind: str, secret: str, public: str, identity: str) -> Case:
    delivery = recorded(kind)
    value = sign("msg-1", SECONDS, delivery.body, [parse_signing_key(secret)])
    signed = with_headers(
        delivery, webhook_id="msg-1", webhook_timestamp=str(SECONDS), webhook_signature=value
    )
    keys = (parse_verification_key("k", public),)
    own = source(kind, keys=keys, registry=_host(kind))
    return Case(f"{kind} by key {public[:5]}", signed, own, KEYS, identity, _header("webhook-id"))


def _generic(name: str, delivery: Delivery, proof: str, renamed: Change, **given: Any) -> Case:
    own = source("generic", registry="registry.example.com", secrets=SHARED)
    case = Case(f"generic {name}", delivery, own, proof, "the configured id", renamed)
    return replace(case, source=replace(own, options=options("generic", **given)))


def _with_keys() -> Case:
    """The signed id is the one that is remembered, not the configured one."""
    case = _by_key("generic", _HMAC_KEY, _HMAC_KEY, "with `keys` it is signed")
    return replace(case, proof="Standard Webhooks")


def _harbor_cloud_event() -> Case:
    """Harbor's other payload format."""
    content = json.loads(recorded("harbor").body)["event_data"]
    body = {"specversion": "1.0", "id": "e1", "type": "harbor.artifact.pushed", "data": content}
    case = _by_header("harbor", "CloudEvents: the id", _field("id"))
    delivery = with_body(case.delivery, body)
    return replace(case, name="harbor with CloudEvents", delivery=delivery)


def _timestamped() -> Delivery:
    delivery = recorded("generic")
    value = mac(f"{SECONDS}.".encode() + delivery.body)
    return with_headers(delivery, X_Signature=f"t={SECONDS},v1={value}")


def _sns() -> Case:
    delivery = recorded("sns")
    body = json.loads(delivery.body)
    names = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
    content = "".join(f"{name}\n{body[name]}\n" for name in names)
    made = ISSUER.sign(content.encode(), PKCS1v15(), SHA256())
    signed = changed(delivery, ("Signature", base64.b64encode(made).decode()))
    known = {body["SigningCertURL"]: ISSUER.public_key()}
    own = source("sns", options={**options("sns"), KEY_LOOKUP: known.get})
    return Case("sns", signed, own, AMAZON, "the message id", _field("MessageId"))


def _google() -> Case:
    given = options("artifact-registry")
    claims = {
        "iss": "https://accounts.google.com",
        "aud": given["audience"],
        "email": given["email"],
        "email_verified": True,
        "iat": SECONDS,
        "exp": SECONDS + 3600,
    }
    delivery = bearing(recorded("artifact-registry"), token(claims))
    own = source("artifact-registry", options={**given, KEY_LOOKUP: PUBLIC_KEYS.get})
    renamed = _field("message.messageId")
    return Case("artifact-registry", delivery, own, "Google's ID token", "the message id", renamed)


def _job(name: str, pins: dict[str, Any], claims: dict[str, Any]) -> Case:
    delivery = recorded("github-oidc")
    times = {"iat": SECONDS, "exp": SECONDS + 300, "jti": f"jti-{name}"}
    said = {"aud": audience_of(delivery.body), **times, **claims}
    given = {**options("github-oidc", identity=pins), KEY_LOOKUP: PUBLIC_KEYS.get}
    own = source("github-oidc", options=given)
    sent = bearing(delivery, token(said))
    return Case(f"github-oidc {name}", sent, own, JOB, "`jti`")


_ACTIONS = {
    "repository_id": "74",
    "repository_owner_id": "65",
    "job_workflow_ref": "acme/web/.github/workflows/deploy.yml@refs/heads/main",
    "ref": "refs/heads/main",
}
_GITLAB = {"project_id": "20", "namespace_id": "72", "ref_path": "refs/heads/main"}
_ISSUER = "https://gitlab.example.com"
_FIRST_EVENT = _field("events.0.id")
_DELIVERY = "the delivery header"


def _host(kind: str) -> str | None:
    return {"zot": "zot.example.com", "nexus": "nexus.example.com", "github": "ghcr.io"}.get(
        kind, "registry.example.com" if kind == "generic" else None
    )


CASES: tuple[Case, ...] = (
    _by_mac(
        "github",
        "X_Hub_Signature_256",
        MAC,
        "`X-GitHub-Delivery`",
        _header("X-GitHub-Delivery"),
    ),
    _by_url("dockerhub", "equal bodies", _field("push_data.pushed_at", 1)),
    _by_header("distribution", "the event's id", _FIRST_EVENT),
    _by_url("distribution", "the event's id", _FIRST_EVENT),
    _by_url("quay", None),
    _by_header("harbor", "type, time, digest, tag and URL", _field("occur_at", 1)),
    _harbor_cloud_event(),
    _by_url("harbor", "type, time, digest, tag and URL", _field("occur_at", 1)),
    _by_header("acr", "the event's id", _field("id")),
    _by_url("acr", "the event's id", _field("id")),
    _by_header("ecr", "the event's id", _field("id")),
    _by_url("ecr", "the event's id", _field("id")),
    _google(),
    _by_mac("gitea", "X_Gitea_Signature", MAC, _DELIVERY, _header("X-Gitea-Delivery")),
    _by_header("gitlab", "the event's id", _FIRST_EVENT),
    _by_url("gitlab", "the event's id", _FIRST_EVENT),
    _by_key("gitlab", _HMAC_KEY, _HMAC_KEY, "with `keys` it is signed"),
    _by_header("zot", "`Ce-Id`", _header("Ce-Id")),
    _by_url("zot", "`Ce-Id`", _header("Ce-Id")),
    _by_mac("jfrog", "X_JFrog_Event_Auth", MAC, None),
    Case(
        "jfrog by secret",
        with_headers(recorded("jfrog"), X_JFrog_Event_Auth=SECRET.decode()),
        source("jfrog", secrets=SHARED),
        "the secret itself in the header",
        None,
    ),
    _by_mac(
        "nexus",
        "X_Nexus_Webhook_Signature",
        SHA1,
        _DELIVERY,
        _header("X-Nexus-Webhook-Delivery"),
    ),
    _by_url("aliyun", "equal bodies", _field("push_data.pushed_at", "later")),
    _sns(),
    _generic(
        "by MAC",
        with_headers(recorded("generic"), X_Signature=mac(recorded("generic").body)),
        "HMAC over the body",
        _header("X-Delivery"),
        hmac={"header": "X-Signature"},
    ),
    _generic(
        "by MAC with a time",
        _timestamped(),
        "HMAC over the body",
        _header("X-Delivery"),
        hmac={"header": "X-Signature", "signed": "timestamped"},
    ),
    _generic(
        "by header",
        with_headers(recorded("generic"), Authorization=SECRET.decode()),
        STATIC,
        _header("X-Delivery"),
    ),
    _by_url("generic", "the configured id", _header("X-Delivery")),
    _with_keys(),
    _by_key("deploy", _HMAC_KEY, _HMAC_KEY, "the id"),
    _by_key("deploy", _PRIVATE, _PUBLIC, "the id"),
    _job("actions", _ACTIONS, {"iss": GITHUB, "event_name": "push", **_ACTIONS}),
    _job(
        "gitlab",
        {"issuer": _ISSUER, **_GITLAB},
        {"iss": _ISSUER, "pipeline_source": "push", **_GITLAB},
    ),
)

"""`github-oidc`: deploy events whose proof is the ID token of a GitHub Actions (or GitLab CI) job.

No secret is shared. The token proves the job and not the body, so the job asks for one whose
audience is `webhook-launcher:<sha256 of the body, hex>`: then a token fits one body only. Who may
deploy is pinned by ids that cannot be taken over (`repository_id`, `repository_owner_id`) and by
the workflow file, never by the text of `sub`, whose form changes. Jobs of pull requests run other
people's code and are refused. docs.github.com, OpenID Connect reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.bearer import LEEWAY, LONGEST_AGE, bearer_claims, issued_at
from webhook_launcher.sources.base.body import body_hash, delivery_id, label, read_fields
from webhook_launcher.sources.base.deploy_event import read_deploy_event

GITHUB = "https://token.actions.githubusercontent.com"
AUDIENCE_PREFIX = "webhook-launcher:"
# What must be pinned: ids of GitHub's or GitLab's, and the place in the history or the environment.
_PINNED = (
    frozenset({"repository_id", "repository_owner_id", "job_workflow_ref"}),
    frozenset({"project_id", "namespace_id"}),
)
_PLACES = frozenset({"ref", "ref_path", "environment"})
# Every event of GitHub's that starts so runs on what a stranger may have written; so do GitLab's
# merge requests, also through a child pipeline.
_PULL_REQUEST = "pull_request"
_MERGE_REQUESTS = frozenset(
    {"merge_request_event", "external_pull_request_event", "parent_pipeline"}
)
_CLAIM = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CHECKED_ANYWAY = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose jobs may deploy: the issuer, where its keys are, and the claims a token must have."""

    issuer: str
    jwks: str
    claims: tuple[tuple[str, str], ...]


def audience_of(body: bytes) -> str:
    """The audience that a job must ask its token for, to send this body."""
    return f"{AUDIENCE_PREFIX}{sha256(body).hexdigest()}"


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """A token of the pinned job, made for exactly this body and not used before (`jti`)."""
    identity = source.options.get("identity")
    if not isinstance(identity, Identity):
        raise AuthenticationError("the source pins no identity")
    claims = bearer_claims(
        delivery,
        source,
        now,
        issuers=frozenset({identity.issuer}),
        audience=audience_of(delivery.body),
    )
    for name, wanted in identity.claims:
        if _as_text(claims.get(name)) != wanted:
            raise AuthenticationError(f"the token's {name} is not the pinned one")
    trigger = claims.get("event_name", claims.get("pipeline_source"))
    if not isinstance(trigger, str) or _of_a_stranger(trigger):
        raise AuthenticationError("the job was started by a pull request, or does not say by what")
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not token_id:
        raise AuthenticationError("the token has no id that could be remembered")
    return Proof(
        Trust.SIGNED,
        label(claims.get("job_workflow_ref")) or label(claims.get("project_path")),
        issued_at(claims),
        delivery_id(token_id, token_id.encode()),
    )


def _of_a_stranger(trigger: str) -> bool:
    return trigger.startswith(_PULL_REQUEST) or trigger in _MERGE_REQUESTS


def read(delivery: Delivery, _source: Source) -> Statement:
    """The workload and its reference. Raises MalformedEventError and OutOfScopeError."""
    return read_deploy_event(read_fields(delivery.body), body_hash(delivery.body))


def _identity(value: object) -> Identity:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping with {_needed()}")
    given = {str(name): _claim(str(name), wanted) for name, wanted in value.items()}
    gitlab = "project_id" in given
    if gitlab and "issuer" not in given:
        raise ValueError("must name the issuer of a project_id, such as https://gitlab.com")
    issuer = given.pop("issuer", GITHUB).rstrip("/")
    keys = "oauth/discovery/keys" if gitlab else ".well-known/jwks"
    jwks = given.pop("jwks", f"{issuer}/{keys}")
    if not any(pinned <= given.keys() for pinned in _PINNED) or not _PLACES & given.keys():
        raise ValueError(f"must pin {_needed()}")
    short = "ref" in given and not given["ref"].startswith("refs/")
    if short and not given.keys() & {"ref_type", "ref_path"}:
        raise ValueError("must pin ref_type beside a short ref: a tag may be named like a branch")
    return Identity(issuer, jwks, tuple(sorted(given.items())))


def _claim(name: str, value: object) -> str:
    if name == "sub":
        raise ValueError("must not pin sub: its text changes form; pin the ids it is made of")
    if not _CLAIM.fullmatch(name) or name in _CHECKED_ANYWAY:
        raise ValueError(f"must pin claims that tell jobs apart, which {name[:64]!a} does not")
    text = _as_text(value)
    if not text:
        raise ValueError(f"{name} must be text or a number")
    return text


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool | int):
        return str(value).lower()
    return value if isinstance(value, str) else None


def _needed() -> str:
    either = " or ".join(", ".join(sorted(pinned)) for pinned in _PINNED)
    return f"{either}, and one of {', '.join(sorted(_PLACES))}"


def _key_set(source: Source) -> str:
    identity = source.options.get("identity")
    return identity.jwks if isinstance(identity, Identity) else f"{GITHUB}/.well-known/jwks"


KIND = Kind(
    "github-oidc",
    authenticate,
    read,
    credentials=frozenset(),
    needs_registry=False,
    options={"identity": _identity},
    required_options=frozenset({"identity"}),
    jwks=_key_set,
    deploys=True,
    replayable=lambda _: LONGEST_AGE + 2 * LEEWAY,
)

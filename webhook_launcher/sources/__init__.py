"""TRANSLATE: deliveries to events, one file per kind of sender; pure functions of their arguments.

A new kind is one new file and one line in `KINDS`. The kind is fixed by the configuration and
never sniffed from a request: Gitea sends GitHub's headers, Aliyun sends Docker Hub's body.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from webhook_launcher.core.errors import AuthenticationError, OutOfScopeError
from webhook_launcher.core.model import Event, Mention
from webhook_launcher.core.selection import is_image_tag
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources import (
    acr,
    aliyun,
    artifact_registry,
    deploy,
    distribution,
    dockerhub,
    ecr,
    generic,
    gitea,
    github,
    github_oidc,
    gitlab,
    harbor,
    jfrog,
    nexus,
    quay,
    sns,
    zot,
)
from webhook_launcher.sources.base.body import body_hash
from webhook_launcher.sources.base.credentials import url_token

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            github.KIND,
            dockerhub.KIND,
            distribution.KIND,
            quay.KIND,
            harbor.KIND,
            acr.KIND,
            ecr.KIND,
            sns.KIND,
            artifact_registry.KIND,
            gitea.KIND,
            gitlab.KIND,
            zot.KIND,
            jfrog.KIND,
            nexus.KIND,
            aliyun.KIND,
            generic.KIND,
            deploy.KIND,
            github_oidc.KIND,
        )
    }
)


def receive(delivery: Delivery, source: Source, now: datetime) -> Event:
    """The event of a delivery: first the URL's token if the source has any, then the kind's proof.

    Nothing is parsed before both hold. Raises EventError and nothing else.
    """
    if source.tokens:
        url_token(delivery, source)
    proof = KINDS[source.kind].authenticate(delivery, source, now)
    statement = read(delivery, source)
    _check_overrides(statement, source, proof)
    return Event(
        source=source.name,
        trust=proof.trust,
        delivery_id=proof.delivery_id or statement.delivery_id or _unique(delivery.body, now),
        mentions=statement.mentions,
        ignored=statement.ignored,
        secret_id=proof.secret_id,
        signed_at=proof.signed_at,
        reason=statement.reason,
        actor=statement.actor,
        refused=statement.refused,
        overrides=statement.overrides,
    )


def read(delivery: Delivery, source: Source) -> Statement:
    """What a delivery says, whoever sent it; pushes of signatures and referrers are left out."""
    statement = KINDS[source.kind].read(delivery, source)
    images = tuple(mention for mention in statement.mentions if _is_image(mention))
    if images or not statement.mentions:
        return replace(statement, mentions=images)
    return replace(statement, mentions=(), ignored="the tag is a signature's or referrers' tag")


def may_send(sources: Mapping[str, Source], name: str, token: str | None, origin: str) -> bool:
    """Whether a sender that asks beforehand is one of the source's kind; it proves nothing more.

    A wrong token of the URL is told now, when somebody sets the sender up and looks at it.
    """
    source = sources.get(name)
    if source is None or origin.lower() not in KINDS[source.kind].handshake_origins:
        return False
    try:
        if source.tokens:
            url_token(Delivery({}, b"", token), source)
    except AuthenticationError:
        return False
    return True


def _check_overrides(statement: Statement, source: Source, proof: Proof) -> None:
    """Who may name a digest may not yet overrule what the operator asks of every digest."""
    beyond = statement.overrides - source.may_override(proof.secret_id)
    if beyond:
        raise OutOfScopeError(
            f"override: the key of this event may not override {', '.join(sorted(beyond))}",
            advice="Allow it with `override: [minimum_age]` beside the key in the configuration.",
        )


def _unique(body: bytes, now: datetime) -> str:
    """An id for a delivery that has none: the same body a moment later is another delivery."""
    return f"{body_hash(body)}@{now.timestamp():.6f}"


def _is_image(mention: Mention) -> bool:
    tag = mention.reference.tag if mention.reference else None
    return mention.workload is not None or tag is None or is_image_tag(tag)

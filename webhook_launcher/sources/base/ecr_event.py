"""ECR's push event, as EventBridge writes it or as an input transformer makes CloudEvents of it.

EventBridge: `{source: aws.ecr, detail-type: "ECR Image Action", account, region, detail{result,
action-type, repository-name, image-tag?, image-digest}}`. The registry is not named and follows
from account and region. docs.aws.amazon.com, ECR events and EventBridge.
"""

import re

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Source, Statement
from webhook_launcher.sources.base.body import Fields, label
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_in_url,
    host_of,
    not_an_image,
    repository_of,
    tag_of,
)

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_RESOURCE = re.compile(r"(?:urn|arn):aws[a-z-]*:ecr:([^:]*):([^:]*):repository/(.+)")
# Types that people's input transformers emit: ECR's own name and a generic one.
_CLOUD_PUSHES = frozenset({"com.amazon.ecr.image.push", "container.image.push"})


def read_ecr_event(fields: Fields, source: Source, identity: str) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    if "specversion" in fields:
        return _read_cloud_event(fields, source, identity)
    detail = fields.fields("detail")
    reason = _not_a_push(fields, detail)
    if reason:
        return Statement(identity, ignored=reason)
    derived = _host(fields.text("account"), fields.text("region"))
    host = host_of(source, derived, "account and region")
    name, tag = detail.required_text("repository-name"), detail.required_text("image-tag")
    repository = repository_of(host, name, detail.at("repository-name"))
    digest = digest_of(detail.text("image-digest"), detail.at("image-digest"))
    reference = Reference(repository, tag_of(tag, detail.at("image-tag")), digest)
    return Statement(identity, (Mention(reference),))


def _not_a_push(fields: Fields, detail: Fields) -> str | None:
    kind = fields.text("detail-type")
    if fields.text("source") != "aws.ecr" or kind != "ECR Image Action":
        return f"{label(kind) or 'the message'} is no push to ECR"
    action, result = detail.text("action-type"), detail.text("result")
    if (action, result) != ("PUSH", "SUCCESS"):
        return f"{label(action) or 'no action'}, {label(result) or 'no result'} is no push"
    for name in ("artifact-media-type", "manifest-media-type"):
        other = not_an_image(detail.text(name))
        if other:
            return f"the push is {other}"
    return None if detail.text("image-tag") else "the pushed manifest has no tag"


def _read_cloud_event(fields: Fields, source: Source, identity: str) -> Statement:
    kind = fields.text("type")
    if kind not in _CLOUD_PUSHES:
        return Statement(identity, ignored=f"type {label(kind) or 'none'} is no push")
    content = fields.fields("data")
    subject_name, _, subject_tag = (fields.text("subject") or "").partition(":")
    region, account, resource = _resource(fields.text("source"))
    names = {
        "data": content.text("repositoryName") or content.text("repository"),
        "source": resource,
        "subject": subject_name or None,
    }
    name = _one(names)
    tag = content.text("imageTag") or content.text("tag")
    agree(tag, "data.imageTag", subject_tag or None, "subject")
    agree(account, "source", content.text("registryId"), "data.registryId")
    tag = tag or subject_tag
    if not tag:
        return Statement(identity, ignored="the pushed manifest has no tag")
    named = _host(account, region) or host_in_url(content.text("registryUrl"))
    host = host_of(source, named, "source and data.registryUrl")
    digest = digest_of(content.text("imageDigest") or content.text("digest"), "data.imageDigest")
    repository = repository_of(host, name, "data.repositoryName")
    return Statement(identity, (Mention(Reference(repository, tag_of(tag, "subject"), digest)),))


def _one(names: dict[str, str | None]) -> str:
    """The one name that every field which has it agrees on."""
    said = [(field, name) for field, name in names.items() if name]
    if not said:
        raise MalformedEventError("data.repositoryName is missing")
    for field, name in said[1:]:
        agree(said[0][1], said[0][0], name, field)
    return said[0][1]


def _resource(text: str | None) -> tuple[str | None, str | None, str | None]:
    found = _RESOURCE.fullmatch(text or "")
    return (found[1], found[2], found[3]) if found else (None, None, None)


def _host(account: str | None, region: str | None) -> str | None:
    """The registry of an account in a region, None when either is missing."""
    if account is None or region is None:
        return None
    if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
        raise MalformedEventError("account and region are not those of an AWS registry")
    china = ".cn" if region.startswith("cn-") else ""
    return f"{account}.dkr.ecr.{region}.amazonaws.com{china}"

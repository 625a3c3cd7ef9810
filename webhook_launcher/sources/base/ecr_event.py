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
# IPv4, FIPS and dual-stack names of one registry.
_ENDPOINT = re.compile(
    r"([0-9]{12})\.dkr(?:\.ecr|\.ecr-fips|-ecr|-ecr-fips)\.([a-z0-9-]+)\.[a-z0-9.]+"
)
_DOMAIN = "amazonaws.com"
_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
}
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
    account, region = fields.text("account"), fields.text("region")
    host = _registry(source, account, region, "account and region")
    name, tag = detail.required_text("repository-name"), detail.required_text("image-tag")
    _agrees_with_resources(fields, account, region, name)
    repository = repository_of(host, name, detail.at("repository-name"))
    digest = digest_of(detail.text("image-digest"), detail.at("image-digest"))
    reference = Reference(repository, tag_of(tag, detail.at("image-tag")), digest)
    return Statement(identity, (Mention(reference),))


def _agrees_with_resources(
    fields: Fields, account: str | None, region: str | None, name: str
) -> None:
    """`resources` is often empty; a repository in it must be the one that `detail` names."""
    for entry in fields.entries("resources"):
        where, whose, path = _resource(entry.a_text())
        if path is not None:
            agree(where or None, entry.path, region, fields.at("region"))
            agree(whose or None, entry.path, account, fields.at("account"))
            agree(path, entry.path, name, "detail.repository-name")


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
    subject, _, exact = (fields.text("subject") or "").partition("@")
    subject_name, _, subject_tag = subject.partition(":")
    region, account, resource = _resource(fields.text("source"))
    name = _one(content, ("repositoryName", "repository"), source=resource, subject=subject_name)
    tag = _one(content, ("imageTag", "tag"), subject=subject_tag)
    agree(account, "source", content.text("registryId"), "data.registryId")
    if not tag:
        return Statement(identity, ignored="the pushed manifest has no tag")
    if not name:
        raise MalformedEventError("data.repositoryName is missing")
    host = _cloud_registry(source, content, account, region)
    said = _one(content, ("imageDigest", "digest"), subject=exact)
    digest = digest_of(said, "data.imageDigest")
    repository = repository_of(host, name, "data.repositoryName")
    return Statement(identity, (Mention(Reference(repository, tag_of(tag, "subject"), digest)),))


def _cloud_registry(
    source: Source, content: Fields, account: str | None, region: str | None
) -> str:
    url = host_in_url(content.text("registryUrl"))
    if account is None or region is None:
        return host_of(source, url, "data.registryUrl")
    if url is not None:
        agree(url.lower(), "data.registryUrl", _host(account, region), "source")
    return _registry(source, account, region, "source")


def _one(content: Fields, names: tuple[str, ...], **others: str | None) -> str | None:
    """What every field that says it agrees on; transformers name fields as they like."""
    said = [(content.at(name), content.text(name)) for name in names] + list(others.items())
    given = [(field, value) for field, value in said if value]
    for field, value in given[1:]:
        agree(given[0][1], given[0][0], value, field)
    return given[0][1] if given else None


def _resource(text: str | None) -> tuple[str | None, str | None, str | None]:
    found = _RESOURCE.fullmatch(text or "")
    return (found[1], found[2], found[3]) if found else (None, None, None)


def _host(account: str | None, region: str | None) -> str | None:
    """The registry of an account in a region, None when either is missing."""
    if account is None or region is None:
        return None
    if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
        raise MalformedEventError("account and region are not those of an AWS registry")
    domain = next((d for start, d in _DOMAINS.items() if region.startswith(start)), _DOMAIN)
    return f"{account}.dkr.ecr.{region}.{domain}"


def _registry(source: Source, account: str | None, region: str | None, field: str) -> str:
    """The configured registry if it is of this account and region, by whichever of its names."""
    derived = _host(account, region)
    configured = _ENDPOINT.fullmatch(source.registry or "")
    if derived and source.registry and configured and configured.groups() == (account, region):
        return source.registry
    return host_of(source, derived, field)

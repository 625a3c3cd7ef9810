"""`aliyun`: triggers of Alibaba Cloud Container Registry. Nothing is signed.

The body is Docker Hub's with a digest and a region; the public host follows from the region.
Enterprise instances have hosts of their own: configure `registry`. alibabacloud.com/help,
container registry, webhooks.
"""

import re
from datetime import datetime

from webhook_launcher.core.errors import ContradictionError, MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, body_hash, read_fields
from webhook_launcher.sources.base.credentials import url_token
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_of,
    repository_of,
    tag_of,
)

# Public, VPC and internal hosts; Enterprise (`<name>-registry.<region>.cr`) and personal
# instances (`<name>.<region>.personal.cr`) have their own. All name the region.
_ENDPOINT = re.compile(r"[a-z0-9-]+\.(?P<region>[a-z0-9-]+)\.(?:(?:personal\.)?cr\.)?aliyuncs\.com")
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,16}){1,4}")


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The last part of the URL."""
    return url_token(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    push, repository = fields.fields("push_data"), fields.fields("repository")
    identity = body_hash(delivery.body) if "pushed_at" in push else None
    tag = push.text("tag")
    if tag is None:
        return Statement(identity, ignored="the push has no tag")
    path = repository.required_text("repo_full_name")
    namespace, name = repository.text("namespace"), repository.text("name")
    parts = f"{namespace}/{name}" if namespace and name else None
    agree(path, repository.at("repo_full_name"), parts, "repository.namespace and name")
    reference = Reference(
        repository_of(_host(repository, source), path, repository.at("repo_full_name")),
        tag_of(tag, push.at("tag")),
        digest_of(push.text("digest"), push.at("digest")),
    )
    return Statement(identity, (Mention(reference),))


def _host(repository: Fields, source: Source) -> str:
    """The configured registry, in the payload's region if the host names one; or the region's."""
    region, field = repository.text("region"), repository.at("region")
    if region is None:
        return host_of(source, None, field)
    if not _REGION.fullmatch(region):
        raise MalformedEventError(f"{field} is not a region")
    if source.registry is None:
        return f"registry.{region}.aliyuncs.com"
    # A host of one's own, such as that of a proxy, says nothing about the region.
    configured = _ENDPOINT.fullmatch(source.registry)
    if configured and configured["region"] != region:
        raise ContradictionError(
            f"{field} is {region}, the source speaks for {source.registry}",
            advice=f"If the sender is right, correct `registry:` of source {source.name!r}.",
        )
    return source.registry


KIND = Kind("aliyun", authenticate, read, credentials=frozenset({"tokens"}), needs_registry=False)

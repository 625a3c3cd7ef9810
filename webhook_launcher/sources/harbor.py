"""`harbor`: project webhooks of Harbor, in its default format or as CloudEvents.

Harbor sends the policy's "auth header" verbatim as `Authorization` and signs nothing. Pulls,
deletions, scans and quotas share the envelope: only `type` tells. `tag` holds the digest when the
push had no tag, and `resource_url` says the same thing again, so the two are compared.
goharbor.io/docs, configure webhook notifications.
"""

from dataclasses import replace
from datetime import datetime

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import (
    Entry,
    Fields,
    body_hash,
    delivery_id,
    label,
    read_fields,
)
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.entries import NoPush, read_entries
from webhook_launcher.sources.base.images import agree, digest_of, located, tag_of

# The current name, that of CloudEvents, and that of Harbor 1.x.
_PUSHES = frozenset({"PUSH_ARTIFACT", "harbor.artifact.pushed", "pushImage"})


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The policy's auth header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every tagged resource, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    content = fields.fields("data" if "specversion" in fields else "event_data")
    resources = content.entries("resources")
    identity = _identity(fields, resources, delivery.body)
    kind = fields.text("type")
    if kind not in _PUSHES:
        return Statement(identity, ignored=f"type {label(kind) or 'none'} is no push")
    path = _full_name(content.fields("repository"))

    def read_resource(entry: Entry) -> Mention | NoPush:
        resource = entry.an_object()
        tag = resource.text("tag")
        if tag is None or ":" in tag:
            return NoPush("the pushed artifact has no tag")
        return Mention(_pushed(resource, path, source))

    statement = read_entries(resources, read_resource, "the event has no resources")
    return replace(statement, delivery_id=identity, actor=label(fields.values.get("operator")))


def _full_name(repository: Fields) -> str | None:
    """`<project>/<name>`, which Harbor says in one field and again in two."""
    whole, field = repository.text("repo_full_name"), "repository.repo_full_name"
    project, name = repository.text("namespace"), repository.text("name")
    if project and name:
        agree(whole, field, f"{project}/{name}", "repository.namespace and name")
    return whole


def _pushed(resource: Fields, path: str | None, source: Source) -> Reference:
    tag_field, url_field = resource.at("tag"), resource.at("resource_url")
    url = located(resource.required_text("resource_url"), source, url_field)
    tag = tag_of(resource.required_text("tag"), tag_field)
    agree(tag, tag_field, url.tag, url_field)
    agree(path, "repository.repo_full_name", url.repository.path, url_field)
    digest = digest_of(resource.text("digest"), resource.at("digest"))
    agree(digest, resource.at("digest"), url.digest, url_field)
    return Reference(url.repository, tag, digest or url.digest)


def _identity(fields: Fields, resources: tuple[Entry, ...], body: bytes) -> str | None:
    """CloudEvents have an id; of the default format, what was pushed when."""
    if "specversion" in fields:
        return delivery_id(fields.text("id"), body)
    if fields.values.get("occur_at") is None:
        return None
    # The URL too: one image pushed to two repositories in one second is two pushes.
    told = ("digest", "tag", "resource_url")
    pushed = [[resource.part(name) for name in told] for resource in resources]
    return body_hash(repr([fields.values.get("type"), fields.values["occur_at"], pushed]).encode())


KIND = Kind(
    "harbor",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    needs_registry=False,
    header="Authorization",
)

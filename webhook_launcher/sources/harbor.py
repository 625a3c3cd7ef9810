"""`harbor`: project webhooks of Harbor, in its default format or as CloudEvents.

Harbor sends the policy's "auth header" verbatim as `Authorization` and signs nothing. Pulls,
deletions, scans and quotas share the envelope: only `type` tells. `tag` holds the digest when the
push had no tag, and `resource_url` says the same thing again, so the two are compared.
goharbor.io/docs, configure webhook notifications.
"""

from datetime import datetime

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, body_hash, delivery_id, label, read_fields
from webhook_launcher.sources.base.credentials import static_header
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
    resources = content.list_of_fields("resources")
    identity = _identity(fields, resources, delivery.body)
    kind = fields.text("type")
    if kind not in _PUSHES:
        return Statement(identity, ignored=f"type {label(kind) or 'none'} is no push")
    path = content.fields("repository").text("repo_full_name")
    mentions = tuple(
        Mention(_pushed(resource, path, source)) for resource in resources if _is_tagged(resource)
    )
    actor = label(fields.values.get("operator"))
    if not mentions:
        return Statement(identity, ignored="the pushed artifact has no tag", actor=actor)
    return Statement(identity, tuple(dict.fromkeys(mentions)), actor=actor)


def _is_tagged(resource: Fields) -> bool:
    tag = resource.text("tag")
    return tag is not None and ":" not in tag


def _pushed(resource: Fields, path: str | None, source: Source) -> Reference:
    tag_field, url_field = resource.at("tag"), resource.at("resource_url")
    url = located(resource.required_text("resource_url"), source, url_field)
    tag = tag_of(resource.required_text("tag"), tag_field)
    agree(tag, tag_field, url.tag, url_field)
    agree(path, "repository.repo_full_name", url.repository.path, url_field)
    digest = digest_of(resource.text("digest"), resource.at("digest"))
    agree(digest, resource.at("digest"), url.digest, url_field)
    return Reference(url.repository, tag, digest or url.digest)


def _identity(fields: Fields, resources: tuple[Fields, ...], body: bytes) -> str | None:
    """CloudEvents have an id; of the default format, what was pushed when."""
    if "specversion" in fields:
        return delivery_id(fields.text("id"), body)
    if fields.values.get("occur_at") is None:
        return None
    # The URL too: one image pushed to two repositories in one second is two pushes.
    told = ("digest", "tag", "resource_url")
    pushed = [[r.values.get(name) for name in told] for r in resources]
    return body_hash(repr([fields.values.get("type"), fields.values["occur_at"], pushed]).encode())


KIND = Kind(
    "harbor",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    needs_registry=False,
    header="Authorization",
)

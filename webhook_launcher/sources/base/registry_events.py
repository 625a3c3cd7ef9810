"""The notification envelope of CNCF Distribution, which GitLab's registry sends as well.

`{events: [{id, action, target{mediaType, digest, repository, url, tag}, request{host}, actor}]}`;
v1 (up to 2.8) and v2 (3.0) differ in the content type only. One event per request in practice,
but it is a list. distribution.github.io/distribution/about/notifications.
"""

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.source import Source, Statement
from webhook_launcher.sources.base.body import Fields, common_id, label
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_of,
    repository_of,
    tag_of,
)

# Blobs are pushed too, as octet streams or under the type of a layer.
_MANIFESTS = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    }
)


def read_notifications(fields: Fields, source: Source, body: bytes) -> Statement:
    """Every tagged manifest push of the envelope, or why there is none.

    Raises MalformedEventError, ContradictionError when a digest or tag and its URL disagree.
    """
    events = fields.list_of_fields("events")
    mentions: list[Mention] = []
    reasons: list[str] = []
    actor = None
    for event in events:
        reason = _not_a_push(event)
        if reason:
            reasons.append(reason)
            continue
        mentions.append(Mention(_pushed(event, source)))
        actor = actor or label(event.fields("actor").values.get("name"))
    identity = common_id([event.text("id") for event in events], body)
    if mentions:
        return Statement(identity, tuple(dict.fromkeys(mentions)), actor=actor)
    ignored = "; ".join(sorted(set(reasons))) or "the envelope has no events"
    return Statement(identity, ignored=ignored)


def _not_a_push(event: Fields) -> str | None:
    if event.text("action") != "push":
        return "pulls, mounts and deletes change no image"
    target = event.fields("target")
    media_type = (target.text("mediaType") or "").partition(";")[0].strip().lower()
    if media_type not in _MANIFESTS:
        return "blobs are no images"
    return None if target.text("tag") else "a manifest was pushed without a tag"


def _pushed(event: Fields, source: Source) -> Reference:
    target, request = event.fields("target"), event.fields("request")
    # The payload has the name by which the pushing client knew the registry, which may be one
    # of several: a configured registry replaces it.
    host = source.registry or host_of(source, request.text("host"), request.at("host"))
    repository = repository_of(host, target.required_text("repository"), target.at("repository"))
    tag = tag_of(target.required_text("tag"), target.at("tag"))
    digest = digest_of(target.text("digest"), target.at("digest"))
    _agrees_with_url(target, tag, digest)
    return Reference(repository, tag, digest)


def _agrees_with_url(target: Fields, tag: str, digest: Digest | None) -> None:
    """`url` ends in `/v2/<repository>/manifests/<digest or tag>`."""
    before, marker, last = (target.text("url") or "").rpartition("/manifests/")
    if not marker:
        return
    url = target.at("url")
    if ":" in last:
        agree(digest, target.at("digest"), last, url)
    else:
        agree(tag, target.at("tag"), last, url)
    path = before.partition("/v2/")[2] or None
    agree(target.text("repository"), target.at("repository"), path, url)

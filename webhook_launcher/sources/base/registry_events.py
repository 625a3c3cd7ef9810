"""The notification envelope of CNCF Distribution, which GitLab's registry sends as well.

`{events: [{id, action, target{mediaType, digest, repository, url, tag}, request{host}, actor}]}`;
v1 (up to 2.8) and v2 (3.0) differ in the content type only. One event per request in practice,
but it is a list. distribution.github.io/distribution/about/notifications.
"""

from dataclasses import replace

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.source import Source, Statement
from webhook_launcher.sources.base.body import Entry, Fields, common_id, label
from webhook_launcher.sources.base.entries import NoPush, read_entries
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
    events = fields.entries("events")
    actors: list[str] = []

    def read(entry: Entry) -> Mention | NoPush:
        event = entry.an_object()
        reason = _not_a_push(event)
        if reason:
            return NoPush(reason)
        mention = Mention(_pushed(event, source))
        actors.extend(filter(None, [label(event.fields("actor").values.get("name"))]))
        return mention

    identity = common_id([event.part("id") for event in events], body)
    statement = read_entries(events, read, "the envelope has no events")
    return replace(statement, delivery_id=identity, actor=actors[0] if actors else None)


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

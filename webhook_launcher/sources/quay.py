"""`quay`: repository push notifications of Quay (quay.io or self-hosted). Nothing is signed.

`{name, repository, namespace, docker_url, updated_tags[]}`, without digest, id or time. Build and
vulnerability notifications come to the same URL and have no `updated_tags`. Three failures in a
row disable the notification. docs.projectquay.io, repository events.
"""

from datetime import datetime

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Entry, read_fields
from webhook_launcher.sources.base.credentials import url_token
from webhook_launcher.sources.base.entries import read_entries
from webhook_launcher.sources.base.images import agree, located, tag_of


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The last part of the URL."""
    return url_token(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every updated tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    if "updated_tags" not in fields:
        return Statement(None, ignored="the notification is about no push")
    tags = fields.entries("updated_tags")
    if not tags:
        return Statement(None, ignored="no tag was updated")
    # Where a push went is in `docker_url` alone: quay.io is not assumed, `name` is not believed.
    where = located(fields.required_text("docker_url"), source, "docker_url")
    if where.tag or where.digest:
        raise MalformedEventError("docker_url is not host/namespace/name alone")
    pushed = where.repository
    agree(pushed.path, "docker_url", fields.text("repository"), "repository")

    def read_tag(entry: Entry) -> Mention:
        return Mention(Reference(pushed, tag_of(entry.a_text(), entry.path)))

    return read_entries(tags, read_tag)


KIND = Kind(
    "quay",
    authenticate,
    read,
    credentials=frozenset({"tokens"}),
    needs_registry=False,
    punishes_errors=True,
)

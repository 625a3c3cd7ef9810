"""`dockerhub`: Docker Hub's webhooks, which sign nothing: the URL's token is all there is.

Docker Hub sends no digest and no id, and several equal deliveries for one push of several
platforms (docker/hub-feedback#2148). `callback_url` is never called. docs.docker.com, webhooks.
"""

import json
import re
from datetime import datetime

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import DOCKER_HUB, Reference, Repository
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, body_hash, label, read_fields
from webhook_launcher.sources.base.credentials import url_token
from webhook_launcher.sources.base.images import agree, not_an_image, repository_of, tag_of

_PAGE = re.compile(r"\.docker\.(?:com|io)/[ru_]/(?P<name>[^/?#]+(?:/[^/?#]+)?)(?:[/?#]|\Z)")


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The last part of the URL."""
    return url_token(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    push, repository = fields.fields("push_data"), fields.fields("repository")
    identity, actor = _identity(fields), label(push.values.get("pusher"))
    host = source.registry or DOCKER_HUB
    field = repository.at("repo_name")
    named = repository_of(host, repository.required_text("repo_name"), field)
    other = not_an_image(push.text("media_type"))
    if other:
        return Statement(identity, ignored=f"the push is {other}", actor=actor)
    tag = push.text("tag")
    if tag is None:
        return Statement(identity, ignored="the push has no tag", actor=actor)
    namespace, name = repository.text("namespace"), repository.text("name")
    if namespace and name:
        parts = repository_of(host, f"{namespace}/{name}", repository.at("name"))
        agree(named, field, parts, "repository.namespace and name")
    _agrees_with_url(repository, named, field)
    reference = Reference(named, tag_of(tag, push.at("tag")))
    return Statement(identity, (Mention(reference),), actor=actor)


def _agrees_with_url(repository: Fields, named: Repository, field: str) -> None:
    """`repo_url` may be `https://hub.docker.com/r/<name>` (`/u/` long ago, `/_/` for `library`)."""
    found = _PAGE.search(repository.text("repo_url") or "")
    if found:
        page = found["name"] if "/" in found["name"] else f"library/{found['name']}"
        agree(named.path, field, page, repository.at("repo_url"))


def _identity(fields: Fields) -> str | None:
    """A hash of the body without `callback_url`, which differs between equal deliveries.

    None without a time: then two pushes of one tag look alike.
    """
    if "pushed_at" not in fields.fields("push_data"):
        return None
    kept = {name: value for name, value in fields.values.items() if name != "callback_url"}
    return body_hash(json.dumps(kept, sort_keys=True).encode())


KIND = Kind("dockerhub", authenticate, read, credentials=frozenset({"tokens"}), registry=DOCKER_HUB)

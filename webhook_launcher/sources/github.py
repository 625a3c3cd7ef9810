"""`github`: GHCR pushes, sent by the webhook of a repository or organisation.

Events `package` and `registry_package` (the same content under another key), JSON or form bodies.
GitHub signs the raw body and nothing else: headers such as `X-GitHub-Event` are not covered, so
they may only narrow what the body says. docs.github.com, webhook events and payloads; recorded
deliveries show that `package_version.version` is the digest and the tag is in
`container_metadata.tag.name`, empty for the children of an index.
"""

from datetime import datetime

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, delivery_id, label, read_fields_or_form
from webhook_launcher.sources.base.credentials import body_mac
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    not_an_image,
    repository_of,
    tag_of,
    without_scheme,
)

REGISTRY = "ghcr.io"
_EVENTS = ("package", "registry_package")
_PUSHES = frozenset({"published", "updated"})
# `ecosystem` is the older name of `package_type`; the documented sample has one npm, one docker.
_CONTAINERS = frozenset({"container", "docker"})


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """`X-Hub-Signature-256` over the raw body; the older SHA-1 header is not looked at."""
    return body_mac(delivery, source, "X-Hub-Signature-256")


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields_or_form(delivery)
    identity = delivery_id(delivery.header("x-github-delivery"), delivery.body)
    actor = label(fields.fields("sender").values.get("login"))
    event = delivery.header("x-github-event")
    if event is not None and event not in _EVENTS:
        return Statement(identity, ignored=f"{label(event)} events push no image", actor=actor)
    packages = [fields.fields(name) for name in _EVENTS if name in fields]
    package = packages[0] if packages else None
    agree(
        packages[0].values if packages else None,
        "package",
        packages[-1].values if packages else None,
        "registry_package",
    )
    if package is None:
        if event is not None:
            raise MalformedEventError("neither package nor registry_package is in the body")
        return Statement(identity, ignored="the event is about no package", actor=actor)
    reason = _not_a_push(fields, package)
    if reason:
        return Statement(identity, ignored=reason, actor=actor)
    return _pushed(package, source, identity, actor)


def _not_a_push(fields: Fields, package: Fields) -> str | None:
    action = fields.text("action")
    if action not in _PUSHES:
        return f"action {label(action) or 'none'} is no push"
    kinds = {(package.text(name) or "").lower() for name in ("package_type", "ecosystem")}
    return None if kinds & _CONTAINERS else "the package is no container image"


def _pushed(package: Fields, source: Source, identity: str, actor: str | None) -> Statement:
    # Names keep their case at GitHub; the registry knows them in lower case only. The owner's
    # login, not `namespace`, is what the registry goes by.
    owner = package.fields("owner").required_text("login")
    path = f"{owner}/{package.required_text('name')}".lower()
    repository = repository_of(source.registry or REGISTRY, path, package.at("name"))
    container = package.fields("package_version").fields("container_metadata")
    tag, manifest = container.fields("tag"), container.fields("manifest")
    name = tag.text("name")
    if name is None:
        return Statement(identity, ignored="the pushed manifest has no tag", actor=actor)
    other = not_an_image(manifest.fields("config").text("media_type"))
    if other:
        return Statement(identity, ignored=f"the push is {other}", actor=actor)
    digest = digest_of(tag.text("digest"), tag.at("digest"))
    listed = digest_of(manifest.text("digest"), manifest.at("digest"))
    agree(digest, tag.at("digest"), listed, manifest.at("digest"))
    reference = Reference(repository, tag_of(name, tag.at("name")), digest or listed)
    _agrees_with_url(package.fields("package_version"), reference, tag.at("name"))
    # Of the several tags of one push GitHub reports one.
    return Statement(identity, (Mention(reference, one_of_several=True),), actor=actor)


def _agrees_with_url(version: Fields, reference: Reference, tag_field: str) -> None:
    """`package_url` is `host/owner/name:tag`; the tag is left out for untagged manifests.

    `version` and `name` of a version are the digest; of older servers, the tag.
    """
    said, _, exact = without_scheme(version.text("package_url") or "").partition("@")
    name, _, tag = said.rpartition(":") if ":" in said.rpartition("/")[2] else (said, "", "")
    url = version.at("package_url")
    agree(tag or None, url, reference.tag, tag_field)
    host, _, path = name.lower().partition("/")
    agree(path or None, url, reference.repository.path, "package.owner.login and name")
    if path:
        agree(host, url, reference.repository.registry, "the source's registry")
    digests = {url: exact} | {version.at(name): version.text(name) for name in ("version", "name")}
    for field, digest in digests.items():
        if digest and ":" in digest:
            agree(digest, field, reference.digest, "container_metadata.tag.digest")


KIND = Kind("github", authenticate, read, credentials=frozenset({"secrets"}), registry=REGISTRY)

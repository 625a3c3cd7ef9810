"""`zot`: the events extension of zot, CloudEvents in binary mode.

`Ce-Type` alone tells an update from a failed lint, whose body is the same. There is no registry
host in an event. Zot signs nothing; it can send Basic, a bearer token or custom headers.
zotregistry.dev, events.
"""

from datetime import datetime

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import delivery_id, label, read_fields
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.images import (
    digest_of,
    host_of,
    not_an_image,
    repository_of,
    tag_of,
)
from webhook_launcher.sources.base.options import text_option

_PREFIX = "zotregistry"  # since 2.1.21 an operator may choose another


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The configured header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """The updated tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    identity = delivery_id(delivery.header("ce-id"), delivery.body)
    actor = label(fields.fields("actor").values.get("name"))
    kind = delivery.header("ce-type")
    if kind is None:
        raise MalformedEventError("the Ce-Type header is missing, and only it tells what happened")
    if kind != f"{source.options.get('type_prefix', _PREFIX)}.image.updated":
        return Statement(identity, ignored=f"{label(kind)} is no push", actor=actor)
    tag = fields.text("reference")
    if tag is None or ":" in tag:
        return Statement(identity, ignored="the pushed manifest has no tag", actor=actor)
    other = not_an_image(_config_type(fields.values.get("manifest")))
    if other:
        return Statement(identity, ignored=f"the push is {other}", actor=actor)
    host = host_of(source, None, "the registry's host")
    reference = Reference(
        repository_of(host, fields.required_text("name"), "name"),
        tag_of(tag, "reference"),
        digest_of(fields.text("digest"), "digest"),
    )
    return Statement(identity, (Mention(reference),), actor=actor)


def _config_type(manifest: object) -> str | None:
    """The media type of the manifest's config; None when the manifest is not readable."""
    if not isinstance(manifest, str):
        return None
    try:
        parsed = strict_json.loads(manifest.encode())
    except strict_json.StrictJsonError:
        return None
    config = parsed.get("config") if isinstance(parsed, dict) else None
    found = config.get("mediaType") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None


KIND = Kind(
    "zot",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    header="Authorization",
    options={"type_prefix": text_option},
)

"""`jfrog`: Artifactory's webhooks of domain `docker`.

`X-JFrog-Event-Auth` is the HMAC-SHA256 of the body, bare hex, when "use secret for payload
signing" is on, else the secret itself. The repository is `repo_key` and `path` without its last
two elements, tag and file; `image_name` is only the end of it. jfrog.com/help, webhooks.
"""

import re
from datetime import datetime

from webhook_launcher.core.errors import AuthenticationError, MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Digest, Reference, Repository
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, label, read_fields
from webhook_launcher.sources.base.credentials import body_mac, static_header
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_in_url,
    host_of,
    repository_of,
    tag_of,
)
from webhook_launcher.sources.base.options import flag_option

# How Artifactory writes a digest where a colon cannot stand, such as in the path of a child.
_CHILD = re.compile(r"sha256__[0-9a-f]{64}")
_HEADER = "X-JFrog-Event-Auth"


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The MAC of the body (`signed`), or the secret itself (`token`)."""
    try:
        return body_mac(delivery, source, _HEADER)
    except AuthenticationError:
        return static_header(delivery, source, _HEADER)


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError.

    The body has neither id nor time, so two pushes of one digest cannot be told apart.
    """
    fields = read_fields(delivery.body)
    content = fields.fields("data")
    reason = _not_a_push(fields, content, source)
    if reason:
        return Statement(None, ignored=reason)
    tag = content.text("tag")
    if tag is None or ":" in tag or _CHILD.fullmatch(tag):
        return Statement(None, ignored="the pushed manifest has no tag")
    # A configured registry replaces the platform's own URL, which need not be the registry's.
    origin = None if source.registry else host_in_url(fields.text("jpd_origin"))
    repository = _repository(content, host_of(source, origin, "jpd_origin"), tag)
    reference = Reference(repository, tag_of(tag, "data.tag"), _digest(content))
    return Statement(None, (Mention(reference),))


def _not_a_push(fields: Fields, content: Fields, source: Source) -> str | None:
    domain, event = fields.text("domain"), fields.text("event_type")
    wanted = ("pushed", "promoted") if source.options.get("promoted") else ("pushed",)
    if domain != "docker" or event not in wanted:
        return f"{label(domain) or 'no domain'}, {label(event) or 'no event'} is no push"
    if content.text("image_type") == "oci":
        return "the push is an OCI artifact (a Helm chart)"
    # Artifactory fills the cache of a remote repository by itself, on somebody's pull.
    if (content.text("repo_key") or "").endswith("-cache"):
        return "a remote repository's cache was filled"
    return None


def _repository(content: Fields, host: str, tag: str) -> Repository:
    parts = content.required_text("path").split("/")
    image, ending = parts[:-2], parts[-2:]
    if not image:
        raise MalformedEventError("data.path is not <image>/<tag>/<file>")
    agree(tag, "data.tag", ending[0], "data.path")
    name = content.text("image_name")
    if name and not f"/{'/'.join(image)}".endswith(f"/{name}"):
        agree(name, "data.image_name", "/".join(image), "data.path")
    full = "/".join([content.required_text("repo_key"), *image])
    return repository_of(host, full, "data.path")


def _digest(content: Fields) -> Digest | None:
    text = content.text("sha256")
    return digest_of(f"sha256:{text}" if text else None, "data.sha256")


KIND = Kind(
    "jfrog",
    authenticate,
    read,
    credentials=frozenset({"secrets"}),
    needs_registry=False,
    options={"promoted": flag_option},
)

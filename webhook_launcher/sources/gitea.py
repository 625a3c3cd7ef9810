"""`gitea`: the container registry of Gitea and Forgejo, by their `package` webhook.

Both sign the raw body (bare hex, HMAC-SHA256) and also send GitHub's headers, which are not
looked at: a request is of the kind that its URL is configured for. `version` is the tag, or the
digest of a manifest without one; there is no digest otherwise. docs.gitea.com, webhooks.
"""

from datetime import datetime
from urllib.parse import unquote

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference, Repository
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, delivery_id, label, read_fields_or_form
from webhook_launcher.sources.base.credentials import body_mac
from webhook_launcher.sources.base.images import (
    agree,
    host_in_url,
    host_of,
    repository_of,
    tag_of,
)


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """`X-Gitea-Signature`, or `X-Forgejo-Signature` where the sender has that alone."""
    gitea = delivery.header("X-Gitea-Signature")
    return body_mac(delivery, source, "X-Gitea-Signature" if gitea else "X-Forgejo-Signature")


def read(delivery: Delivery, source: Source) -> Statement:
    """The created tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields_or_form(delivery)
    identity = delivery_id(_either(delivery, "delivery"), delivery.body)
    actor = label(fields.fields("sender").values.get("login"))
    reason = _not_a_push(fields, _either(delivery, "event"))
    if reason:
        return Statement(identity, ignored=reason, actor=actor)
    package = fields.fields("package")
    tag = package.text("version")
    if tag is None or ":" in tag:
        return Statement(identity, ignored="the pushed manifest has no tag", actor=actor)
    reference = Reference(_repository(package, source), tag_of(tag, "package.version"))
    return Statement(identity, (Mention(reference),), actor=actor)


def _either(delivery: Delivery, name: str) -> str | None:
    return delivery.header(f"x-gitea-{name}") or delivery.header(f"x-forgejo-{name}")


def _not_a_push(fields: Fields, event: str | None) -> str | None:
    if event not in (None, "package") or "package" not in fields:
        return f"{label(event) or 'the event'} is about no package"
    action = fields.text("action")
    if action != "created":
        return f"action {label(action) or 'none'} is no push"
    if fields.fields("package").text("type") != "container":
        return "the package is no container image"
    return None


def _repository(package: Fields, source: Source) -> Repository:
    owner = package.fields("owner")
    login, username = owner.text("login"), owner.text("username")
    agree(login, owner.at("login"), username, owner.at("username"))
    login = login or owner.required_text("username")
    url = package.text("html_url")
    _agrees_with_url(package, login, url)
    host = host_of(source, host_in_url(url), package.at("html_url"))
    # The web interface keeps the case of names; the registry knows them in lower case only.
    path = f"{login}/{package.required_text('name')}".lower()
    return repository_of(host, path, package.at("name"))


def _agrees_with_url(package: Fields, login: str, url: str | None) -> None:
    """`html_url` ends in `/<owner>/-/packages/container/<name>/<version>`, percent-encoded."""
    before, marker, rest = (url or "").partition("/-/packages/container/")
    name, slash, version = rest.rpartition("/")
    if marker and slash:
        field = package.at("html_url")
        owner = unquote(before.rpartition("/")[2]).lower()
        agree(owner, field, login.lower(), "package.owner")
        agree(unquote(name).lower(), field, package.required_text("name").lower(), "package.name")
        agree(unquote(version), field, package.text("version"), "package.version")


KIND = Kind("gitea", authenticate, read, credentials=frozenset({"secrets"}), needs_registry=False)

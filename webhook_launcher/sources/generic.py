"""`generic`: any sender of JSON, by a mapping in the configuration.

`fields` says where repository, tag and digest (or a whole reference, or a package URL) are, `when`
which deliveries are pushes, `each` which list has one image per entry. The sender proves itself by
an HMAC (`hmac`), by Standard Webhooks keys, by a static header, or by the URL's token.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference, Repository
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Entry, delivery_id, label, read_fields_or_form
from webhook_launcher.sources.base.credentials import standard_webhook, static_header
from webhook_launcher.sources.base.entries import NoPush, read_entries
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    reference_of,
    repository_of,
    tag_of,
)
from webhook_launcher.sources.base.mac_option import MacScheme, mac_option, verify_mac
from webhook_launcher.sources.base.mapping import Path, mapping_option, path_option
from webhook_launcher.sources.base.options import text_option
from webhook_launcher.sources.base.package_url import image_of

_FIELDS = frozenset({"reference", "repository", "tag", "digest", "purl", "id", "actor"})
_NAMES = ("reference", "repository", "purl")


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """`hmac` where configured, else the keys, else the static header or the URL's token."""
    scheme = source.options.get("hmac")
    if isinstance(scheme, MacScheme):
        return verify_mac(scheme, delivery, source, now)
    if source.keys:
        return standard_webhook(delivery, source, now)
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every image that the mapping finds, or why there is none. Raises MalformedEventError."""
    body = dict(read_fields_or_form(delivery).values)
    fields = _paths(source, "fields")
    header = source.options.get("id_header")
    sent = delivery.header(header) if isinstance(header, str) else None
    sent = sent or (fields["id"].text(body, numbers=True) if "id" in fields else None)
    identity = delivery_id(sent, delivery.body) if sent else None
    actor = label(fields["actor"].find(body)) if "actor" in fields else None
    for path, wanted in _conditions(source):
        if not _fits(path.find(body), wanted):
            return Statement(identity, ignored=f"{path} is not {wanted}", actor=actor)
    each = source.options.get("each")
    entries = each.entries(body) if isinstance(each, Path) else [Entry(body, "")]
    statement = read_entries(entries, lambda entry: _pushed(entry, fields, source))
    return replace(statement, delivery_id=identity, actor=actor)


def _pushed(entry: Entry, fields: Mapping[str, Path], source: Source) -> Mention | NoPush:
    """A digest alone is no push of something that a workload could follow."""
    try:
        image = _image(entry.value, fields, source)
    except MalformedEventError as error:
        if not entry.path:
            raise
        raise type(error)(f"{entry.path}: {error}", advice=error.advice()) from error
    return Mention(image) if image and image.tag else NoPush("no image with a tag is named")


def _image(entry: Any, fields: Mapping[str, Path], source: Source) -> Reference | None:
    """What one entry names, None when it names nothing."""
    name = next(name for name in _NAMES if name in fields)
    path = fields[name]
    said = path.text(entry)
    if said is None:
        return None
    if name == "purl":
        image = image_of(said, source, str(path))
    elif name == "reference":
        image = reference_of(said, source, str(path))
    else:
        image = Reference(_repository(said, source, str(path)))
    return image and _with_tag_and_digest(image, entry, fields)


def _repository(said: str, source: Source, field: str) -> Repository:
    """A path in the configured registry, or a whole name: a host in it must be the configured one.

    What is a host is Docker's rule: a first part with a dot or a port, or `localhost`.
    """
    first, slash, _ = said.partition("/")
    whole = slash and (first == "localhost" or any(mark in first for mark in ".:["))
    if source.registry is not None and not whole:
        return repository_of(source.registry, said, field)
    reference = reference_of(said, source, field)
    if reference.tag or reference.digest:
        raise MalformedEventError(f"{field} is not a repository alone; map it as reference")
    return reference.repository


def _with_tag_and_digest(image: Reference, entry: Any, fields: Mapping[str, Path]) -> Reference:
    tag, digest = image.tag, image.digest
    if "tag" in fields:
        said = fields["tag"].text(entry, numbers=True)
        agree(tag, "the reference's tag", said, str(fields["tag"]))
        tag = tag_of(said, str(fields["tag"])) if said else tag
    if "digest" in fields:
        other = digest_of(fields["digest"].text(entry), str(fields["digest"]))
        agree(digest, "the reference's digest", other, str(fields["digest"]))
        digest = digest or other
    return Reference(image.repository, tag, digest)


def _paths(source: Source, option: str) -> Mapping[str, Path]:
    found = source.options.get(option)
    if not isinstance(found, Mapping):
        raise MalformedEventError(f"source {source.name!r} has no `{option}`")
    return found


def _conditions(source: Source) -> tuple[tuple[Path, str], ...]:
    found = source.options.get("when")
    return found if isinstance(found, tuple) else ()


def _fits(value: Any, wanted: str) -> bool:
    """Equal text; `wanted` may end in `*`. Booleans and numbers count as JSON writes them."""
    value = _as_text(value)
    if not isinstance(value, str):
        return False
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool | int) else value


def _fields(value: object) -> Mapping[str, Path]:
    paths = {name: path_option(at) for name, at in mapping_option(value, _FIELDS).items()}
    if sum(name in paths for name in _NAMES) != 1:
        raise ValueError("needs exactly one of reference, repository and purl")
    return paths


def _when(value: object) -> tuple[tuple[Path, str], ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError("must be a mapping of paths to the text that must be there")
    return tuple((path_option(at), text_option(_as_text(wanted))) for at, wanted in value.items())


def _check(written: frozenset[str]) -> Mapping[str, str]:
    """What proves a delivery must be there, and what is there must prove something."""
    if "hmac" in written:
        needed = {} if "secrets" in written else {"hmac": "needs secret_file: the key of the MAC"}
        unused = {"keys", "header"} & written
        return needed | dict.fromkeys(unused, "is not used beside hmac; keep one of them")
    if "keys" in written:
        unused = {"secrets", "header"} & written
        advice = "is not used beside keys; add hmac to sign with the secret, or keep one of them"
        return dict.fromkeys(unused, advice)
    if "header" in written and "secrets" not in written:
        return {"header": "needs secret_file: the value that the header must carry"}
    return {}


KIND = Kind(
    "generic",
    authenticate,
    read,
    credentials=frozenset({"secrets", "keys", "tokens"}),
    needs_registry=False,
    header="Authorization",
    options={
        "fields": _fields,
        "when": _when,
        "each": path_option,
        "id_header": text_option,
        "hmac": mac_option,
    },
    required_options=frozenset({"fields"}),
    check=_check,
)

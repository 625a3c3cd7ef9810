"""The `signed_by` policy: its keys are read and checked here, when the configuration is loaded."""

import re
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.config.secret import is_given, read_secret
from webhook_launcher.core.attachment import Form
from webhook_launcher.core.image_key import ImageKey, read_image_key
from webhook_launcher.core.policies import SignedBy

_FORMS = {"any": frozenset(Form)} | {form.value: frozenset({form}) for form in Form}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def read_signed_by(item: Section) -> SignedBy | None:
    """The policy under the key `signed_by`; None when a problem was recorded."""
    section = item.section("signed_by")
    keys = _keys(section)
    forms = section.take("format", _forms, _FORMS["any"])
    nothing: dict[str, str] = {}
    annotations = section.take("annotations", values.texts, nothing)
    section.finish()
    return SignedBy(keys, forms, MappingProxyType(annotations)) if keys else None


def _keys(section: Section) -> tuple[ImageKey, ...]:
    """Every key that is one; the rest are problems, and so is none at all."""
    items = section.items("keys")
    if not items:
        section.problem(
            "keys", "needs at least one key: [{id: release-2026, key_file: cosign.pub}]"
        )
    found: list[ImageKey] = []
    for item in items:
        key = _key(item)
        if key is None:
            continue
        for other in found:
            if other.id == key.id:
                item.problem("id", f"{key.id!r} is the id of another key too")
            if other.der == key.der:
                item.problem("", f"is the same key as {other.id!r}")
        found.append(key)
    return tuple(found)


def _key(item: Section) -> ImageKey | None:
    identity = item.take("id", values.identifier)
    not_after = item.take("not_after", _time, None)
    pem = read_secret(item, "key")
    item.finish()
    if not is_given(item, "key"):
        item.problem("key_file", "is missing: the file with the public key, such as cosign.pub")
    if pem is None:
        return None
    try:
        return read_image_key(identity, pem, not_after)
    except ValueError as error:
        item.problem("key" if "key" in item else "key_file", str(error))
        return None


def _forms(value: Any) -> frozenset[Form]:
    if not isinstance(value, str) or value not in _FORMS:
        raise ValueError(f"must be {', '.join(_FORMS)}")
    return _FORMS[value]


def _time(value: Any) -> datetime:
    """The moment from which a key counts no more; a date is its whole day, in UTC."""
    text = values.text(value)
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError("must be a date such as 2027-01-31, or a time with its zone (…T12:00:00Z)")
    return found.astimezone(UTC)

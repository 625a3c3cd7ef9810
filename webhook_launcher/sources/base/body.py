"""A delivery's body as typed fields: strict JSON (or a form's `payload`), errors with the path.

Whatever arrives, the only thing raised is MalformedEventError, in time linear in the body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import MalformedEventError, UnreadableBodyError
from webhook_launcher.core.source import Delivery

# Nothing that is read is longer: references are bounded at 1024 characters themselves.
MAX_TEXT = 1024
# Senders put one entry, rarely a few, in a list; hundreds of them are no push event.
MAX_ENTRIES = 256
_MAX_FORM_FIELDS = 16
_MAX_LABEL = 200
_MAX_DELIVERY_ID = 200


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object and where it is in the body, for error texts (`package.owner`)."""

    values: Mapping[str, Any]
    path: str = ""

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, limit: int = MAX_TEXT) -> str | None:
        """A string; None when it is absent, null or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise MalformedEventError(f"{self.at(name)} is not a string")
        if len(value) > limit:
            raise MalformedEventError(f"{self.at(name)} is longer than {limit} characters")
        return value

    def required_text(self, name: str) -> str:
        """A string that must be there and not be empty."""
        value = self.text(name)
        if value is None:
            raise MalformedEventError(f"{self.at(name)} is missing")
        return value

    def fields(self, name: str) -> "Fields":
        """An object; an empty one when it is absent or null."""
        value = self.values.get(name)
        if value is None:
            return Fields({}, self.at(name))
        if not isinstance(value, dict):
            raise MalformedEventError(f"{self.at(name)} is not an object")
        return Fields(value, self.at(name))

    def entries(self, name: str) -> tuple["Entry", ...]:
        """A list whose entries may be anything; empty when it is absent or null."""
        return tuple(
            Entry(value, f"{self.at(name)}[{index}]")
            for index, value in enumerate(self._list(name))
        )

    def at(self, name: str) -> str:
        """The path of a field, as error texts show it."""
        return f"{self.path}.{name}" if self.path else name

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise MalformedEventError(f"{self.at(name)} is not a list")
        if len(value) > MAX_ENTRIES:
            raise MalformedEventError(f"{self.at(name)} has more than {MAX_ENTRIES} entries")
        return value


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list before anybody asked what it is; MalformedEventError names its place."""

    value: Any
    path: str

    def an_object(self) -> Fields:
        """The entry, which must be an object."""
        return Fields(_an_object(self.value, self.path or "the body"), self.path)

    def a_text(self) -> str:
        """The entry, which must be a short string and not empty."""
        if not isinstance(self.value, str) or not 0 < len(self.value) <= MAX_TEXT:
            raise MalformedEventError(f"{self.path} is not a short string")
        return self.value

    def part(self, name: str) -> str | None:
        """A text of the entry for the delivery's id, None where there is none."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None


def read_fields(body: bytes) -> Fields:
    """The body as one JSON object, whatever its content type says."""
    return Fields(_an_object(read_json(body), "the body"))


def read_json(body: bytes) -> Any:
    """The body as one strict JSON value. Raises MalformedEventError."""
    try:
        return strict_json.loads(body)
    except strict_json.StrictJsonError as error:
        raise UnreadableBodyError(f"the body is {error}") from error


def read_fields_or_form(delivery: Delivery) -> Fields:
    """The JSON body, or the `payload` field of a form where the sender can be set to either."""
    media_type = (delivery.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        return read_fields(delivery.body)
    try:
        fields = parse_qsl(
            delivery.body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FORM_FIELDS,
        )
    except ValueError as error:
        raise MalformedEventError("the body is not a form of a few UTF-8 fields") from error
    payloads = [value for name, value in fields if name == "payload"]
    if len(payloads) != 1:
        raise MalformedEventError("the form needs exactly one field named payload")
    return read_fields(payloads[0].encode("utf-8"))


def body_hash(body: bytes) -> str:
    """The delivery id where a sender gives none: equal bodies are one delivery."""
    return f"sha256:{sha256(body).hexdigest()}"


def delivery_id(candidate: str | None, body: bytes) -> str:
    """The sender's id if it is one (short, printable ASCII), else a hash of the body."""
    if candidate and len(candidate) <= _MAX_DELIVERY_ID and _is_printable(candidate):
        return candidate
    return body_hash(body)


def common_id(ids: Sequence[str | None], body: bytes) -> str:
    """The id of the only entry of an envelope, or one of all its entries."""
    if len(ids) == 1:
        return delivery_id(ids[0], body)
    known = [identity for identity in ids if identity]
    return body_hash("\n".join(known).encode() if known and len(known) == len(ids) else body)


def label(value: object) -> str | None:
    """Free text for people (an actor): cut, without control characters; None if not text."""
    if not isinstance(value, str):
        return None
    return "".join(c for c in value[:_MAX_LABEL] if c.isprintable()).strip() or None


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _an_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedEventError(f"{path} is not a JSON object")
    return value

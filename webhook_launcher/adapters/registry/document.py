"""The parts that registry documents are made of, read so that nobody can read them differently.

Keys in another case are refused: Go's parser reads them, ours would not (CVE-2021-41190 is of that
class).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_launcher.core import strict_json
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Digest

_KEYS = frozenset(
    {"schemaVersion", "mediaType", "manifests", "config", "layers", "digest", "size"}
    | {"platform", "os", "architecture", "variant", "annotations"}
)
_SCHEMA_VERSION = 2
_FOLDED_KEYS = frozenset(key.casefold() for key in _KEYS)


class OddDocumentError(Exception):
    """What is wrong with a document."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a document says of another one: to be believed only once its bytes are hashed."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None


def parse_document(body: bytes, content_type: str) -> Mapping[str, Any]:
    """An index or manifest that is of the type it was sent as, and not both.

    Raises OddDocumentError, StrictJsonError or InvalidReferenceError; so do the functions below.
    """
    document = as_object(strict_json.loads(body), "the document")
    if document.get("schemaVersion") != _SCHEMA_VERSION:
        raise OddDocumentError("its schemaVersion is not 2")
    if document.get("mediaType", content_type) != content_type:
        raise OddDocumentError(f"its mediaType is not the Content-Type, {content_type}")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise OddDocumentError("it is an index and a manifest at once")
    return document


def as_descriptor(value: Any, name: str) -> Descriptor:
    """What a descriptor says; its platform is left out."""
    fields = as_object(value, name)
    media_type, digest, size = (fields.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise OddDocumentError(f"{name} has no mediaType or digest")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise OddDocumentError(f"{name} has no size")
    return Descriptor(media_type, Digest(digest), size)


def as_object(value: Any, name: str) -> Mapping[str, Any]:
    """An object without known keys in another case."""
    if not isinstance(value, dict):
        raise OddDocumentError(f"{name} is not an object")
    for key in value:
        if key not in _KEYS and key.casefold() in _FOLDED_KEYS:
            raise OddDocumentError(f"{name} has the key {shown(key)} in unusual case")
    return value


def list_of(document: Mapping[str, Any], key: str) -> list[Any]:
    """The list that must be under a key."""
    value = document.get(key)
    if not isinstance(value, list):
        raise OddDocumentError(f"it has no list of {key}")
    return value


def shown(text: str) -> str:
    """Foreign text made safe for a log line: quoted, escaped and cut."""
    return ascii(text[:80])

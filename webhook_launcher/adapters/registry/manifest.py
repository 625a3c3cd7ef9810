"""A manifest's bytes, read as the security boundary they are.

image-spec 1.1 (image index, image manifest) and Docker's schema 2. A document that two readers
could understand differently is refused (CVE-2021-41190): both `manifests` and `layers` or `config`,
a `mediaType` that is not the Content-Type, keys in another case (Go reads them, we would not).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    UnsupportedManifestError,
)
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Digest

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# Always all four: for a type that is missing a registry answers 404, or converts (another digest).
ACCEPT = ", ".join(INDEX_TYPES + MANIFEST_TYPES)
MAX_MANIFEST = 4 * 1024 * 1024  # distribution-spec, "Pushing Manifests"
_CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_SCHEMA_VERSION = 2
_KEYS = frozenset(
    {"schemaVersion", "mediaType", "manifests", "config", "layers", "digest", "size"}
    | {"platform", "os", "architecture", "variant"}
)
_FOLDED_KEYS = frozenset(key.casefold() for key in _KEYS)
_MAX_WORD = 64  # characters of an os, architecture or variant


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a document says of another one: to be believed only once its bytes are hashed."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The image manifests with a platform, in the order of the document; nothing else of it."""

    media_type: str
    entries: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One platform's image."""

    media_type: str
    config: Descriptor


def proven_digest(body: bytes, asked: Digest | None, claimed: str | None, what: str) -> Digest:
    """The digest of the bytes: of the asked algorithm, else sha256.

    `claimed` is the registry's `Docker-Content-Digest`. Raises DigestMismatchError when the bytes
    are not what was asked for, or not what the registry says they are.
    """
    own = digest_of(body, asked.partition(":")[0] if asked else "sha256")
    if asked is not None and own != asked:
        raise DigestMismatchError(f"the registry's bytes for {what} have the digest {own}")
    if claimed is not None:
        try:
            header = Digest(claimed)
        except InvalidReferenceError as error:
            raise DigestMismatchError(f"the registry's header for {what}: {error}") from error
        if digest_of(body, header.partition(":")[0]) != header:
            raise DigestMismatchError(
                f"the registry says {what} is {header} and sends bytes with the digest {own}"
            )
    return own


def digest_of(body: bytes, algorithm: str) -> Digest:
    """The digest of some bytes; `algorithm` is one that Digest knows."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")


def parse_manifest(body: bytes, content_type: str, what: str) -> Index | Manifest:
    """The document, checked. `content_type` is the answer's, without parameters.

    Raises UnsupportedManifestError, naming `what` was asked for, for anything else.
    """
    try:
        return _parse(body, content_type)
    except (strict_json.StrictJsonError, InvalidReferenceError, _OddError) as error:
        raise UnsupportedManifestError(f"{what} is no image that can be run: {error}") from error


class _OddError(Exception):
    """What is wrong with a document."""


def _parse(body: bytes, content_type: str) -> Index | Manifest:
    if content_type not in INDEX_TYPES + MANIFEST_TYPES:
        raise _OddError(f"the registry sends it as {_shown(content_type)}")
    document = _object(strict_json.loads(body), "the document")
    if document.get("schemaVersion") != _SCHEMA_VERSION:
        raise _OddError("its schemaVersion is not 2")
    if document.get("mediaType", content_type) != content_type:
        raise _OddError(f"its mediaType is not the Content-Type, {content_type}")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise _OddError("it is an index and a manifest at once")
    if content_type in INDEX_TYPES:
        entries = [_entry(entry) for entry in _list(document, "manifests")]
        return Index(content_type, tuple(entry for entry in entries if entry is not None))
    for layer in _list(document, "layers"):
        _descriptor(layer, "a layer")
    config = _descriptor(document.get("config"), "its config")
    if config.media_type not in _CONFIG_TYPES:
        raise _OddError(f"its config is {_shown(config.media_type)}: an artifact, not an image")
    return Manifest(content_type, config)


def _entry(value: Any) -> Descriptor | None:
    """An index's entry; None for what is no image manifest with a platform."""
    entry = _object(value, "an entry")
    if entry.get("mediaType") not in MANIFEST_TYPES or entry.get("platform") is None:
        return None
    platform = _object(entry["platform"], "a platform")
    os, architecture = _word(platform, "os"), _word(platform, "architecture")
    found = Platform(os, architecture, _word(platform, "variant") or None)
    plain = _descriptor(entry, "an entry")
    return Descriptor(plain.media_type, plain.digest, plain.size, found)


def _descriptor(value: Any, name: str) -> Descriptor:
    fields = _object(value, name)
    media_type, digest, size = (fields.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise _OddError(f"{name} has no mediaType or digest")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise _OddError(f"{name} has no size")
    return Descriptor(media_type, Digest(digest), size)


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _OddError(f"{name} is not an object")
    for key in value:
        if key not in _KEYS and key.casefold() in _FOLDED_KEYS:
            raise _OddError(f"{name} has the key {_shown(key)} in unusual case")
    return value


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise _OddError(f"it has no list of {key}")
    return value


def _word(platform: Mapping[str, Any], key: str) -> str:
    value = platform.get(key, "")
    if not isinstance(value, str) or len(value) > _MAX_WORD or not value.isascii():
        raise _OddError(f"a platform's {key} is not a word")
    return value


def _shown(text: str) -> str:
    """Foreign text made safe for a log line: quoted, escaped and cut."""
    return ascii(text[:80])

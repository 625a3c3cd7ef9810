"""A manifest's bytes, read as the security boundary they are.

image-spec 1.1 (image index, image manifest) and Docker's schema 2. A document that two readers
could understand differently is refused (CVE-2021-41190): both `manifests` and `layers` or `config`,
a `mediaType` that is not the Content-Type, keys in another case (Go reads them, we would not).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_launcher.adapters.registry.document import (
    Descriptor,
    OddDocumentError,
    as_descriptor,
    as_object,
    list_of,
    parse_document,
    shown,
)
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
_MAX_WORD = 64  # characters of an os, architecture or variant


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
    layers: tuple[Descriptor, ...] = ()


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
    except (strict_json.StrictJsonError, InvalidReferenceError, OddDocumentError) as error:
        raise UnsupportedManifestError(f"{what} is no image that can be run: {error}") from error


def _parse(body: bytes, content_type: str) -> Index | Manifest:
    if content_type not in INDEX_TYPES + MANIFEST_TYPES:
        raise OddDocumentError(f"the registry sends it as {shown(content_type)}")
    document = parse_document(body, content_type)
    if content_type in INDEX_TYPES:
        entries = [_entry(entry) for entry in list_of(document, "manifests")]
        return Index(content_type, tuple(entry for entry in entries if entry is not None))
    layers = tuple(as_descriptor(layer, "a layer") for layer in list_of(document, "layers"))
    config = as_descriptor(document.get("config"), "its config")
    if config.media_type not in _CONFIG_TYPES:
        raise OddDocumentError(
            f"its config is {shown(config.media_type)}: an artifact, not an image"
        )
    return Manifest(content_type, config, layers)


def _entry(value: Any) -> Descriptor | None:
    """An index's entry; None for what is no image manifest with a platform."""
    entry = as_object(value, "an entry")
    if entry.get("mediaType") not in MANIFEST_TYPES or entry.get("platform") is None:
        return None
    platform = as_object(entry["platform"], "a platform")
    os, architecture = _word(platform, "os"), _word(platform, "architecture")
    found = Platform(os, architecture, _word(platform, "variant") or None)
    plain = as_descriptor(entry, "an entry")
    return Descriptor(plain.media_type, plain.digest, plain.size, found)


def _word(platform: Mapping[str, Any], key: str) -> str:
    value = platform.get(key, "")
    if not isinstance(value, str) or len(value) > _MAX_WORD or not value.isascii():
        raise OddDocumentError(f"a platform's {key} is not a word")
    return value

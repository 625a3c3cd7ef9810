"""What an image's own configuration says of it: labels, platform, size. Verified bytes only.

image-spec 1.1, config.md. A configuration that says two things is refused like a manifest that
does; one that leaves its platform out says nothing of it and is for no platform.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from webhook_launcher.adapters.registry.manifest import Manifest
from webhook_launcher.adapters.registry.platform import normal
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import UnsupportedManifestError
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.model import Platform

# A configuration has its history and labels: some 10 KB. The engine itself allows 4 MiB.
MAX_CONFIG = 4 * 1024 * 1024
_MAX_LABELS = 1000
_PLATFORM = ("os", "architecture", "variant")
_KEYS = (*_PLATFORM, "config")


def read_facts(manifest: Manifest, raw: bytes, config: bytes, what: str) -> Facts:
    """The facts of a platform's manifest (`raw` are its bytes) and its config's bytes.

    Raises UnsupportedManifestError, naming `what` was asked for.
    """
    try:
        document = strict_json.loads(config)
    except strict_json.StrictJsonError as error:
        raise UnsupportedManifestError(f"the config of {what} is unreadable: {error}") from error
    if not isinstance(document, dict) or _folded_twice(document):
        raise UnsupportedManifestError(f"the config of {what} is none, or says things twice")
    os, architecture, variant = (_text(document, key) for key in _PLATFORM)
    platform = normal(Platform(os, architecture, variant))
    size = manifest.config.size + sum(layer.size for layer in manifest.layers)
    return Facts(raw, MappingProxyType(_labels(document, what)), size, platform)


def _labels(document: Mapping[str, Any], what: str) -> dict[str, str]:
    """docker and buildkit write `config.Labels`; absent and null are none."""
    inner = document.get("config") or {}
    found = inner.get("Labels") if isinstance(inner, dict) else None
    labels = found or {}
    texts = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    if not texts or len(labels) > _MAX_LABELS:
        raise UnsupportedManifestError(f"the labels in the config of {what} are none")
    return dict(labels)


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    return value if isinstance(value, str) else ""


def _folded_twice(document: Mapping[str, Any]) -> bool:
    """Go reads `OS` where there is no `os`: another reader must not see another platform."""
    return any(key.lower() in _KEYS and key not in _KEYS for key in document)

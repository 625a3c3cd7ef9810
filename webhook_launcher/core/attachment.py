"""What is attached to an image in its registry: signatures and attestations, as stored there.

Raw bytes only: they are verified, and parsed, where a policy asks what they prove.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Form(StrEnum):
    """How it is stored."""

    LEGACY = "legacy"  # cosign's `sha256-<hex>.sig` tag: a simple-signing payload and its signature
    BUNDLE = "bundle"  # a Sigstore bundle, found by the referrers API or its fallback tag


@dataclass(frozen=True, slots=True)
class Attachment:
    """One signature or attestation, whoever made it; `content` has its descriptor's digest.

    `signature` is the base64 text of the layer's annotation (legacy only): it is in no digest but
    the manifest's, and proves nothing before it was verified over `content`. With a `fault`, it
    could not be read, and has no content.
    """

    form: Form
    media_type: str  # the layer's
    content: bytes = field(default=b"", repr=False)
    signature: str | None = field(default=None, repr=False)
    fault: str | None = None

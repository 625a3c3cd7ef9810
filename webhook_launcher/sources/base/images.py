"""From what a payload names to references: strict grammar, one pinned registry, no contradiction.

A digest that is none never becomes a tag-only push: that would carry on with half of what the
sender said. A missing tag never becomes `latest`.
"""

from collections.abc import Callable
from typing import TypeVar

from webhook_launcher.core.errors import (
    ContradictionError,
    InvalidReferenceError,
    MalformedEventError,
)
from webhook_launcher.core.reference import (
    Digest,
    Reference,
    Repository,
    make_repository,
    make_tag,
    parse_reference,
    parse_registry,
)
from webhook_launcher.core.source import Source

T = TypeVar("T")

# Media types under which registries report what is no image. Anything else is let through: the
# fetched manifest decides, and an unknown type must not hide a push.
_NOT_IMAGES: dict[str, str] = {
    "application/vnd.acr.helm.chart": "a Helm chart",
    "application/vnd.cncf.helm.config.v1+json": "a Helm chart",
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip": "a Helm chart",
    "application/vnd.buildkit.cacheconfig.v0": "a build cache",
    "application/vnd.wasm.config.v0+json": "a WebAssembly module",
    "application/vnd.wasm.config.v1+json": "a WebAssembly module",
    "application/vnd.docker.plugin.v1+json": "a Docker plugin",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "a signature",
    "application/vnd.dev.cosign.simplesigning.v1+json": "a signature",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "a signature",
    "application/vnd.cncf.notary.signature": "a signature",
    "application/vnd.in-toto+json": "an attestation",
    "application/vnd.dsse.envelope.v1+json": "an attestation",
    "application/spdx+json": "an SBOM",
    "application/vnd.cyclonedx+json": "an SBOM",
    # What artifacts have for a config (OCI image-spec 1.1); an image has one of its own.
    "application/vnd.oci.empty.v1+json": "an artifact without an image's config",
}


def host_of(source: Source, named: str | None, field: str) -> str:
    """The registry of a push: the configured one, which the payload's own may only confirm.

    Without a configured one, the payload's host stands; it then only selects among workloads.
    Raises ContradictionError when the two differ, MalformedEventError when there is neither.
    """
    if named is None:
        if source.registry is None:
            raise MalformedEventError(
                f"{field} is missing and the source has no registry",
                advice=f"Set `registry:` of source {source.name!r} in the configuration.",
            )
        return source.registry
    host = _parsed(parse_registry, named, field)
    if source.registry is not None and host != parse_registry(source.registry):
        raise ContradictionError(
            f"{field} is {host}, the source speaks for {source.registry}",
            advice=f"If the sender is right, correct `registry:` of source {source.name!r}.",
        )
    return host


def repository_of(host: str, path: str, field: str) -> Repository:
    """A repository; MalformedEventError names the field that is none."""
    return _parsed(lambda text: make_repository(host, text), path, field)


def tag_of(text: str, field: str) -> str:
    """A tag; MalformedEventError names the field that is none."""
    return _parsed(make_tag, text, field)


def digest_of(text: str | None, field: str) -> Digest | None:
    """A digest, or None where the payload has none; MalformedEventError for anything else."""
    return None if text is None else _parsed(Digest, text, field)


def located(text: str, source: Source, field: str) -> Reference:
    """`host/path[:tag][@digest]` with the host always there, as registries write their own.

    A bare `web/app` is therefore the path `app` on the host `web`, not an image of Docker Hub.
    """
    host, _, rest = without_scheme(text).partition("/")
    name, at, digest = rest.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    repository = repository_of(host_of(source, host, field), f"{head}{slash}{last}", field)
    return Reference(
        repository,
        tag_of(tag, field) if colon else None,
        digest_of(digest, field) if at else None,
    )


def reference_of(text: str, source: Source, field: str) -> Reference:
    """A reference as people write it, who leave Docker Hub's name away; the registry is pinned."""
    reference = _parsed(parse_reference, text, field)
    host_of(source, reference.repository.registry, field)
    return reference


def host_in_url(url: str | None) -> str | None:
    """`host[:port]` of a URL, None when there is none."""
    return without_scheme(url).partition("/")[0] or None if url else None


def without_scheme(text: str) -> str:
    """A URL or reference without `https://`."""
    before, mark, after = text.partition("://")
    return after if mark and before.lower() in ("http", "https") else text


def not_an_image(media_type: str | None) -> str | None:
    """What a media type says the push is, when that is not an image."""
    return _NOT_IMAGES.get((media_type or "").partition(";")[0].strip().lower())


def agree(first: object, first_field: str, second: object, second_field: str) -> None:
    """Two statements of one thing must be equal where both are made. ContradictionError."""
    if first is not None and second is not None and first != second:
        raise ContradictionError(f"{first_field} and {second_field} disagree")


def _parsed(parse: Callable[[str], T], text: str, field: str) -> T:
    try:
        return parse(text)
    except InvalidReferenceError as error:
        raise MalformedEventError(f"{field}: {error}") from error

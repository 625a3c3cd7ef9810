"""Which requests are made, in which order, for one look and for one deployment."""

import ssl
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from webhook_launcher.adapters.registry.attachments import Attachments
from webhook_launcher.adapters.registry.blobs import Blobs
from webhook_launcher.adapters.registry.document import Descriptor
from webhook_launcher.adapters.registry.exchange import Exchange
from webhook_launcher.adapters.registry.facts import MAX_CONFIG, read_facts
from webhook_launcher.adapters.registry.manifest import (
    ACCEPT,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST,
    Index,
    Manifest,
    digest_of,
    parse_manifest,
    proven_digest,
)
from webhook_launcher.adapters.registry.platform import choose
from webhook_launcher.adapters.registry.settings import Credential, RegistrySettings, Timeouts
from webhook_launcher.adapters.registry.tags import TagLists
from webhook_launcher.adapters.registry.transport import Answer, Deadline, Transport
from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.errors import (
    InvalidReferenceError,
    ManifestNotFoundError,
    UnsupportedManifestError,
)
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Reference, Repository, make_tag

_DIGEST_HEADER = "Docker-Content-Digest"
# The first pause after a 404, doubled up to the longest: an event can overtake its own manifest.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 1.0
# Platform manifests that were just resolved, so that their facts cost no second GET (a GET is what
# Docker Hub counts). Some KB each.
_REMEMBERED = 16
_LARGEST_REMEMBERED = 256 * 1024


class RegistryClient:
    """Resolves references. Safe for use by several threads; connections are kept.

    `settings` are by registry host; a host without any gets the defaults. `credentials` is asked,
    by host, when the settings have none. `now` is a monotonic clock. All errors are of
    RegistryError or VerificationError and name the registry and what was asked of it.
    """

    def __init__(
        self,
        settings: Mapping[str, RegistrySettings],
        credentials: Callable[[str], Credential | None],
        *,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        timeouts: Timeouts | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._timeouts = timeouts or Timeouts()
        self._transport = Transport(self._timeouts, trust)
        self._exchange = Exchange(settings, credentials, self._transport, now)
        self._blobs = Blobs(self._exchange, self._transport)
        self._tag_lists = TagLists(self._exchange, now)
        self._recent: deque[tuple[Digest, Answer]] = deque(maxlen=_REMEMBERED)
        self._attachments = Attachments(self._exchange, self._blobs)

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def head(self, reference: Reference) -> Digest:
        """The digest that the registry says the reference has, for the poll; unproven.

        A HEAD, which Docker Hub does not count as a pull. Where its answer has no usable digest or
        type, a GET whose bytes are hashed.
        """
        deadline = Deadline(self._now, self._timeouts.total)
        said = _said_digest(self._ask("HEAD", reference, deadline))
        if said is not None and reference.digest in (None, said):
            return said
        digest, _ = _checked(self._ask("GET", reference, deadline), reference)
        return digest

    def date(self, reference: Reference) -> datetime | None:
        """What the registry's clock said when it was asked for the reference, if it said so."""
        deadline = Deadline(self._now, self._timeouts.total)
        said = self._ask("HEAD", reference, deadline).headers.get("Date", "")
        try:
            return parsedate_to_datetime(said).astimezone(UTC)
        except ValueError:
            return None

    def image(self, reference: Reference, platform: Platform, *, patience: float = 0) -> Image:
        """The image behind a reference, for an engine of this platform; one resolution.

        Every document is hashed here: the one asked for, and this platform's manifest if that is an
        index. Image.platform is the index's entry, None for a single manifest: its platform is only
        in its config, which is not fetched. The engine refuses or emulates a wrong one, and the
        proof of the running container rests on the config's digest.

        A 404 is tried again for `patience` seconds. Raises DigestMismatchError,
        UnsupportedManifestError and the RegistryErrors.
        """
        deadline = Deadline(self._now, self._timeouts.total + patience)
        until = self._now() + patience
        answer = self._get(reference, deadline, until)
        digest, found = _checked(answer, reference)
        if isinstance(found, Manifest):
            self._remember(digest, answer)
            return Image(reference, digest, digest, found.config.digest, found.media_type)
        entry = choose(found, platform, str(reference))
        answer = self._get(reference.at(entry.digest), deadline, until)
        manifest, document = _pointed_to(answer, entry, reference)
        self._remember(manifest, answer)
        config = document.config.digest
        return Image(reference, digest, manifest, config, found.media_type, entry.platform)

    def facts(self, image: Image, platform: Platform) -> Facts:
        """What the image's platform manifest and its config say. Errors as of `image`.

        An image that was adopted from the engine names no manifest: it is resolved by its digest.
        """
        if image.manifest is None:
            image = self.image(image.reference.at(image.digest), platform)
        assert image.manifest is not None  # noqa: S101 - `image` always sets it
        deadline = Deadline(self._now, self._timeouts.total)
        reference = image.reference.at(image.manifest)
        kept = dict(list(self._recent)).get(image.manifest)
        answer = kept or self._ask("GET", reference, deadline)
        _, found = _checked(answer, reference)
        if not isinstance(found, Manifest):
            raise UnsupportedManifestError(f"{reference} is an index where a manifest should be")
        config = self._blobs.get(reference.repository, found.config, MAX_CONFIG, deadline)
        return read_facts(found, answer.body, config, str(reference))

    def blob(self, repository: Repository, wanted: Descriptor, limit: int) -> bytes:
        """A blob's bytes, of its descriptor's size and digest, `limit` bytes at most.

        Raises UnsupportedManifestError for a larger one before asking, DigestMismatchError for
        other bytes, and the RegistryErrors.
        """
        deadline = Deadline(self._now, self._timeouts.total)
        return self._blobs.get(repository, wanted, limit, deadline)

    def tags(self, repository: Repository) -> list[str]:
        """All tags of a repository, or a RegistryError; never a part of them."""
        return self._tag_lists.read(repository)

    def attachments(self, image: Image) -> tuple[Attachment, ...]:
        """The signatures and attestations of the image's digest, unjudged, as they are stored.

        Raises RegistryUnavailableError when what is there cannot be known now: that is neither
        "signed" nor "unsigned". RegistryDeniedError when we may not look.
        """
        deadline = Deadline(self._now, self._timeouts.total)
        return self._attachments.find(image.reference.repository, image.digest, deadline)

    def _remember(self, digest: Digest, answer: Answer) -> None:
        if len(answer.body) <= _LARGEST_REMEMBERED:
            self._recent.append((digest, answer))

    def _get(self, reference: Reference, deadline: Deadline, until: float) -> Answer:
        """A GET, with another try after a 404 as long as it falls before `until`."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._ask("GET", reference, deadline)
            except ManifestNotFoundError:
                if self._now() + pause > until:
                    raise
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _ask(self, method: str, reference: Reference, deadline: Deadline) -> Answer:
        """The answer is a 200, or the 405 of a registry that knows no HEAD."""
        return self._exchange.ask(
            method,
            reference.repository,
            f"manifests/{_name(reference)}",
            what=str(reference),
            deadline=deadline,
            limit=MAX_MANIFEST,
            accept=ACCEPT,
            also=(HTTPStatus.METHOD_NOT_ALLOWED,) if method == "HEAD" else (),
        )


def _name(reference: Reference) -> str:
    """The last part of the manifest's path."""
    if reference.digest is not None:
        return reference.digest
    if reference.tag is None:
        raise InvalidReferenceError(f"{reference} has neither a tag nor a digest to look up")
    return make_tag(reference.tag)


def _said_digest(answer: Answer) -> Digest | None:
    """What a HEAD says, if it is an image's; only sha256, so that it compares with our own."""
    said = answer.headers.get(_DIGEST_HEADER, "")
    if answer.content_type not in INDEX_TYPES + MANIFEST_TYPES or not said.startswith("sha256:"):
        return None
    try:
        return Digest(said)
    except InvalidReferenceError:
        return None  # the GET that follows judges it


def _checked(answer: Answer, reference: Reference) -> tuple[Digest, Index | Manifest]:
    """The digest by which the answer is known from here on, proven, and its content.

    Always sha256, whatever was asked for: by a second name of the same bytes a digest could leave
    its quarantine, its age and what it replaced behind.
    """
    what, said = str(reference), answer.headers.get(_DIGEST_HEADER)
    proven_digest(answer.body, reference.digest, said, what)
    return digest_of(answer.body, "sha256"), parse_manifest(answer.body, answer.content_type, what)


def _pointed_to(answer: Answer, entry: Descriptor, index: Reference) -> tuple[Digest, Manifest]:
    """The platform's manifest, which must be what the index says of it."""
    digest, found = _checked(answer, index.at(entry.digest))
    if not isinstance(found, Manifest) or found.media_type != entry.media_type:
        raise UnsupportedManifestError(
            f"{index} points to {entry.digest}, which is not of the type that the index says"
        )
    if len(answer.body) != entry.size:
        raise UnsupportedManifestError(
            f"{index} points to {entry.digest}, which is not of the size that the index says"
        )
    return digest, found

"""Which requests are made, in which order, for one look and for one deployment."""

import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus

from webhook_launcher.adapters.registry.access import CLIENT, Access, Grant
from webhook_launcher.adapters.registry.manifest import (
    ACCEPT,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
    proven_digest,
)
from webhook_launcher.adapters.registry.platform import choose
from webhook_launcher.adapters.registry.refusals import refusal
from webhook_launcher.adapters.registry.settings import Credential, RegistrySettings, Timeouts
from webhook_launcher.adapters.registry.transport import Answer, Deadline, Transport
from webhook_launcher.core.errors import (
    InvalidReferenceError,
    ManifestNotFoundError,
    UnsupportedManifestError,
)
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Reference, make_repository, make_tag

_DIGEST_HEADER = "Docker-Content-Digest"
# The first pause after a 404, doubled up to the longest: an event can overtake its own manifest.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 1.0


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
        self._settings = dict(settings)
        self._now = now
        self._sleep = sleep
        self._timeouts = timeouts or Timeouts()
        self._transport = Transport(self._timeouts, trust)
        self._access = Access(self._transport, credentials, now)

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
        digest, found = _checked(self._get(reference, deadline, until), reference)
        if isinstance(found, Manifest):
            return Image(reference, digest, digest, found.config.digest, found.media_type)
        entry = choose(found, platform, str(reference))
        answer = self._get(reference.at(entry.digest), deadline, until)
        config = _pointed_to(answer, entry, reference).config.digest
        return Image(reference, digest, entry.digest, config, found.media_type, entry.platform)

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
        """One request with what we have; after a 401, once more with a fresh grant.

        The answer is a 200, or the 405 of a registry that knows no HEAD.
        """
        repository = reference.repository
        settings = self._settings.get(repository.registry) or RegistrySettings(repository.registry)
        url = settings.base + _path(reference)
        grant = self._access.kept(repository)
        answer = self._send(method, url, grant, deadline)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            grant = self._access.renew(settings, repository, answer, deadline)
            answer = self._send(method, url, grant, deadline)
        no_head = method == "HEAD" and answer.status == HTTPStatus.METHOD_NOT_ALLOWED
        if answer.status == HTTPStatus.OK or no_head:
            return answer
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._access.forget(repository)
        anonymous = grant is None or grant.anonymous
        raise refusal(answer, repository.registry, str(reference), anonymous=anonymous)

    def _send(self, method: str, url: str, grant: Grant | None, deadline: Deadline) -> Answer:
        headers = {"Accept": ACCEPT, "User-Agent": CLIENT}
        if grant is not None:
            headers["Authorization"] = grant.authorization
        return self._transport.send(method, url, headers, deadline=deadline, limit=MAX_MANIFEST)


def _path(reference: Reference) -> str:
    """The manifest's path. The grammar is checked here once more, where it becomes a URL."""
    repository = make_repository(reference.repository.registry, reference.repository.path)
    if reference.digest is not None:
        return f"/v2/{repository.path}/manifests/{reference.digest}"
    if reference.tag is None:
        raise InvalidReferenceError(f"{reference} has neither a tag nor a digest to look up")
    return f"/v2/{repository.path}/manifests/{make_tag(reference.tag)}"


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
    """The answer's own digest, proven, and its content."""
    what, said = str(reference), answer.headers.get(_DIGEST_HEADER)
    digest = proven_digest(answer.body, reference.digest, said, what)
    return digest, parse_manifest(answer.body, answer.content_type, what)


def _pointed_to(answer: Answer, entry: Descriptor, index: Reference) -> Manifest:
    """The platform's manifest, which must be what the index says of it."""
    _, found = _checked(answer, index.at(entry.digest))
    if not isinstance(found, Manifest) or found.media_type != entry.media_type:
        raise UnsupportedManifestError(
            f"{index} points to {entry.digest}, which is not of the type that the index says"
        )
    if len(answer.body) != entry.size:
        raise UnsupportedManifestError(
            f"{index} points to {entry.digest}, which is not of the size that the index says"
        )
    return found

"""Signatures and attestations of an image, wherever its registry keeps them; judged elsewhere.

Legacy: the tag `sha256-<hex>.sig` has a manifest with one layer per signature (sigstore/cosign,
specs/SIGNATURE_SPEC.md).

Bundles: the referrers of the digest (distribution-spec 1.1, "Listing Referrers"). Only a 200 with
an OCI index is an answer of that API; for anything else the index is under the tag
`sha256-<hex>`. Every manifest of it is opened: what the index says of their types is unsigned,
and cosign 3 writes another one there (sigstore/cosign#4641). It only decides who comes first.

An attachment that cannot be read is kept with its fault, so that a broken or huge one of somebody
else's spoils no other. A registry that cannot answer now is raised: what is there is then unknown.
"""

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

from webhook_launcher.adapters.registry.blobs import Blobs
from webhook_launcher.adapters.registry.document import (
    Descriptor,
    OddDocumentError,
    as_descriptor,
    as_object,
    list_of,
    parse_document,
    shown,
)
from webhook_launcher.adapters.registry.exchange import Exchange
from webhook_launcher.adapters.registry.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST,
    proven_digest,
)
from webhook_launcher.adapters.registry.paging import next_query
from webhook_launcher.adapters.registry.transport import Answer, Deadline
from webhook_launcher.core import strict_json
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.cosign import SIGN_TYPE
from webhook_launcher.core.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
    VerificationError,
)
from webhook_launcher.core.reference import Digest, Repository

# As many signatures of one image as anybody reads; more are an attack (GHSA-95pr-fxf5-86gv).
MOST = 64
MOST_PAGES = 16
# cosign's payloads and signature bundles have about 1 KiB, provenance about 20 KiB.
MAX_BODY = 1024 * 1024
# All manifests and bodies of one look: it is kept in the journal.
MAX_TOTAL = 16 * 1024 * 1024
_OCI_INDEX = INDEX_TYPES[0]
_SIGNATURE = "dev.cosignproject.cosign/signature"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_BUNDLE_TYPES = "application/vnd.dev.sigstore.bundle"
# Whatever else a registry answers that knows no referrers: GHCR redirected them to a web page.
_NO_REFERRERS = frozenset(range(201, 500)) - {HTTPStatus.TOO_MANY_REQUESTS} | {
    HTTPStatus.NOT_IMPLEMENTED
}
# What says that one attachment cannot be read; `_faulty` lets through what says more.
_READING = (OddDocumentError, strict_json.StrictJsonError, VerificationError, RegistryError)


class Attachments:
    """Finds attachments through an exchange. Safe for use by several threads."""

    def __init__(self, exchange: Exchange, blobs: Blobs) -> None:
        self._exchange = exchange
        self._blobs = blobs

    def find(
        self, repository: Repository, digest: Digest, deadline: Deadline
    ) -> tuple[Attachment, ...]:
        """Every attachment of a digest, at most MOST of each form, each as it is stored.

        Raises RegistryUnavailableError when what is there cannot be known now, and
        RegistryDeniedError.
        """
        if not digest.startswith("sha256:"):
            return ()  # the tags' names are those of sha256
        look = _Look(self._exchange, self._blobs, repository, digest, deadline)
        return (*look.legacy(), *look.bundles())


class _Look:
    """One look at the attachments of one digest, with what it may still read."""

    def __init__(
        self,
        exchange: Exchange,
        blobs: Blobs,
        repository: Repository,
        digest: Digest,
        deadline: Deadline,
    ) -> None:
        self._exchange = exchange
        self._blobs = blobs
        self._repository = repository
        self._digest = digest
        self._deadline = deadline
        self._room = MAX_TOTAL
        self._tag = digest.replace(":", "-")

    def legacy(self) -> list[Attachment]:
        """The layers of the signature tag, each with the signature beside it."""
        answer = self._tagged(f"{self._tag}.sig", MANIFEST_TYPES)
        if answer is None:
            return []
        try:
            layers = [_signed_layer(layer) for layer in self._layers(answer, None)[:MOST]]
        except _READING as error:
            return [_faulty(Form.LEGACY, answer.content_type, f"{self._tag}.sig", error)]
        return [self._attachment(Form.LEGACY, layer, text) for layer, text in layers]

    def bundles(self) -> list[Attachment]:
        """The bundles that refer to the digest."""
        try:
            pages = self._referrers() or self._tagged_index()
            entries = _referring(pages)[:MOST]
        except _READING as error:
            return [_faulty(Form.BUNDLE, _OCI_INDEX, "the list of referrers", error)]
        found = (bundle for entry in entries for bundle in self._referrer(entry))
        return list(islice(found, MOST))

    def _referrers(self) -> list[Answer]:
        """The referrers API's answers, page by page; none where there is no such API."""
        place = f"referrers/{self._digest}"
        try:
            page = self._get(place, (_OCI_INDEX,), _NO_REFERRERS)
        except RegistryDeniedError:
            return []  # some answer so for every path they do not know: the tag decides
        if page.status != HTTPStatus.OK or page.content_type != _OCI_INDEX:
            return []
        pages = [page]
        settings = self._exchange.settings(self._repository.registry)
        path = f"/v2/{self._repository.path}/{place}"
        while len(pages) < MOST_PAGES and (
            query := next_query(pages[-1], settings, path, f"referrers of {self._digest}")
        ):
            pages.append(self._get(f"{place}?{query}", (_OCI_INDEX,)))
        return pages

    def _tagged_index(self) -> list[Answer]:
        """The same, where a registry has none of its own."""
        answer = self._tagged(self._tag, (_OCI_INDEX,))
        return [] if answer is None else [answer]

    def _tagged(self, tag: str, accepted: tuple[str, ...]) -> Answer | None:
        answer = self._get(f"manifests/{tag}", accepted, {HTTPStatus.NOT_FOUND})
        return answer if answer.status == HTTPStatus.OK else None

    def _referrer(self, entry: Descriptor) -> Iterator[Attachment]:
        """The bundles of one manifest; other artifacts (an SBOM, a chart) have none."""
        try:
            self._take(entry)
            answer = self._get(f"manifests/{entry.digest}", MANIFEST_TYPES)
            layers = [as_descriptor(layer, "a layer") for layer in self._layers(answer, entry)]
        except _READING as error:
            yield _faulty(Form.BUNDLE, entry.media_type, entry.digest, error)
            return
        for layer in layers:
            if layer.media_type.startswith(_BUNDLE_TYPES):
                yield self._attachment(Form.BUNDLE, layer, None)

    def _layers(self, answer: Answer, entry: Descriptor | None) -> list[Any]:
        """The layers of a manifest; its bytes are those of `entry`, where that led to it."""
        asked = entry.digest if entry is not None else None
        claimed = answer.headers.get("Docker-Content-Digest")
        proven_digest(answer.body, asked, claimed, str(self._repository))
        if entry is not None and entry.size != len(answer.body):
            raise OddDocumentError(f"it has {len(answer.body)} bytes, not {entry.size}")
        if answer.content_type not in MANIFEST_TYPES:
            raise OddDocumentError(f"the registry sends it as {shown(answer.content_type)}")
        return list_of(parse_document(answer.body, answer.content_type), "layers")

    def _attachment(self, form: Form, layer: Descriptor, signature: str | None) -> Attachment:
        try:
            self._take(layer)
            body = self._blobs.get(self._repository, layer, MAX_BODY, self._deadline)
        except _READING as error:
            return _faulty(form, layer.media_type, layer.digest, error)
        return Attachment(form, layer.media_type, body, signature)

    def _take(self, described: Descriptor) -> None:
        if described.size > self._room:
            raise OddDocumentError(f"all attachments together have more than {MAX_TOTAL} bytes")
        self._room -= described.size

    def _get(
        self, place: str, accepted: tuple[str, ...], also: Collection[int] = frozenset()
    ) -> Answer:
        return self._exchange.ask(
            "GET",
            self._repository,
            place,
            what=f"{place} of {self._repository}",
            deadline=self._deadline,
            limit=MAX_MANIFEST,
            accept=", ".join(accepted),
            also=also,
        )


def _signed_layer(value: Any) -> tuple[Descriptor, str | None]:
    layer = as_object(value, "a layer")
    annotations = layer.get("annotations")
    text = annotations.get(_SIGNATURE) if isinstance(annotations, dict) else None
    return as_descriptor(layer, "a layer"), text if isinstance(text, str) else None


def _referring(pages: list[Answer]) -> list[Descriptor]:
    """The manifests that an index of referrers names, none twice, likely signatures first."""
    entries = [entry for page in pages for entry in _entries(page)]
    ordered = sorted(entries, key=_says_signature, reverse=True)
    found = [as_descriptor(entry, "an entry") for entry in ordered]
    by_digest = {entry.digest: entry for entry in found if entry.media_type in MANIFEST_TYPES}
    return list(by_digest.values())


def _entries(page: Answer) -> list[Mapping[str, Any]]:
    claimed = page.headers.get("Docker-Content-Digest")
    proven_digest(page.body, None, claimed, "the list of referrers")
    if page.content_type != _OCI_INDEX:
        raise OddDocumentError(f"the registry sends it as {shown(page.content_type)}")
    document = parse_document(page.body, page.content_type)
    return [as_object(entry, "an entry") for entry in list_of(document, "manifests")]


def _says_signature(entry: Mapping[str, Any]) -> bool:
    annotations = entry.get("annotations")
    return isinstance(annotations, dict) and annotations.get(_PREDICATE) == SIGN_TYPE


def _faulty(form: Form, media_type: str, name: str, error: Exception) -> Attachment:
    """The attachment without its bytes, unless the error says nothing about it."""
    if isinstance(error, RegistryUnavailableError | RegistryDeniedError):
        raise error
    return Attachment(form, media_type, fault=f"{name}: {error}")

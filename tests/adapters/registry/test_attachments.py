"""`RegistryClient.attachments`: what is there, as it is stored; unknown is not "nothing"."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.adapters.registry.conftest import QUICK, Clock, MakeClient
from tests.adapters.registry.fake import (
    OCI_INDEX,
    OCI_MANIFEST,
    Auth,
    Document,
    FakeRegistry,
    Reply,
    Seen,
    descriptor,
    encode,
    manifest,
    sha256,
)
from tests.signing import SIGN_TYPE, Signer, bundle_attachment, bundle_manifest, legacy_manifest
from webhook_launcher.adapters.registry import Credential, RegistryClient, Timeouts
from webhook_launcher.adapters.registry.attachments import MAX_BODY, MAX_TOTAL, MOST, MOST_PAGES
from webhook_launcher.core.attachment import Attachment, Form
from webhook_launcher.core.errors import (
    RateLimitedError,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest

AMD64 = Platform("linux", "amd64")
WEB = "acme/web"
SIGNER = Signer()


@pytest.fixture
def image(registry: FakeRegistry, client: RegistryClient) -> Image:
    """An image in the registry, looked at; what is seen from here on is about attachments."""
    registry.put(f"{WEB}:stable", manifest())
    found = client.image(registry.reference(f"{WEB}:stable"), AMD64)
    registry.seen.clear()
    return found


def sign_legacy(registry: FakeRegistry, digest: Digest, *attachments: Attachment) -> Document:
    """Store signatures as cosign 2 does."""
    document, blobs = legacy_manifest(attachments)
    for blob in blobs:
        registry.put_blob(WEB, blob)
    registry.put(f"{WEB}:{digest.replace(':', '-')}.sig", document)
    return document


def refer(registry: FakeRegistry, digest: Digest, *attachments: Attachment) -> list[Document]:
    """Store bundles as cosign 3 does; the entries of the index of referrers."""
    entries = []
    for attachment in attachments:
        document, blobs = bundle_manifest(attachment, {"digest": digest})
        for blob in blobs:
            registry.put_blob(WEB, blob)
        registry.put(f"{WEB}:referrer-{len(registry.manifests)}", document)
        entries.append(descriptor(encode(document), OCI_MANIFEST))
    list_referrers(registry, digest, entries)
    return entries


def list_referrers(registry: FakeRegistry, digest: Digest, entries: Sequence[Document]) -> None:
    """Where a registry without the API has them; and where one with it has, if this one does."""
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    if registry.referrers is None:
        registry.put(f"{WEB}:{digest.replace(':', '-')}", index)
    else:
        registry.referrers[WEB, digest] = index


def bundle(digest: Digest, **annotations: str) -> Attachment:
    """A bundle of its own bytes."""
    return SIGNER.bundle(digest, annotations)


def asked(registry: FakeRegistry) -> list[str]:
    """The last parts of the paths that were asked for."""
    return [seen.path.removeprefix(f"/v2/{WEB}/") for seen in registry.seen]


def no_edit(seen: Seen, reply: Reply) -> Reply:
    """An honest registry."""
    return reply


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_attached(registry: FakeRegistry, client: RegistryClient, image: Image) -> None:
    """All three places are looked at before an image counts as unsigned."""
    assert client.attachments(image) == ()
    tag = image.digest.replace(":", "-")
    assert asked(registry) == [
        f"manifests/{tag}.sig",
        f"referrers/{image.digest}",
        f"manifests/{tag}",
    ]


def test_legacy_signatures_in_their_order(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Payload and signature exactly as stored: they are verified over raw bytes."""
    made = [SIGNER.legacy(image.digest, f"{registry.host}/{WEB}", {"n": str(n)}) for n in range(3)]
    sign_legacy(registry, image.digest, *made)
    assert client.attachments(image) == tuple(made)


@pytest.mark.parametrize("api", [True, False])
def test_bundles(registry: FakeRegistry, client: RegistryClient, image: Image, api: bool) -> None:
    """Through the referrers API, or the fallback tag where there is none."""
    registry.referrers = {} if api else None
    made = [bundle(image.digest), bundle(image.digest, env="prod")]
    refer(registry, image.digest, *made)
    assert client.attachments(image) == tuple(made)
    assert (f"manifests/{image.digest.replace(':', '-')}" in asked(registry)) is not api


def test_both_forms(registry: FakeRegistry, client: RegistryClient, image: Image) -> None:
    """A team that moves from cosign 2 to 3 signs in both for a while."""
    legacy, modern = SIGNER.legacy(image.digest, "x/y"), bundle(image.digest)
    sign_legacy(registry, image.digest, legacy)
    refer(registry, image.digest, modern)
    assert client.attachments(image) == (legacy, modern)


@pytest.mark.parametrize(
    "edit",
    [
        lambda reply: Reply(404),
        lambda reply: Reply(400),
        lambda reply: Reply(405),
        lambda reply: Reply(403),
        lambda reply: Reply(501),
        lambda reply: Reply(204),
        lambda reply: Reply(303, {"Location": "http://127.0.0.1:1/v2/x"}),
        lambda reply: Reply(302, {"Location": "http://127.0.0.1:1/v2/x"}),
        lambda reply: Reply(200, {"Content-Type": "text/html"}, b"<html>"),
        lambda reply: Reply(200, {"Content-Type": OCI_MANIFEST}, b"{}"),
        lambda reply: Reply(200, {}, b"{}"),
    ],
    ids=["404", "400", "405", "403", "501", "204", "303", "302", "html", "manifest", "untyped"],
)
def test_what_is_no_referrers_api_leads_to_the_tag(
    registry: FakeRegistry, client: RegistryClient, image: Image, edit: Callable[[Reply], Reply]
) -> None:
    """GHCR answered 404 for years, then a redirect to a web page; neither says "unsigned"."""
    made = bundle(image.digest)
    refer(registry, image.digest, made)
    registry.edits.append(lambda s, reply: edit(reply) if "/referrers/" in s.path else reply)
    assert client.attachments(image) == (made,)


def test_redirects_while_looking_are_not_followed(
    registry: FakeRegistry, other: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Only blobs may be elsewhere; a token would be lost there."""

    def elsewhere(seen: Seen, reply: Reply) -> Reply:
        if "/referrers/" in seen.path:
            return Reply(303, {"Location": f"http://{other.host}{seen.path}"})
        return reply

    registry.edits.append(elsewhere)
    assert client.attachments(image) == ()
    assert other.seen == []


def test_blobs_elsewhere_get_no_token(
    registry: FakeRegistry, other: FakeRegistry, make_client: MakeClient
) -> None:
    """A registry that could send our token anywhere would have it everywhere."""
    registry.auth = Auth(users={"ann": "secret"})
    digest = registry.put(f"{WEB}:stable", manifest())
    made = bundle(digest)
    refer(registry, digest, made)
    other.put_blob("store", made.content)

    def moved(seen: Seen, reply: Reply) -> Reply:
        place = f"http://{other.host}/v2/store/blobs/{sha256(made.content)}"
        return Reply(307, {"Location": place}) if "/blobs/" in seen.path else reply

    registry.edits.append(moved)
    client = make_client(credential=Credential("ann", "secret"))
    image = client.image(registry.reference(f"{WEB}:stable"), AMD64)
    assert client.attachments(image) == (made,)
    assert [("authorization" in seen.headers) for seen in other.seen] == [False]


def paged(registry: FakeRegistry, pages: list[list[Document]], target: str = "{path}") -> None:
    """A referrers API that gives so many entries at a time, and says where the next ones are."""

    def edit(seen: Seen, reply: Reply) -> Reply:
        if "/referrers/" not in seen.path:
            return reply
        number = int(seen.query.get("page", "0"))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": pages[number]}
        headers = {"Content-Type": OCI_INDEX}
        if number + 1 < len(pages):
            place = target.format(path=seen.path, host=registry.host)
            headers["Link"] = f'<{place}?page={number + 1}>; rel="next"'
        return Reply(200, headers, encode(index))

    registry.edits.append(edit)


@pytest.mark.parametrize("target", ["{path}", "http://{host}{path}"])
def test_every_page_of_referrers_is_read(
    registry: FakeRegistry, client: RegistryClient, image: Image, target: str
) -> None:
    """Ours may be on the last one; some registries give ten at a time."""
    made = [bundle(image.digest, n=str(n)) for n in range(3)]
    paged(registry, [[entry] for entry in refer(registry, image.digest, *made)], target)
    assert client.attachments(image) == tuple(made)


def test_pages_that_never_end_are_not_read_for_ever(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Each costs a request, and a registry may invent as many as it likes."""
    made = bundle(image.digest)
    paged(registry, [refer(registry, image.digest, made)] * 1000)
    assert client.attachments(image) == (made,)
    assert len([path for path in asked(registry) if path.startswith("referrers/")]) == MOST_PAGES


def test_a_next_page_elsewhere_is_not_followed(
    registry: FakeRegistry, other: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Our token would go with the request."""
    entries = refer(registry, image.digest, bundle(image.digest))
    paged(registry, [entries, entries], f"http://{other.host}{{path}}")
    assert "sends us elsewhere" in faults(client.attachments(image))[0]
    assert other.seen == []


@pytest.mark.parametrize(
    "hint",
    [
        {"artifactType": "application/vnd.oci.empty.v1+json"},
        {"artifactType": "application/spdx+json"},
        {"annotations": {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}},
        {"annotations": None},
    ],
)
def test_what_the_index_says_of_its_entries_is_not_believed(
    registry: FakeRegistry, client: RegistryClient, image: Image, hint: Document
) -> None:
    """cosign 3 itself writes another artifactType there (sigstore/cosign#4641)."""
    made = bundle(image.digest)
    (entry,) = refer(registry, image.digest, made)
    list_referrers(registry, image.digest, [entry | hint])
    assert client.attachments(image) == (made,)


def test_bundles_of_other_predicates_are_kept(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Provenance is judged by another policy over the same attachments."""
    provenance = SIGNER.bundle(
        image.digest, edit=lambda s: s.update(predicateType="https://slsa.dev/provenance/v1")
    )
    refer(registry, image.digest, provenance)
    assert client.attachments(image) == (provenance,)


def test_other_artifacts_are_passed_over(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """An SBOM is not fetched; it may be huge, and it is nobody's signature."""
    made = bundle(image.digest)
    entries = refer(registry, image.digest, made)
    sbom = manifest("sbom")
    registry.put(f"{WEB}:sbom", sbom)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    registry.put(f"{WEB}:index", index)
    others = [descriptor(encode(sbom), OCI_MANIFEST), descriptor(encode(index), OCI_INDEX)]
    list_referrers(registry, image.digest, [*others, *entries])
    assert client.attachments(image) == (made,)


def test_an_image_asked_for_by_sha512_has_none(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """The names of the tags, and what cosign signs, are sha256."""
    digest = Digest("sha512:" + "1" * 128)
    assert client.attachments(replace(image, digest=digest)) == ()
    assert registry.seen == []


# ── unknown ──────────────────────────────────────────────────────────────────────────────────────

PLACES = ["/manifests/", "/referrers/", "/blobs/"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("status", "error"),
    [(429, RateLimitedError), (500, RegistryUnavailableError), (503, RegistryUnavailableError)],
)
def test_an_overloaded_registry_is_neither_yes_nor_no(
    registry: FakeRegistry,
    client: RegistryClient,
    image: Image,
    place: str,
    status: int,
    error: type[Exception],
) -> None:
    """Taken for "unsigned", a good release would be refused for ever; for "signed", any would run.

    That one of the two forms was found already changes nothing: what the other has is unknown.
    """
    sign_legacy(registry, image.digest, SIGNER.legacy(image.digest, "x/y"))
    refer(registry, image.digest, bundle(image.digest))
    registry.edits.append(
        lambda seen, reply: Reply(status, {"Retry-After": "7"}) if place in seen.path else reply
    )
    with pytest.raises(error) as raised:
        client.attachments(image)
    assert isinstance(raised.value, RegistryUnavailableError)
    assert raised.value.retryable
    assert raised.value.retry_after == 7


@pytest.mark.parametrize("place", PLACES)
def test_silence_is_neither(
    registry: FakeRegistry, make_client: MakeClient, image: Image, place: str
) -> None:
    """A registry that stalls just here must not decide by it."""
    refer(registry, image.digest, bundle(image.digest))

    def stall(seen: Seen, reply: Reply) -> Reply:
        return replace(reply, pause=5, raw=b"HTTP/1.1 200 OK\r\n") if place in seen.path else reply

    registry.edits.append(stall)
    client = make_client(timeouts=Timeouts(connect=2, response=0.2, total=5))
    with pytest.raises(RegistryUnavailableError, match="in time"):
        client.attachments(image)


def test_all_requests_together_have_one_deadline(
    registry: FakeRegistry, clock: Clock, client: RegistryClient, image: Image
) -> None:
    """64 answers just below the limit of one would hold a worker for minutes."""
    refer(registry, image.digest, *(bundle(image.digest, n=str(n)) for n in range(10)))

    def late(seen: Seen, reply: Reply) -> Reply:
        clock.time += 1
        return reply

    registry.edits.append(late)
    with pytest.raises(RegistryUnavailableError, match="in time"):
        client.attachments(image)
    assert len(registry.seen) <= QUICK.total + 1


def test_we_may_not_look(registry: FakeRegistry, client: RegistryClient, image: Image) -> None:
    """A denial is the operator's to mend; it is not "unsigned"."""
    registry.edits.append(lambda seen, reply: Reply(403))
    with pytest.raises(RegistryDeniedError):
        client.attachments(image)


# ── lies and faults of single attachments ────────────────────────────────────────────────────────


def faults(found: Sequence[Attachment]) -> list[str]:
    """The faults; what has one has no bytes."""
    assert all(one.content == b"" for one in found if one.fault is not None)
    return [one.fault for one in found if one.fault is not None]


def swapped(part: str) -> Callable[[Seen, Reply], Reply]:
    """Other bytes of the same length, under the headers of the honest ones."""

    def edit(seen: Seen, reply: Reply) -> Reply:
        if part in seen.path and reply.status == 200:
            reply.body = reply.body.replace(b"e", b"f")
        return reply

    return edit


def lying_header(part: str) -> Callable[[Seen, Reply], Reply]:
    """Honest bytes under another digest's header."""

    def edit(seen: Seen, reply: Reply) -> Reply:
        if part in seen.path and reply.status == 200:
            reply.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
        return reply

    return edit


@pytest.mark.parametrize("lie", [swapped, lying_header])
@pytest.mark.parametrize("place", ["/blobs/", "/manifests/sha256:"])
def test_bytes_that_are_not_what_was_asked_for_do_not_count(
    registry: FakeRegistry,
    client: RegistryClient,
    image: Image,
    lie: Callable[[str], Callable[[Seen, Reply], Reply]],
    place: str,
) -> None:
    """Body against asked digest, header against body: a registry or a proxy that lies."""
    refer(registry, image.digest, bundle(image.digest))
    registry.edits.append(lie(place))
    found = client.attachments(image)
    assert len(found) == len(faults(found)) == 1
    assert "digest" in faults(found)[0]


@pytest.mark.parametrize("tag", ["", ".sig"])
def test_a_tag_whose_header_is_not_its_bytes_does_not_count(
    registry: FakeRegistry, client: RegistryClient, image: Image, tag: str
) -> None:
    """The header is a claim about these bytes; when it is wrong, something else is too."""
    sign_legacy(registry, image.digest, SIGNER.legacy(image.digest, "x/y"))
    refer(registry, image.digest, bundle(image.digest))
    place = f"/manifests/{image.digest.replace(':', '-')}{tag}"
    registry.edits.append(
        lambda seen, reply: lying_header(place)(seen, reply) if seen.path.endswith(place) else reply
    )
    found = client.attachments(image)
    form = Form.LEGACY if tag else Form.BUNDLE
    assert [one.fault is not None for one in found if one.form is form] == [True]
    assert [one.fault is not None for one in found if one.form is not form] == [False]


@pytest.mark.parametrize(
    "change",
    [
        {"manifests": []},
        {"mediaType": OCI_INDEX},
        {"schemaVersion": 1},
        {"layers": {}},
        {"layers": [1]},
        {"layers": [{"mediaType": "x", "digest": "sha256:1", "size": 1}]},
        {"layers": [{"mediaType": "x", "digest": "sha256:" + "1" * 64, "size": -1}]},
        {"Layers": []},
    ],
)
def test_odd_manifests_do_not_count(
    registry: FakeRegistry, client: RegistryClient, image: Image, change: Document
) -> None:
    """An index with layers, keys in another case: two readers would see two documents."""
    document = sign_legacy(registry, image.digest, SIGNER.legacy(image.digest, "x/y"))
    registry.put(f"{WEB}:{image.digest.replace(':', '-')}.sig", document | change, OCI_MANIFEST)
    found = client.attachments(image)
    assert len(found) == len(faults(found)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"layers": []},
        {"config": {}},
        {"mediaType": OCI_MANIFEST},
        {"manifests": None},
        {"manifests": [{"digest": "sha256:1"}]},
    ],
)
def test_odd_indexes_do_not_count(
    registry: FakeRegistry, client: RegistryClient, image: Image, change: Document
) -> None:
    """CVE-2021-41190, where signatures are looked for."""
    entries = refer(registry, image.digest, bundle(image.digest))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries} | change
    registry.put(f"{WEB}:{image.digest.replace(':', '-')}", index, OCI_INDEX)
    found = client.attachments(image)
    assert len(found) == len(faults(found)) == 1


def test_an_image_under_the_fallback_tag_is_no_index(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Anybody who may push may push anything there."""
    registry.put(f"{WEB}:{image.digest.replace(':', '-')}", manifest("squatter"))
    assert client.attachments(image) == ()

    def insist(seen: Seen, reply: Reply) -> Reply:
        if seen.path.endswith(image.digest.replace(":", "-")):
            return Reply(200, {"Content-Type": OCI_MANIFEST}, encode(manifest("squatter")))
        return reply

    registry.edits.append(insist)
    assert "sends it as" in faults(client.attachments(image))[0]


def test_one_that_cannot_be_read_spoils_no_other(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Whoever may push could otherwise block every release, by accident too."""
    good = bundle(image.digest)
    missing, huge = bundle(image.digest, n="1"), bundle(image.digest, n="2")
    huge = replace(huge, content=huge.content.ljust(MAX_BODY + 1))
    refer(registry, image.digest, missing, huge, good)
    del registry.blobs[WEB, sha256(missing.content)]
    found = client.attachments(image)
    assert [one for one in found if one.fault is None] == [good]
    assert len(faults(found)) == 2
    assert "404" in faults(found)[0]
    assert "1048576" in faults(found)[1]


def test_a_large_one_is_not_fetched(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """GHSA-88jx-383q-w4qc: a huge attachment ended cosign for want of memory."""
    made = bundle(image.digest)
    huge = replace(made, content=made.content.ljust(MAX_BODY + 1))
    sign_legacy(registry, image.digest, huge)
    assert len(faults(client.attachments(image))) == 1
    assert not any("/blobs/" in path for path in asked(registry))


def test_an_endless_one_is_cut_off(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """CVE-2023-46737: endless data where a signature should be."""
    refer(registry, image.digest, bundle(image.digest))

    def endless(seen: Seen, reply: Reply) -> Reply:
        if "/blobs/" in seen.path:
            return replace(reply, body=bytes(MAX_BODY * 3), length=False)
        return reply

    registry.edits.append(endless)
    assert "more than" in faults(client.attachments(image))[0]


def test_only_so_many_are_read(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """GHSA-95pr-fxf5-86gv: every one is work; the index names them in the pusher's order."""
    refer(registry, image.digest, *(bundle(image.digest, n=str(n)) for n in range(MOST + 1)))
    many = [SIGNER.legacy(image.digest, "x/y", {"n": str(n)}) for n in range(MOST + 1)]
    sign_legacy(registry, image.digest, *many)
    found = client.attachments(image)
    assert [one.form for one in found] == [Form.LEGACY] * MOST + [Form.BUNDLE] * MOST


def test_one_named_many_times_is_one(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """Else 64 times the same entry would crowd out every other."""
    first, second = bundle(image.digest, n="1"), bundle(image.digest, n="2")
    entries = refer(registry, image.digest, first, second)
    list_referrers(registry, image.digest, [entries[0]] * MOST + entries)
    assert client.attachments(image) == (first, second)


def test_likely_signatures_come_first(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """An image with a year of daily scan reports must still be found to be signed."""
    made = [bundle(image.digest, n=str(n)) for n in range(MOST + 5)]
    entries = refer(registry, image.digest, *made)
    entries[-1] |= {"annotations": {"dev.sigstore.bundle.predicateType": SIGN_TYPE}}
    list_referrers(registry, image.digest, entries)
    assert client.attachments(image)[0] == made[-1]


def test_all_together_have_a_limit(
    registry: FakeRegistry, client: RegistryClient, image: Image
) -> None:
    """They are kept with the release, in the journal."""
    padded = []
    for n in range(20):
        body = bundle(image.digest, n=str(n)).content.ljust(MAX_BODY)
        padded.append(bundle_attachment(body))
    refer(registry, image.digest, *padded)
    found = client.attachments(image)
    assert sum(len(one.content) for one in found) <= MAX_TOTAL
    assert 10 < len([one for one in found if one.fault is None]) < 20
    assert f"more than {MAX_TOTAL} bytes" in faults(found)[-1]

"""A manifest's bytes: what is read, and what is refused before anything believes it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.registry.fake import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Document,
    encode,
    index,
    manifest,
    sha256,
)
from webhook_launcher.adapters.registry.manifest import Index, Manifest, parse_manifest
from webhook_launcher.core.errors import UnsupportedManifestError
from webhook_launcher.core.model import Platform


def parsed(document: Document, content_type: str | None = None) -> Index | Manifest:
    """The document as its pushed bytes are read."""
    return parse_manifest(encode(document), content_type or document["mediaType"], "acme/web:1")


def changed(document: Document, path: str, value: object) -> Document:
    """A copy with one value set, or removed for `...`; `path` is like `config.digest`."""
    document = copy.deepcopy(document)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = document
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


def test_manifest_without_media_type_is_read_by_its_content_type() -> None:
    """image-spec makes `mediaType` optional in OCI documents, and some builders leave it out."""
    document = changed(manifest(), "mediaType", ...)
    found = parsed(document, OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert found.config.digest == document["config"]["digest"]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws"],
)
def test_document_of_another_content_type_is_refused_whatever_it_looks_like(
    content_type: str,
) -> None:
    """The Content-Type is how the registry says what the digest is of; looks prove nothing."""
    with pytest.raises(UnsupportedManifestError, match="the registry sends it as"):
        parse_manifest(encode(changed(manifest(), "mediaType", ...)), content_type, "acme/web:1")


def test_entries_that_are_no_image_are_left_out() -> None:
    """Indexes also list artifacts and nested indexes; they must not hide the image beside them."""
    document = index({"linux/amd64": manifest()})
    artifact = {"mediaType": "application/vnd.example", "digest": "md5:x", "size": -1}
    bare = {"mediaType": OCI_MANIFEST, "digest": str(sha256(b"")), "size": 0}
    document["manifests"] = [artifact, bare, *document["manifests"]]
    found = parsed(document)
    assert isinstance(found, Index)
    assert [entry.platform for entry in found.entries] == [Platform("linux", "amd64")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schemaVersion", 1),
        ("schemaVersion", "2"),
        ("schemaVersion", ...),
        ("mediaType", OCI_INDEX),
        ("mediaType", DOCKER_MANIFEST),
        ("mediaType", None),
        ("mediaType", 5),
        ("manifests", []),
        ("manifests", None),
        ("config", ...),
        ("config", None),
        ("config", []),
        ("config.digest", "sha256:short"),
        ("config.digest", "sha1:" + "0" * 40),
        ("config.digest", "SHA256:" + "0" * 64),
        ("config.digest", ...),
        ("config.digest", 5),
        ("config.size", -1),
        ("config.size", 1.5),
        ("config.size", True),
        ("config.size", ...),
        ("config.mediaType", ...),
        ("config.mediaType", "application/vnd.oci.empty.v1+json"),
        ("config.mediaType", "application/vnd.cncf.helm.config.v1+json"),
        ("config.Digest", "sha256:" + "0" * 64),
        ("layers", ...),
        ("layers", {}),
        ("layers.0", "layer"),
        ("layers.0.digest", "sha256:short"),
        ("Layers", []),
        ("CONFIG", {}),
        ("layer\u017f", []),  # Go's JSON folds the long s
    ],
)
def test_odd_image_manifest_is_refused(path: str, value: object) -> None:
    """Each could mean one image to us and another, or none, to the engine."""
    with pytest.raises(UnsupportedManifestError, match="acme/web:1"):
        parsed(changed(manifest(), path, value), OCI_MANIFEST)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("manifests", ...),
        ("manifests", None),
        ("manifests", {}),
        ("manifests.0", []),
        ("manifests.0.digest", "nonsense"),
        ("manifests.0.digest", ...),
        ("manifests.0.size", "5"),
        ("manifests.0.Digest", "sha256:" + "0" * 64),
        ("manifests.0.platform", []),
        ("manifests.0.platform.os", 5),
        ("manifests.0.platform.architecture", "x" * 65),
        ("manifests.0.platform.Architecture", "arm64"),
        ("manifests.0.platform.variant", "\u0451"),
        ("layers", []),
        ("config", None),
        ("mediaType", OCI_MANIFEST),
    ],
)
def test_odd_index_is_refused(path: str, value: object) -> None:
    """As above; and a platform is text that is shown, so it has to be a word."""
    with pytest.raises(UnsupportedManifestError, match="acme/web:1"):
        parsed(changed(index({"linux/amd64": manifest()}), path, value), OCI_INDEX)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"schemaVersion": 2, "schemaVersion": 2}',
        b'{"schemaVersion": NaN}',
        b"[" * 100_000,
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    """Of two equal keys one reader takes the first and another the last."""
    with pytest.raises(UnsupportedManifestError, match="acme/web:1"):
        parse_manifest(body, OCI_MANIFEST, "acme/web:1")


def test_foreign_text_is_escaped_in_the_message() -> None:
    """It ends on a terminal and on a web page."""
    document = changed(manifest(), "config.mediaType", "x\x1b[2J<script>\n" + "y" * 500)
    with pytest.raises(UnsupportedManifestError) as caught:
        parsed(document)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = [
    *(
        (manifest(), path)
        for path in ("schemaVersion", "mediaType", "config", "layers", "manifests")
    ),
    *((manifest(), f"config.{key}") for key in ("mediaType", "digest", "size", "platform")),
    *((index({"linux/amd64": manifest()}), f"manifests.0.{key}") for key in ("digest", "platform")),
]


@given(st.sampled_from(PLACES), VALUES)
def test_any_document_is_an_image_or_our_own_error(place: tuple[Document, str], value: Any) -> None:
    """The bytes are the publisher's or an attacker's; no other exception may reach the worker."""
    document, path = place
    try:
        found = parsed(changed(document, path, value), str(document["mediaType"]))
    except UnsupportedManifestError:
        return
    assert isinstance(found, Index | Manifest)

"""Test images, made by hand and put straight into the registry: no build, 20 ms each.

Every image is one shared layer with a static busybox, a small layer of its own with its marker,
and a configuration that decides how it behaves. So each marker has a digest of its own, known
before the engine has seen the image.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import requests

from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Reference, parse_reference

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_NANO = 1_000_000_000
PORT = 8080
# What the kernel calls the processor -> what images call it.
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_APPLETS = ("sh", "cat", "echo", "httpd", "id", "kill", "ls", "pwd", "sleep", "touch", "wget")
# A shell as PID 1 that forwards the engine's TERM; plain busybox as PID 1 would ignore it.
_SERVE = "trap 'kill $! ; exit 0' TERM; httpd -f -p 8080 -h /www & wait $!"
_PROBE = f"wget -q -O /dev/null http://127.0.0.1:{PORT}/"


class Behaviour(StrEnum):
    """What a container of the image does."""

    GOOD = "good"  # serves its marker on port 8080
    EXITS = "exits"  # ends at once with status 3
    EXITS_WELL = "exits_well"  # ends at once with status 0
    NEVER_HEALTHY = "never_healthy"  # serves, and its healthcheck always fails
    CRASHES_LATER = "crashes_later"  # serves, and ends after 2 s with status 7
    SLOW_START = "slow_start"  # serves after 1.5 s
    IGNORES_TERM = "ignores_term"  # serves, and has to be killed
    HANGS = "hangs"  # serves, and its healthcheck never returns


_SCRIPTS = {
    Behaviour.EXITS: "echo going down >&2; exit 3",
    Behaviour.EXITS_WELL: "echo done; exit 0",
    Behaviour.CRASHES_LATER: "httpd -p 8080 -h /www; sleep 2; echo crashed >&2; exit 7",
    Behaviour.SLOW_START: f"sleep 1.5; {_SERVE}",
    Behaviour.IGNORES_TERM: "trap '' TERM; httpd -p 8080 -h /www; while :; do sleep 1; done",
}
_PROBES = {
    Behaviour.NEVER_HEALTHY: "echo it is ill; exit 1",
    Behaviour.HANGS: "echo waiting; sleep 600",
}


@dataclass(frozen=True)
class Recipe:
    """How an image is made. `interval` in seconds; None means that it has no healthcheck."""

    marker: str
    behaviour: Behaviour = Behaviour.GOOD
    interval: float | None = 1.0
    retries: int = 3
    timeout: float = 5.0
    start_period: float = 0.0
    padding: int = 0  # bytes that do not compress, in a layer of their own
    config: Mapping[str, Any] = field(default_factory=dict)  # overrides of the image's Config

    def container_config(self) -> dict[str, Any]:
        """The `config` part of the image's configuration."""
        script = _SCRIPTS.get(self.behaviour, _SERVE)
        made: dict[str, Any] = {
            "Cmd": ["/bin/sh", "-c", script],
            "Env": ["PATH=/bin"],
            "Labels": {"marker": self.marker},
        }
        if self.interval is not None:
            made["Healthcheck"] = {
                "Test": ["CMD-SHELL", _PROBES.get(self.behaviour, _PROBE)],
                "Interval": int(self.interval * _NANO),
                "Timeout": int(self.timeout * _NANO),
                "StartPeriod": int(self.start_period * _NANO),
                "Retries": self.retries,
            }
        return made | dict(self.config)


class TestRegistry:
    """The loopback registry, as a publisher uses it."""

    __test__ = False  # not a test, whatever pytest makes of its name

    def __init__(self, host: str, busybox: Path) -> None:
        self.host = host
        self._base = f"http://{host}/v2"
        self._busybox = busybox
        self._session = requests.Session()
        self._session.trust_env = False
        self._uploaded: set[tuple[str, str]] = set()

    def push(self, repository: str, tag: str, recipe: Recipe) -> Image:
        """Make an image and move the tag to it; the Image is what a resolver would find."""
        layers = [_base_layer(self._busybox), _layer("www/index.html", recipe.marker.encode())]
        if recipe.padding:
            noise = hashlib.shake_256(recipe.marker.encode()).digest(recipe.padding)
            layers.append(_layer("padding", noise))
        config = _image_config(recipe, [tar for tar, _ in layers])
        manifest = _manifest(config, [packed for _, packed in layers])
        for blob in (config, *(packed for _, packed in layers)):
            self.put_blob(repository, blob)
        self.put_manifest(repository, tag, manifest)
        reference = parse_reference(f"{self.host}/{repository}:{tag}")
        return _image(reference, manifest, config)

    def push_index(self, repository: str, tag: str, recipe: Recipe) -> Image:
        """The same as an index, as buildx pushes it: an attestation comes before our platform."""
        single = self.push(repository, f"{tag}-single", recipe)
        attestation = _manifest(b"{}", [])
        self.put_blob(repository, b"{}")
        self.put_manifest(repository, f"{tag}-attestation", attestation)
        index = _index(self.manifest(repository, f"{tag}-single"), attestation)
        digest = self.put_manifest(repository, tag, index, INDEX_TYPE)
        reference = parse_reference(f"{self.host}/{repository}:{tag}").at(digest)
        return replace(single, reference=reference, digest=digest, media_type=INDEX_TYPE)

    def put_manifest(
        self, repository: str, reference: str, body: bytes, media_type: str = MANIFEST_TYPE
    ) -> Digest:
        """Put any document in place of a manifest."""
        answer = self._session.put(
            f"{self._base}/{repository}/manifests/{reference}",
            data=body,
            headers={"Content-Type": media_type},
            timeout=30,
        )
        answer.raise_for_status()
        return digest_of(body)

    def manifest(self, repository: str, reference: str, media_type: str = MANIFEST_TYPE) -> bytes:
        """The document behind a tag or digest."""
        answer = self._session.get(
            f"{self._base}/{repository}/manifests/{reference}",
            headers={"Accept": media_type},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.content

    def delete(self, repository: str, digest: Digest) -> None:
        """Remove a manifest: what is deleted cannot be pulled any more."""
        answer = self._session.delete(f"{self._base}/{repository}/manifests/{digest}", timeout=30)
        answer.raise_for_status()

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob's bytes."""
        answer = self._session.get(f"{self._base}/{repository}/blobs/{digest}", timeout=30)
        answer.raise_for_status()
        return answer.content

    def put_blob(self, repository: str, blob: bytes) -> None:
        """Store a blob, once."""
        digest = digest_of(blob)
        if (repository, digest) in self._uploaded:
            return
        begun = self._session.post(f"{self._base}/{repository}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        put = self._session.put(
            begun.headers["Location"], params={"digest": digest}, data=blob, timeout=30
        )
        put.raise_for_status()
        self._uploaded.add((repository, digest))


def digest_of(body: bytes) -> Digest:
    """Its sha256, as registries write it."""
    return Digest(f"sha256:{hashlib.sha256(body).hexdigest()}")


def _image(reference: Reference, manifest: bytes, config: bytes) -> Image:
    digest = digest_of(manifest)
    return Image(
        reference.at(digest),
        digest,
        manifest=digest,
        config=digest_of(config),
        media_type=MANIFEST_TYPE,
        platform=Platform("linux", _ARCHITECTURE),
    )


def _manifest(config: bytes, layers: Sequence[bytes]) -> bytes:
    def descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "size": len(blob), "digest": digest_of(blob)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(_CONFIG_TYPE, config),
        "layers": [descriptor(_LAYER_TYPE, layer) for layer in layers],
    }
    return json.dumps(document).encode()


def _index(own: bytes, attestation: bytes) -> bytes:
    def entry(body: bytes, architecture: str, system: str) -> dict[str, Any]:
        return {
            "mediaType": MANIFEST_TYPE,
            "size": len(body),
            "digest": digest_of(body),
            "platform": {"architecture": architecture, "os": system},
        }

    entries = [
        entry(attestation, "unknown", "unknown"),
        entry(own, _ARCHITECTURE, "linux"),
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return json.dumps(document).encode()


def _image_config(recipe: Recipe, layers: Sequence[bytes]) -> bytes:
    document = {
        "architecture": _ARCHITECTURE,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": recipe.container_config(),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        "history": [{"created_by": "tests"} for _ in layers],
    }
    return json.dumps(document).encode()


@cache
def _base_layer(busybox: Path) -> tuple[bytes, bytes]:
    """Busybox and its names, as a tar and packed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("bin", "tmp", "www"):
            tar.addfile(_entry(name, tarfile.DIRTYPE))
        program = busybox.read_bytes()
        tar.addfile(_entry("bin/busybox", size=len(program)), io.BytesIO(program))
        for applet in _APPLETS:
            link = _entry(f"bin/{applet}", tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
    return packed.getvalue(), gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)


def _layer(name: str, content: bytes) -> tuple[bytes, bytes]:
    """One file, as a tar and packed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(_entry(name, size=len(content)), io.BytesIO(content))
    return packed.getvalue(), gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)


def _entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mode = kind, size, 0o755
    return entry

"""Small images made and pushed without an engine: a static busybox that serves a marker.

An image has two layers, busybox (pushed once per registry) and the site, which is different for
every marker, so every image has a digest of its own. What a release may do wrong is a behaviour.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# What the kernel calls a processor -> what images call it.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SECOND = 1_000_000_000
_PORT = 8080


class Behaviour(StrEnum):
    """What the container does after its start."""

    GOOD = "good"
    EXITS = "exits"  # at once, with status 3
    CRASHES = "crashes"  # serves for 2 s, then exits with status 7
    NEVER_HEALTHY = "never_healthy"  # runs, but its healthcheck fails
    BAD_COMMAND = "bad_command"  # the engine cannot start it
    IGNORES_TERM = "ignores_term"  # good, and does not stop when asked to


@dataclass(frozen=True)
class Recipe:
    """An image: what it serves, how it behaves, how it is checked.

    `interval` is the healthcheck's in seconds; None makes an image without healthcheck.
    `padding` is a number of random-looking bytes in a layer of its own.
    """

    marker: str
    behaviour: Behaviour = Behaviour.GOOD
    interval: float | None = 1.0
    padding: int = 0


@dataclass(frozen=True)
class Blob:
    """Bytes in a registry."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """`sha256:` and its hash."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    def descriptor(self) -> dict[str, Any]:
        """OCI descriptor."""
        return {"mediaType": self.media_type, "size": len(self.content), "digest": self.digest}


class Registry:
    """The loopback registry, as somebody who pushes sees it."""

    def __init__(self, host: str, busybox: Path) -> None:
        self.host = host
        self._busybox = _layer({"bin/busybox": (busybox.read_bytes(), 0o755)})
        self._there: set[tuple[str, str]] = set()

    def push(self, repository: str, tag: str, recipe: Recipe) -> str:
        """Push an image and point the tag at it; the manifest's digest."""
        layers = [self._busybox, _layer({"www/index.html": (recipe.marker.encode(), 0o644)})]
        if recipe.padding:
            noise = hashlib.shake_256(recipe.marker.encode()).digest(recipe.padding)
            layers.append(_layer({"padding": (noise, 0o644)}))
        config = Blob(_CONFIG_TYPE, json.dumps(_config(recipe, layers)).encode())
        for blob in (*layers, config):
            self._upload(repository, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
        }
        return self.put_manifest(repository, tag, json.dumps(manifest).encode())

    def put_manifest(
        self, repository: str, reference: str, body: bytes, media_type: str = MANIFEST_TYPE
    ) -> str:
        """Store a manifest under a tag or digest; its digest."""
        self._ask("PUT", f"/v2/{repository}/manifests/{reference}", body, media_type)
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def manifest(self, repository: str, reference: str) -> bytes:
        """The bytes of a manifest."""
        return self._ask("GET", f"/v2/{repository}/manifests/{reference}", None, None)[0]

    def point(self, repository: str, tag: str, digest: str) -> None:
        """Move a tag to an image that is there already."""
        self.put_manifest(repository, tag, self.manifest(repository, digest))

    def delete(self, repository: str, digest: str) -> None:
        """Remove a manifest and the tags that point at it."""
        self._ask("DELETE", f"/v2/{repository}/manifests/{digest}", None, None)

    def _upload(self, repository: str, blob: Blob) -> None:
        if (repository, blob.digest) in self._there:
            return
        _, headers = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", None)
        location = headers["Location"]
        path = location.partition(self.host)[2] if self.host in location else location
        mark = "&" if "?" in path else "?"
        self._ask("PUT", f"{path}{mark}digest={blob.digest}", blob.content, _OCTETS)
        self._there.add((repository, blob.digest))

    def _ask(
        self, method: str, path: str, body: bytes | None, media_type: str | None
    ) -> tuple[bytes, Any]:
        request = urllib.request.Request(f"http://{self.host}{path}", data=body, method=method)
        request.add_header("Accept", MANIFEST_TYPE)
        if media_type:
            request.add_header("Content-Type", media_type)
        with _OPENER.open(request, timeout=30) as response:
            return response.read(), response.headers


_OCTETS = "application/octet-stream"
# Loopback only: a proxy of the environment has no business here.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _layer(files: dict[str, tuple[bytes, int]]) -> Blob:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return Blob(_LAYER_TYPE, gzip.compress(packed.getvalue(), compresslevel=1, mtime=0))


def _config(recipe: Recipe, layers: list[Blob]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "Env": ["PATH=/bin"],
        "Cmd": _command(recipe.behaviour),
        "ExposedPorts": {f"{_PORT}/tcp": {}},
        "Labels": {"marker": recipe.marker},
    }
    if recipe.interval is not None:
        container["Healthcheck"] = {
            "Test": ["CMD", *_healthcheck(recipe.behaviour)],
            "Interval": int(recipe.interval * _SECOND),
            "Timeout": 2 * _SECOND,
            "Retries": 3,
        }
    uncompressed = [gzip.decompress(layer.content) for layer in layers]
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": container,
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in uncompressed],
        },
    }


def _command(behaviour: Behaviour) -> list[str]:
    serve = f"/bin/busybox httpd -f -p {_PORT} -h /www"
    shell = ["/bin/busybox", "sh", "-c"]
    if behaviour is Behaviour.EXITS:
        return [*shell, "echo 'cannot start'; exit 3"]
    if behaviour is Behaviour.CRASHES:
        return [*shell, f"{serve} & /bin/busybox sleep 2; echo 'out of luck'; exit 7"]
    if behaviour is Behaviour.BAD_COMMAND:
        return ["/no/such/program"]
    if behaviour is Behaviour.IGNORES_TERM:
        return [*shell, f"trap '' TERM; {serve} & while :; do /bin/busybox sleep 1; done"]
    return [*shell, f"trap 'exit 0' TERM; {serve} & wait"]


def _healthcheck(behaviour: Behaviour) -> list[str]:
    if behaviour is Behaviour.NEVER_HEALTHY:
        return ["/bin/busybox", "false"]
    return ["/bin/busybox", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{_PORT}/"]

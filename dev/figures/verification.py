"""What `signed_by` costs beside the registry's own answers, for what cosign 2 and cosign 3 write.

Each round asks for the same documents twice, in turn: a bare HTTP client that keeps its connection
and looks at nothing, then the launcher's own look at the attachments and the policy's verdict over
them. The difference is ours. Both speak to the same registry on the loopback.
"""

import http.client
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from figures.figure import Bar, Figure, Panel
from testbed.cosign import Publisher
from testbed.images import Recipe, TestRegistry
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.model import Action, Image, Origin, Trust, WorkloadState
from webhook_launcher.core.policies import SignedBy
from webhook_launcher.core.policy import Candidate

TARGET = 0.025
ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_WARM_UP = 3


@dataclass
class _Round:
    """Seconds: the bare client; all of ours; of that, the verdict alone."""

    bare: float
    ours: float
    verdict: float


def measure(registry: TestRegistry, rounds: int) -> Figure:
    """So many rounds of each form."""
    samples = {}
    with TemporaryDirectory(prefix="webhook-launcher-verify-") as directory:
        for form, major in (("legacy", 2), ("bundle", 3)):
            publisher = Publisher(Path(directory), f"cosign-{major}", major).generate()
            image = registry.push("bench/verification", form, Recipe(f"signed {form}"))
            publisher.sign(image.pinned)
            samples[form] = _rounds(registry, image, SignedBy((publisher.key,)), rounds)
    return _figure(samples)


def _rounds(registry: TestRegistry, image: Image, policy: SignedBy, rounds: int) -> list[_Round]:
    connection = http.client.HTTPConnection(registry.host, timeout=30)
    client = RegistryClient({}, lambda _: None, now=time.monotonic, sleep=time.sleep)
    found = []
    try:
        for _ in range(_WARM_UP + rounds):
            began = time.perf_counter()
            _ask_barely(connection, image)
            asked = time.perf_counter()
            attachments = client.attachments(image)
            looked = time.perf_counter()
            policy.verify(_candidate(image, Evidence(attachments=attachments)))
            ended = time.perf_counter()
            found.append(_Round(asked - began, ended - asked, ended - looked))
    finally:
        client.close()
        connection.close()
    return found[_WARM_UP:]


def _ask_barely(connection: http.client.HTTPConnection, image: Image) -> None:
    """The requests of a look, in its order, their answers read and followed, not judged."""
    tag = image.digest.replace(":", "-")
    base = f"/v2/{image.reference.repository.path}"
    legacy = _get(connection, f"{base}/manifests/{tag}.sig")
    for layer in legacy.get("layers", []):
        _get(connection, f"{base}/blobs/{layer['digest']}")
    _get(connection, f"{base}/referrers/{image.digest}")
    for entry in _get(connection, f"{base}/manifests/{tag}").get("manifests", []):
        for layer in _get(connection, f"{base}/manifests/{entry['digest']}").get("layers", []):
            _get(connection, f"{base}/blobs/{layer['digest']}")


def _get(connection: http.client.HTTPConnection, path: str) -> dict[str, Any]:
    """The document there; empty when there is none."""
    connection.request("GET", path, headers={"Accept": ACCEPT})
    answer = connection.getresponse()
    body = answer.read()
    return dict(json.loads(body)) if answer.status == http.client.OK else {}


def _candidate(image: Image, evidence: Evidence) -> Candidate:
    return Candidate(
        "bench",
        (image.reference.repository,),
        image,
        Action.CHECK,
        Origin(Trust.POLL, "poll"),
        WorkloadState("bench"),
        datetime.now(UTC),
        evidence,
    )


def _figure(samples: dict[str, list[_Round]]) -> Figure:
    document: dict[str, Any] = {"target_seconds": TARGET}
    lines = []
    bars = []
    for form, found in samples.items():
        total = median(one.ours for one in found)
        own = median(one.ours - one.bare for one in found)
        verdict = median(one.verdict for one in found)
        document[form] = {
            "total": round(total, 5),
            "registry": round(median(one.bare for one in found), 5),
            "ours": round(own, 5),
            "verdict": round(verdict, 5),
            "met": own < TARGET,
            "samples": [[round(one.bare, 5), round(one.ours, 5)] for one in found],
        }
        lines.append(
            f"{form}: {total * 1000:.1f} ms, of which the registry's answers "
            f"{(total - own) * 1000:.1f} ms, ours {own * 1000:.1f} ms (the verdict alone "
            f"{verdict * 1000:.1f} ms); {'less' if own < TARGET else 'NOT less'} than "
            f"{TARGET * 1000:.0f} ms; {len(found)} rounds"
        )
        bars += [
            Bar(f"{form}: registry", (total - own) * 1000),
            Bar(f"{form}: ours", own * 1000, ours=True),
        ]
    panel = Panel("Verifying a signature, beside what the registry takes to answer", "ms", bars)
    return Figure("verification", "\n".join(lines), document, [panel])

"""Recordings and vectors of other projects: beside the checkout, never inside it.

A clone has no `../shared`. The tests that read it are then skipped; `test_variants.py` covers the
same shapes with bodies of our own.
"""

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3] / "shared"
PAYLOADS = SHARED / "payloads"
VECTORS = SHARED / "vectors"
# An unrelated directory may have that name, so its contents decide.
PRESENT = (PAYLOADS / "manifest.json").is_file() and (VECTORS / "INDEX.md").is_file()
ABSENT = "the recordings of other projects (../shared) are not beside this checkout"


def load(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def require_recordings() -> None:
    """Skip the module that calls this at import when there are no recordings."""
    if not PRESENT:
        pytest.skip(ABSENT, allow_module_level=True)


HOST = "registry.example.com"
# Folders that are not named as the kind that reads them.
KIND_OF = {"ghcr": "github", "ci": "github", "gcr": "artifact-registry", "cdevents": "generic"}
# How an operator maps CDEvents.
CDEVENTS: dict[str, object] = {
    "fields": {"purl": "subject.id"},
    "when": {"context.type": "dev.cdevents.artifact.published.*"},
}
# What our defaults make of the entries that depend on a setting.
POLICY = {
    "aliyun/01-full-payload.json": "reject",  # upper case is no OCI name
    "ghcr/09-package-action-create-2020-beta.json": "ignored",  # `published` and `updated` only
    "jfrog/01-keel-remote-cache-ubuntu.json": "ignored",  # a filled cache is no push
}
# Entries that contradict the rules: here `target.digest` and the digest in `target.url` differ,
# which is refused everywhere (the two fields of the entry disagree).
DISAGREEMENTS = {"distribution/09-spinnaker-schema1-latest-plus-blobs.json": "reject"}
EXPECTED = {"bad-digest": "reject", "ci-event": "ignored"}
MANIFEST: list[dict[str, Any]] = load(PAYLOADS / "manifest.json") if PRESENT else []
ENTRIES = [entry for entry in MANIFEST if entry["outcome"] != "not-a-payload"]

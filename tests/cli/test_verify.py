"""`verify`: every policy's word about a reference; a registry over a socket, and no engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.registry.fake import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    FakeRegistry,
    descriptor,
    encode,
    index,
    manifest,
    sha256,
)
from tests.cli.conftest import Command
from tests.fakes import START
from tests.keyless import REF, WORKFLOW, Sigstore, statement
from tests.signing import bundle_manifest
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.reference import Digest


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """With acme/web:stable, of vendor acme."""
    fake = FakeRegistry()
    body = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {"Labels": {"vendor": "acme"}}}
    ).encode()
    fake.put_blob("acme/web", body)
    single = manifest() | {"config": descriptor(body, OCI_CONFIG)}
    fake.put("acme/web:single", single)
    fake.put("acme/web:stable", index({"linux/amd64": single}))
    yield fake
    fake.close()


def configured(directory: Path, registry: FakeRegistry, policy: list[Any]) -> Path:
    """A configuration with one workload."""
    path = directory / "config.yml"
    workload = {
        "image": f"{registry.host}/acme/web",
        "track": {"tag": "stable"},
        "compose": {"inline": {"services": {"app": {}}}},
        "policy": policy,
    }
    document = {"state": str(directory / "state"), "workloads": {"web": workload}}
    path.write_text(json.dumps(document))
    return path


def verify(command: Command, config: Path, reference: str, *more: str) -> Any:
    """Run it, for the platform of the image."""
    argv = ["verify", "--config", str(config), reference, "--workload", "web", *more]
    return command(*argv, "--platform", "linux/amd64")


def test_it_tells_what_every_policy_says_and_exits_0_when_all_hold(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """With the chain of digests down to what the engine will call the image."""
    config = configured(tmp_path, registry, [{"labels": {"vendor": "acme"}}, {"max_size": "1MiB"}])
    ended = verify(command, config, f"{registry.host}/acme/web:stable", "--json")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told["admitted"] is True
    assert [(one["policy"], one["holds"]) for one in told["policies"]] == [
        ("repository", True),
        ("quarantine", True),
        ("labels", True),
        ("max_size", True),
    ]
    stable = registry.manifests["acme/web", "stable"][1]
    assert told["evidence"]["digest"] in told["reference"]
    assert json.loads(stable)["manifests"][0]["digest"] == told["evidence"]["manifest"]


def test_it_tells_every_refusal_with_what_to_do_and_exits_1(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """Not only the first one: whoever mends it wants to mend it once."""
    policy = [{"labels": {"vendor": "other"}}, {"minimum_age": "72h"}, {"platform": "linux/arm64"}]
    ended = verify(
        command, configured(tmp_path, registry, policy), f"{registry.host}/acme/web:single"
    )
    assert ended.status == 1
    assert "FAIL  labels:" in ended.out
    assert "FAIL  minimum_age:" in ended.out
    assert "FAIL  platform:" in ended.out
    assert "-> Build the image for linux/arm64" in ended.out
    assert "ok    repository:" in ended.out


def test_it_tells_who_attested_an_image(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """From the registry's tag to the workflow's name, and why another's does not count."""
    sigstore = Sigstore()
    (tmp_path / "trusted_root.json").write_bytes(sigstore.trusted_root())
    digest = sha256(registry.manifests["acme/web", "stable"][1])
    document, blobs = bundle_manifest(sigstore.attest(statement(digest)), {"digest": digest})
    for blob in blobs:
        registry.put_blob("acme/web", blob)
    registry.put("acme/web:referrer", document)
    entries = [descriptor(encode(document), OCI_MANIFEST)]
    listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    registry.put(f"acme/web:{digest.replace(':', '-')}", listed)
    asked = {
        "repository": "acme/web",
        "workflow": ".github/workflows/release.yml",
        "ref": "refs/heads/main",
        "trusted_root": "trusted_root.json",
    }
    for changes, status, said in [
        ({}, 0, f"ok    attested_by: slsa-provenance by {WORKFLOW}@{REF}, commit"),
        ({"repository": "acme/shop"}, 1, "OIDCSourceRepositoryURI does not match"),
    ]:
        config = configured(tmp_path, registry, [{"attested_by": asked | changes}])
        ended = verify(command, config, f"{registry.host}/acme/web:stable")
        assert ended.status == status, ended.err
        assert said in ended.out


@pytest.mark.parametrize(
    ("trust", "status"), [("signed", 0), ("operator", 0), ("token", 1), ("poll", 1)]
)
def test_it_answers_for_whoever_would_ask(
    trust: str, status: int, command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """`require_trust` depends on it."""
    config = configured(tmp_path, registry, [{"require_trust": "signed"}])
    reference = f"{registry.host}/acme/web:stable"
    assert verify(command, config, reference, "--trust", trust).status == status


def test_it_knows_what_the_launcher_knows_and_leaves_it_as_it_is(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """A digest in quarantine is refused here as there; nothing is noted."""
    config = configured(tmp_path, registry, [{"minimum_age": "72h"}])
    [entry] = json.loads(registry.manifests["acme/web", "stable"][1])["manifests"]
    digest = Digest(entry["digest"])
    journal = Journal(tmp_path / "state", {"web": "web"})
    try:
        journal.workloads.quarantine("web", digest, "failed", START)
        ended = verify(command, config, f"{registry.host}/acme/web@{digest}")
        with journal._database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM sightings").fetchone()[0] == 0
    finally:
        journal.close()
    assert ended.status == 1
    assert "FAIL  quarantine:" in ended.out


def test_an_image_of_another_repository_is_refused(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """Before anybody is asked: its registry is not ours to bother."""
    registry.put("mallory/web:stable", manifest())
    ended = verify(
        command, configured(tmp_path, registry, []), f"{registry.host}/mallory/web:stable"
    )
    assert ended.status == 1
    assert "is not the repository of workload 'web'" in ended.err
    assert registry.seen == []


def test_what_cannot_be_found_out_is_told_and_exits_1(
    command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """An unanswered question is no yes."""
    ended = verify(command, configured(tmp_path, registry, []), f"{registry.host}/acme/web:gone")
    assert ended.status == 1
    assert "answers 404" in ended.err


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["Not A Reference", "--workload", "web"], 2),
        (["a/b:c", "--workload", "other"], 1),
        (["a/b:c", "--workload", "web", "--platform", "vax"], 2),
        (["a/b:c"], 2),
    ],
)
def test_a_wrong_command_line_is_told(
    argv: list[str], status: int, command: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    """By the place that is wrong."""
    config = configured(tmp_path, registry, [])
    ended = command("verify", "--config", str(config), *argv)
    assert (ended.status, ended.out) == (status, "")

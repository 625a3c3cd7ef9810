from dataclasses import replace
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    D2,
    MISSING,
    NOW,
    SECRET,
    changed,
    pushed,
    recorded,
    secrets,
    source,
    with_body,
    with_headers,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("ecr", secrets=secrets(SECRET))
PUSH = recorded("ecr")
HOST = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"
ARN = "arn:aws:ecr:eu-central-1:210987654321:repository/acme/web"
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "c1",
    "type": "com.amazon.ecr.image.push",
    "source": "urn:aws:ecr:eu-central-1:210987654321:repository/acme/web",
    "subject": "acme/web:stable",
    "data": {"repositoryName": "acme/web", "imageTag": "stable", "imageDigest": D1},
}


def test_a_push_names_an_image_of_the_accounts_registry() -> None:
    """The event names no registry: it follows from account and region."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed(f"{HOST}/acme/web:stable", D1),)
    assert event.trust is Trust.TOKEN
    assert event.delivery_id == "5a1f0c9e-2d3b-4c5d-8e7f-a0b1c2d3e4f5"
    with pytest.raises(AuthenticationError):
        receive(with_headers(PUSH, X_Api_Key="another"), SOURCE, NOW)


def test_china_has_another_suffix() -> None:
    """Its registries are not reachable under the other one."""
    [mention] = read(changed(PUSH, ("region", "cn-north-1")), SOURCE).mentions
    assert "dkr.ecr.cn-north-1.amazonaws.com.cn/acme/web" in str(mention.reference)


@pytest.mark.parametrize(
    "changes",
    [
        [("detail.action-type", "DELETE")],
        [("detail.result", "FAILURE")],
        [("detail.image-tag", MISSING)],
        [("detail-type", "ECR Image Scan")],
        [("detail-type", "ECR Pull Through Cache Action")],
        [("detail-type", MISSING)],
        [("source", "aws.ec2")],
        [("detail.artifact-media-type", "application/vnd.cncf.helm.config.v1+json")],
        [("detail", MISSING)],
    ],
)
def test_everything_else_is_ignored(changes: list[tuple[str, Any]]) -> None:
    """A rule that is too wide sends deletions, scans and charts as well."""
    statement = read(changed(PUSH, *changes), SOURCE)
    assert statement.mentions == ()
    assert statement.ignored


@pytest.mark.parametrize(
    "change",
    [
        ("detail.image-digest", f"sha256:{'1' * 60}"),
        ("detail.repository-name", MISSING),
        ("detail.image-tag", 5),
        ("account", "me"),
        ("account", "210987654321.evil.example/"),
        ("region", "eu central 1"),
        ("region", "eu-central-1.evil.example"),
        ("account", MISSING),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """Amazon's own sample has a digest of 60 digits; a host is never pieced together from junk."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


def test_a_configured_registry_is_a_pin() -> None:
    """An API key may be shared by rules of several accounts."""
    assert read(PUSH, replace(SOURCE, registry=HOST)).mentions
    with pytest.raises(ContradictionError, match="account and region"):
        read(changed(PUSH, ("account", "000000000000")), replace(SOURCE, registry=HOST))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("210987654321.dkr-ecr.eu-central-1.on.aws", "eu-central-1"),
        ("210987654321.dkr.ecr-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("210987654321.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    ],
)
def test_other_names_of_one_registry_are_that_registry(host: str, region: str) -> None:
    """The event has account and region only; dual-stack and FIPS hosts are the same registry."""
    [mention] = read(changed(PUSH, ("region", region)), replace(SOURCE, registry=host)).mentions
    assert str(mention.reference).startswith(f"{host}/acme/web:stable")
    with pytest.raises(ContradictionError, match="account and region"):
        read(changed(PUSH, ("region", "us-west-2")), replace(SOURCE, registry=host))


@pytest.mark.parametrize(
    ("arn", "field"),
    [
        ("arn:aws:ecr:us-east-1:210987654321:repository/acme/web", "region"),
        ("arn:aws:ecr:eu-central-1:000000000000:repository/acme/web", "account"),
        ("arn:aws:ecr:eu-central-1:210987654321:repository/acme/api", "repository-name"),
    ],
)
def test_a_resource_that_is_another_repository_is_refused(arn: str, field: str) -> None:
    """The ARN says account, region and name once more."""
    with pytest.raises(ContradictionError, match=rf"resources\[1\] and .*{field}"):
        read(changed(PUSH, ("resources", [ARN, arn])), SOURCE)


def test_a_resource_that_says_the_same_or_is_no_repository_does_not_matter() -> None:
    """EventBridge leaves the list empty today."""
    for resources in ([ARN], ["arn:aws:s3:::bucket"], [], None):
        assert read(changed(PUSH, ("resources", resources)), SOURCE).mentions


@pytest.mark.parametrize(
    "body",
    [
        CLOUD,
        {**CLOUD, "data": {"imageDigest": D1, "registryId": "210987654321"}},
        {**CLOUD, "subject": None},
    ],
)
def test_cloudevents_of_an_input_transformer_say_the_same(body: dict[str, Any]) -> None:
    """People write the transformers themselves and leave out what another field says."""
    statement = read(with_body(PUSH, body), SOURCE)
    assert statement.mentions == (pushed(f"{HOST}/acme/web:stable", D1),)
    assert statement.delivery_id == "c1"


def test_a_generic_cloudevent_names_its_registry() -> None:
    """The type that argocd-image-updater's example emits for any other registry."""
    content = {"repository": "acme/web", "tag": "v2", "registryUrl": "https://registry.example.com"}
    body = {
        **CLOUD,
        "type": "container.image.push",
        "source": "x",
        "subject": None,
        "data": content,
    }
    assert read(with_body(PUSH, body), SOURCE).mentions == (
        pushed("registry.example.com/acme/web:v2"),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "acme/web:v9"},
        {"subject": f"acme/web:stable@{D2}"},
        {"subject": "acme/api:stable"},
        {"source": "urn:aws:ecr:eu-central-1:210987654321:repository/acme/api"},
        {"data": {**CLOUD["data"], "registryId": "000000000000"}},
        {"data": {**CLOUD["data"], "repository": "acme/api"}},
        {"data": {**CLOUD["data"], "tag": "v9"}},
        {"data": {**CLOUD["data"], "digest": D2}},
        {"data": {**CLOUD["data"], "registryUrl": "registry.example.com"}},
    ],
)
def test_cloudevents_fields_that_disagree_are_refused(change: dict[str, Any]) -> None:
    """Subject, source and data each name the image."""
    with pytest.raises(ContradictionError):
        read(with_body(PUSH, {**CLOUD, **change}), SOURCE)


def test_other_cloudevents_are_ignored_and_nameless_ones_refused() -> None:
    """A bus carries anything."""
    assert read(with_body(PUSH, {**CLOUD, "type": "com.example.database.updated"}), SOURCE).ignored
    for subject in ("acme/web", f"acme/web@{D1}", None):
        content = {"repositoryName": "acme/web", "imageDigest": D1}
        untagged = {**CLOUD, "subject": subject, "data": content}
        assert "no tag" in (read(with_body(PUSH, untagged), SOURCE).ignored or "")
    nameless = {**CLOUD, "source": "x", "subject": None, "data": {"imageTag": "v1"}}
    with pytest.raises(MalformedEventError, match="repositoryName"):
        read(with_body(PUSH, nameless), SOURCE)

from dataclasses import replace
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    MISSING,
    NOW,
    TOKEN,
    changed,
    pushed,
    recorded,
    secrets,
    source,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.sources import read, receive

SOURCE = source("aliyun", tokens=secrets(TOKEN))
PUSH = recorded("aliyun")


def test_a_push_names_an_image_of_the_regions_registry() -> None:
    """The body looks like Docker Hub's and says the region instead of a host."""
    event = receive(PUSH, SOURCE, NOW)
    assert event.mentions == (pushed("registry.cn-hangzhou.aliyuncs.com/acme/web:stable", D1),)
    assert event.trust is Trust.TOKEN
    with pytest.raises(AuthenticationError):
        receive(replace(PUSH, token=None), SOURCE, NOW)


def test_a_configured_registry_replaces_the_regions() -> None:
    """Enterprise instances and private networks have hosts of their own."""
    own = replace(SOURCE, registry="acme-registry.cn-hangzhou.cr.aliyuncs.com")
    expected = (pushed("acme-registry.cn-hangzhou.cr.aliyuncs.com/acme/web:stable", D1),)
    for delivery in (PUSH, changed(PUSH, ("repository.region", MISSING))):
        assert read(delivery, own).mentions == expected


@pytest.mark.parametrize(
    "host",
    [
        "registry.cn-beijing.aliyuncs.com",
        "registry-vpc.cn-beijing.aliyuncs.com",
        "acme-registry.cn-beijing.cr.aliyuncs.com",
        "crpi-0123456789abcdef.cn-beijing.personal.cr.aliyuncs.com",
    ],
)
def test_a_region_that_is_not_the_configured_registrys_is_refused(host: str) -> None:
    """The same name in two regions is two repositories."""
    with pytest.raises(ContradictionError, match=r"repository\.region is cn-hangzhou"):
        read(PUSH, replace(SOURCE, registry=host))
    assert read(PUSH, replace(SOURCE, registry=host.replace("beijing", "hangzhou"))).mentions


def test_a_host_that_names_no_region_is_believed() -> None:
    """It is the operator's own, in front of the registry."""
    own = replace(SOURCE, registry="images.example.com")
    assert read(PUSH, own).mentions == (pushed("images.example.com/acme/web:stable", D1),)


def test_a_push_without_tag_is_ignored() -> None:
    """`latest` is not invented."""
    assert read(changed(PUSH, ("push_data.tag", "")), SOURCE).ignored


@pytest.mark.parametrize(
    "change",
    [
        ("repository.region", MISSING),
        ("repository.region", "evil.example/x"),
        ("repository.region", "a" * 200),
        ("repository.repo_full_name", MISSING),
        ("repository.repo_full_name", "acme/Web"),
        ("push_data.digest", "sha256:457f"),
    ],
)
def test_what_cannot_be_read_is_refused(change: tuple[str, Any]) -> None:
    """A host is never pieced together from junk; an upper-case name is no OCI name."""
    with pytest.raises(MalformedEventError):
        read(changed(PUSH, change), SOURCE)


def test_a_name_that_is_not_its_parts_is_refused() -> None:
    """Three fields say it."""
    with pytest.raises(ContradictionError, match="repo_full_name"):
        read(changed(PUSH, ("repository.name", "api")), SOURCE)


def test_deliveries_of_one_push_have_one_id() -> None:
    """The time of the push is in the body, so its hash tells pushes apart."""
    assert read(PUSH, SOURCE).delivery_id == read(PUSH, SOURCE).delivery_id
    later = changed(PUSH, ("push_data.pushed_at", "2026-03-01 20:00:00"))
    assert read(later, SOURCE).delivery_id != read(PUSH, SOURCE).delivery_id
    assert read(changed(PUSH, ("push_data.pushed_at", MISSING)), SOURCE).delivery_id is None

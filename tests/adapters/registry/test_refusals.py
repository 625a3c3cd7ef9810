"""Statuses told apart: the code decides whether the worker tries again and who is told what."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.adapters.registry.conftest import look
from tests.adapters.registry.fake import FakeRegistry, Reply, encode
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.adapters.registry.refusals import MAX_RETRY_AFTER, retry_after
from webhook_launcher.adapters.registry.transport import Answer
from webhook_launcher.core.errors import (
    ManifestNotFoundError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Platform

AMD64 = Platform("linux", "amd64")
STABLE = "acme/web:stable"
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RegistryError),
        (403, RegistryDeniedError),
        (404, ManifestNotFoundError),
        (405, RegistryError),
        (406, RegistryError),
        (418, RegistryError),
        (429, RateLimitedError),
        (500, RegistryUnavailableError),
        (502, RegistryUnavailableError),
        (503, RegistryUnavailableError),
        (204, RegistryError),
        (206, RegistryError),
        (304, RegistryError),
    ],
)
def test_each_status_has_its_error(
    registry: FakeRegistry, client: RegistryClient, status: int, expected: type[RegistryError]
) -> None:
    """Only what may pass by itself is retryable; the rest waits for a person or another push."""
    registry.edit(lambda _, reply: Reply(status))
    with pytest.raises(
        RegistryError, match=f"{registry.host} answers {status} .*{STABLE}"
    ) as caught:
        client.image(registry.reference(STABLE), AMD64)
    assert type(caught.value) is expected
    assert caught.value.retryable == issubclass(expected, RegistryUnavailableError)
    assert caught.value.advice()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["head", "image"])
def test_retry_after_reaches_the_caller(
    registry: FakeRegistry, client: RegistryClient, status: int, method: str
) -> None:
    """A poll that ignores it keeps the limit exhausted for everybody behind the same address."""
    registry.edit(lambda _, reply: Reply(status, {"Retry-After": "17"}))
    with pytest.raises(RegistryUnavailableError) as caught:
        look(client, method, registry.reference(STABLE))
    assert caught.value.retry_after == 17


def answer(**headers: str) -> Answer:
    """A 429 with these headers."""
    return Answer(429, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "0"}, 0),
        ({"Retry_After": " 30 "}, 30),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "\u0663"}, None),
        ({"Retry_After": "86400"}, MAX_RETRY_AFTER),
        ({"Retry_After": "9" * 10_000}, MAX_RETRY_AFTER),
        ({"Retry_After": "Wed, 21 Oct 2026 07:29:30 GMT", "Date": DATE}, 90),
        ({"Retry_After": "Wed, 21 Oct 2026 07:00:00 GMT", "Date": DATE}, 0),
        ({"Retry_After": "Thu, 22 Oct 2026 07:28:00 GMT", "Date": DATE}, MAX_RETRY_AFTER),
        ({"Retry_After": "Wed, 21 Oct 2026 07:29:30 GMT"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:29:30 -0000", "Date": DATE}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(
    headers: dict[str, str], expected: float | None
) -> None:
    """RFC 9110 10.2.3. A date counts from the server's own clock; we believe an hour at most."""
    assert retry_after(answer(**headers)) == expected


@given(st.text(max_size=60), st.text(max_size=60))
@example("Wed, 21 Oct 99999999999 07:28:00 GMT", DATE)
@example("Wed, 21 Oct 2026 07:28:00 +9999999999", DATE)
def test_any_retry_after_is_read_without_an_error(value: str, date: str) -> None:
    """The header of a refusal must not turn it into a crash."""
    pause = retry_after(answer(Retry_After=value, Date=date))
    assert pause is None or 0 <= pause <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (encode({"errors": [{"code": "NAME_UNKNOWN"}]}), " (NAME_UNKNOWN)"),
        (encode({"errors": [{"code": "DENIED"}, {"code": "DENIED"}]}), " (DENIED)"),
        (encode({"errors": [{"code": "S3CRET", "message": "s3cret"}]}), ""),
        (encode({"errors": [{"message": "s3cret"}, 5]}), ""),
        (encode({"errors": [{"code": ["DENIED"]}]}), ""),
        (encode({"errors": {"code": "DENIED"}}), ""),
        (encode({"errors": None}), ""),
        (b"[]", ""),
        (b"<html>", ""),
        (b"x" * 1_000_000, ""),
    ],
    ids=range(10),
)
def test_only_the_specs_codes_are_repeated(
    registry: FakeRegistry, client: RegistryClient, body: bytes, said: str
) -> None:
    """NAME_UNKNOWN or MANIFEST_UNKNOWN: that helps. Free text may echo what we sent."""
    registry.edit(lambda _, reply: Reply(404, body=body))
    with pytest.raises(ManifestNotFoundError) as caught:
        client.image(registry.reference(STABLE), AMD64)
    reference = registry.reference(STABLE)
    assert str(caught.value) == f"registry {registry.host} answers 404{said} for {reference}"


def test_missing_and_perhaps_private_is_said(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Several registries answer 404 for a private repository to those who may not see it."""
    with pytest.raises(ManifestNotFoundError) as caught:
        client.head(registry.reference(STABLE))
    assert "private" in caught.value.advice()

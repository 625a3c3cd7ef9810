"""`RegistryClient.tags`: all of them, or an error."""

import json
from collections.abc import Callable

import pytest

from tests.adapters.registry.conftest import Clock, MakeClient
from tests.adapters.registry.fake import Auth, FakeRegistry, Reply, Seen, manifest
from webhook_launcher.adapters.registry import Credential, RegistryClient, tags
from webhook_launcher.core.errors import (
    ManifestNotFoundError,
    RateLimitedError,
    RegistryError,
    RegistryUnavailableError,
)
from webhook_launcher.core.reference import Repository


def web(registry: FakeRegistry) -> Repository:
    """The repository that the tests list."""
    return registry.reference("acme/web:x").repository


def fill(registry: FakeRegistry, count: int) -> list[str]:
    """Push that many tags, and one of another repository; the tags in the order of their text."""
    registry.put("acme/other:secret", manifest())
    pushed = sorted(f"v{number}" for number in range(count))
    for tag in pushed:
        registry.put(f"acme/web:{tag}", manifest())
    return pushed


def reply(body: object, link: str | None = None) -> Callable[[Seen, Reply], Reply]:
    """An edit that answers this to every request for tags."""
    headers = {"Link": link} if link else {}

    def edit(seen: Seen, honest: Reply) -> Reply:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(200, headers, text) if seen.path.endswith("/tags/list") else honest

    return edit


def pages(registry: FakeRegistry) -> int:
    """How many were asked for."""
    return sum(1 for seen in registry.seen if seen.path.endswith("/tags/list"))


def test_every_tag_is_listed_over_all_pages(registry: FakeRegistry, client: RegistryClient) -> None:
    """GHCR and Quay give a hundred at a time: the newest may be on the last page."""
    pushed = fill(registry, 25)
    registry.page = 10
    assert client.tags(web(registry)) == pushed
    assert pages(registry) == 3


def test_as_many_as_may_be_are_asked_for_at_once(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """A poll of a thousand tags is one request where the registry allows it."""
    fill(registry, 30)
    client.tags(web(registry))
    assert [seen.query for seen in registry.seen] == [{"n": "1000"}]


def test_a_registry_without_links_is_asked_for_what_follows(
    registry: FakeRegistry, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distribution-spec had no link before 1.1: a full page may have another after it."""
    pushed = fill(registry, 25)
    monkeypatch.setattr(tags, "PAGE", 10)

    def without_link(seen: Seen, honest: Reply) -> Reply:
        honest.headers.pop("Link", None)
        return honest

    registry.edits.append(without_link)
    assert client.tags(web(registry)) == pushed


def test_a_registry_that_does_not_page_is_not_asked_for_ever(
    registry: FakeRegistry, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """distribution 2.8 ignores `n` and `last`, and may have just as many tags as we asked for."""
    monkeypatch.setattr(tags, "PAGE", 3)
    registry.edits.append(reply({"name": "acme/web", "tags": ["a", "b", "c"]}))
    assert client.tags(web(registry)) == ["a", "b", "c"]
    assert pages(registry) == 2


@pytest.mark.parametrize("body", [{"tags": None}, {"tags": []}])
def test_an_empty_repository_has_no_tags(
    registry: FakeRegistry, client: RegistryClient, body: object
) -> None:
    """distribution says null."""
    registry.edits.append(reply(body))
    assert client.tags(web(registry)) == []


def test_a_repository_that_is_not_there_is_told(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """By its name."""
    with pytest.raises(ManifestNotFoundError, match=r"the tags of .*acme/web"):
        client.tags(web(registry))


def test_the_list_is_asked_for_as_who_we_are(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """A private repository lists nothing to strangers."""
    pushed = fill(registry, 3)
    registry.auth = Auth(users={"acme": "secret"})
    assert make_client(credential=Credential("acme", "secret")).tags(web(registry)) == pushed


@pytest.mark.parametrize("form", ["{path}?{query}", "http://{host}{path}?{query}"])
def test_a_link_may_be_relative_or_absolute(
    registry: FakeRegistry, client: RegistryClient, form: str
) -> None:
    """Registries write both."""
    pushed = fill(registry, 15)
    registry.page = 10

    def absolute(seen: Seen, honest: Reply) -> Reply:
        if link := honest.headers.get("Link"):
            path, _, query = link[1:].partition(">")[0].partition("?")
            target = form.format(host=registry.host, path=path, query=query)
            honest.headers["Link"] = f'</v2/>; rel="up", <{target}>; rel="next"'
        return honest

    registry.edits.append(absolute)
    assert client.tags(web(registry)) == pushed


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.test/v2/acme/web/tags/list?n=1",
        "https://{host}/v2/acme/web/tags/list?n=1",
        "http://{host}@evil.test/v2/acme/web/tags/list?n=1",
        "http://{host}.evil.test/v2/acme/web/tags/list?n=1",
        "//evil.test/v2/acme/web/tags/list?n=1",
        "/v2/acme/other/tags/list?n=1",
        "/v2/acme/web/../other/tags/list?n=1",
        "/v2/acme/web/tags/list",
        "/v2/acme/web/tags/list?",
        "/v2/acme/web/tags/list?n=1#x",
        "/v2/acme/web/tags/list?n=1 HTTP/1.1",
    ],
)
def test_a_link_to_another_place_is_not_followed(
    registry: FakeRegistry, client: RegistryClient, target: str
) -> None:
    """It would take our credentials along; and a list that ends there would hide tags."""
    link = f'<{target.format(host=registry.host)}>; rel="next"'
    registry.edits.append(reply({"tags": ["v1"]}, link))
    with pytest.raises(RegistryError, match="elsewhere"):
        client.tags(web(registry))
    assert pages(registry) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags": "v1"}', b'{"tags": [1', b"null"])
def test_what_is_no_list_is_an_error(
    registry: FakeRegistry, client: RegistryClient, body: bytes
) -> None:
    """And no empty list: that would mean that nothing is newer."""
    registry.edits.append(reply(body))
    with pytest.raises(RegistryError, match="without a list of tags"):
        client.tags(web(registry))


def test_what_is_no_tag_is_left_out(registry: FakeRegistry, client: RegistryClient) -> None:
    """It could not be pulled, and would end up in a URL and a log."""
    listed = ["v1", "", 5, None, "a/b", "../x", "v2\n", "-v3", "x" * 129, {"a": 1}, "é"]
    registry.edits.append(reply({"tags": listed}))
    assert client.tags(web(registry)) == ["v1"]


def endless(seen: Seen, honest: Reply) -> Reply:
    """A page that always has another one after it."""
    number = int(seen.query.get("last", "0")) + 1
    link = f'<{seen.path}?last={number}&n=1>; rel="next"'
    return Reply(200, {"Link": link}, json.dumps({"tags": [f"v{number}"]}).encode())


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_PAGES", 5), ("MAX_TAGS", 5), ("MAX_BYTES", 100)]
)
def test_a_list_without_end_is_an_error(
    registry: FakeRegistry,
    client: RegistryClient,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    """Endless data; and what was read so far may lack the newest tag, so it is not used."""
    monkeypatch.setattr(tags, limit, value)
    registry.edits.append(endless)
    with pytest.raises(RegistryError, match=r"no end|more than"):
        client.tags(web(registry))
    assert pages(registry) <= 8


def test_a_list_that_goes_in_circles_is_an_error(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Before five hundred requests were made."""
    registry.edits.append(reply({"tags": ["v1"]}, '</v2/acme/web/tags/list?n=1>; rel="next"'))
    with pytest.raises(RegistryError, match="no end"):
        client.tags(web(registry))
    assert pages(registry) == 2


def test_a_list_that_takes_too_long_is_given_up(
    registry: FakeRegistry, client: RegistryClient, clock: Clock
) -> None:
    """A page in time is not a list in time."""

    def slow(seen: Seen, honest: Reply) -> Reply:
        clock.time += 25
        return endless(seen, honest)

    registry.edits.append(slow)
    with pytest.raises(RegistryUnavailableError, match="in time"):
        client.tags(web(registry))
    assert pages(registry) == 3


@pytest.mark.parametrize("page", [1, 2])
def test_a_limit_on_any_page_is_one_of_the_whole(
    registry: FakeRegistry, client: RegistryClient, page: int
) -> None:
    """429 in the middle must not shorten the list."""
    fill(registry, 25)
    registry.page = 10

    def limited(seen: Seen, honest: Reply) -> Reply:
        return Reply(429, {"Retry-After": "7"}) if pages(registry) == page else honest

    registry.edits.append(limited)
    with pytest.raises(RateLimitedError) as raised:
        client.tags(web(registry))
    assert raised.value.retry_after == 7

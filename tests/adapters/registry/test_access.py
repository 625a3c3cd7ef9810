"""Authentication: what is sent to whom, when it is renewed, and what a refusal says."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.adapters.registry.conftest import Clock, MakeClient, look
from tests.adapters.registry.fake import Auth, FakeRegistry, Reply, Seen, encode, manifest
from webhook_launcher.adapters.registry import Credential, RegistryClient, RegistrySettings
from webhook_launcher.core.errors import (
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
)
from webhook_launcher.core.model import Platform

AMD64 = Platform("linux", "amd64")
STABLE = "acme/web:stable"
BASIC = "Basic cm9ib3Q6c2VjcmV0"  # robot:secret


@pytest.fixture
def robot(registry: FakeRegistry, make_client: MakeClient) -> RegistryClient:
    """A client with the credentials of a registry that wants them."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(users={"robot": "secret"})
    return make_client(RegistrySettings(registry.host, username="robot", password="secret"))


def tokens_asked(registry: FakeRegistry) -> list[Seen]:
    """The requests for a token."""
    return [seen for seen in registry.seen if seen.path == "/token"]


def answering(**answer: Any) -> Callable[[Seen, Reply], Reply]:
    """An edit of what the token server says."""

    def edit(seen: Seen, reply: Reply) -> Reply:
        return Reply(200, body=encode(answer)) if seen.path == "/token" else reply

    return edit


def test_public_repository_needs_no_credentials(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Docker Hub and GHCR give an anonymous token for public images; no password is involved."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(anonymous=True)
    client.image(registry.reference(STABLE), AMD64)
    assert "authorization" not in tokens_asked(registry)[0].headers


def test_scope_is_ours_whatever_the_challenge_says(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """A registry must not make us fetch a token for another repository, or one that may push."""

    def greedy(_: Seen, reply: Reply) -> Reply:
        challenge = reply.headers.get("WWW-Authenticate", "")
        greedier = challenge.replace("acme/web:pull", "*:push,pull,delete")
        return Reply(reply.status, reply.headers | {"WWW-Authenticate": greedier}, reply.body)

    registry.edit(greedy)
    robot.image(registry.reference(STABLE), AMD64)
    assert tokens_asked(registry)[0].query == {
        "scope": "repository:acme/web:pull",
        "service": "fake",
    }


def test_password_goes_to_the_token_server_and_only_the_token_to_the_registry(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """The password is worth more than a token: it travels once per token, to one place."""
    robot.image(registry.reference(STABLE), AMD64)
    sent = [(seen.path == "/token", seen.headers.get("authorization")) for seen in registry.seen]
    assert sent == [(False, None), (True, BASIC), (False, "Bearer fake-token-1")]


def test_token_serves_until_it_expires(
    registry: FakeRegistry, robot: RegistryClient, clock: Clock
) -> None:
    """A deploy is several requests: a token each time would triple them, and the rate limits."""
    robot.image(registry.reference(STABLE), AMD64)
    clock.time += 299
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 1
    clock.time += 2
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 2
    assert "authorization" not in registry.seen[-3].headers  # an expired token is not even sent


@pytest.mark.parametrize("expires_in", [None, 0, -5, True, "300"])
def test_token_without_a_usable_lifetime_lives_60_seconds(
    registry: FakeRegistry, robot: RegistryClient, clock: Clock, expires_in: object
) -> None:
    """token.md: 60 s when it is omitted; nonsense must not keep a token for ever."""
    registry.auth = Auth(users={"robot": "secret"}, expires_in=expires_in)  # type: ignore[arg-type]
    robot.head(registry.reference(STABLE))
    clock.time += 59
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 1
    clock.time += 2
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 2


@pytest.mark.parametrize("expires_in", [1e9, 10**400, 1e308])
def test_lifetime_is_at_most_a_day(
    registry: FakeRegistry, robot: RegistryClient, clock: Clock, expires_in: float
) -> None:
    """Rights that were withdrawn must show within a day, whatever a token server promises."""
    registry.edits.append(answering(token="long", expires_in=expires_in))
    assert registry.auth is not None
    registry.auth.valid["long"] = "repository:acme/web:pull"
    robot.head(registry.reference(STABLE))
    clock.time += 24 * 3600 + 1
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 2


def test_tokens_of_two_repositories_are_kept_apart(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """A token is for one repository; sent for another it is refused or, worse, accepted."""
    registry.put("acme/jobs:stable", manifest("jobs"))
    for _ in range(2):
        robot.head(registry.reference(STABLE))
        robot.head(registry.reference("acme/jobs:stable"))
    scopes = [seen.query["scope"] for seen in tokens_asked(registry)]
    assert scopes == ["repository:acme/web:pull", "repository:acme/jobs:pull"]


def test_token_that_was_revoked_is_replaced_once(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """A token server that restarts forgets its tokens: one 401, one new token, one more try."""
    robot.head(registry.reference(STABLE))
    assert registry.auth is not None
    registry.auth.valid.clear()
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 2


def test_fresh_token_that_is_refused_ends_it(registry: FakeRegistry, robot: RegistryClient) -> None:
    """No loop: wrong rights do not get better, and hammering a login gets an account locked."""

    def refuse(_: Seen, reply: Reply) -> Reply:
        assert registry.auth is not None
        registry.auth.valid.clear()
        return reply

    registry.edits.append(refuse)
    with pytest.raises(RegistryDeniedError, match="refuses the credentials"):
        robot.head(registry.reference(STABLE))
    assert (registry.count("HEAD"), len(tokens_asked(registry))) == (2, 1)


def test_right_that_was_granted_meanwhile_is_seen_at_once(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """After a 403 the operator corrects the rights: the old token must not go on failing."""
    robot.head(registry.reference(STABLE))
    registry.edit(lambda _, reply: Reply(403))
    with pytest.raises(RegistryDeniedError):
        robot.head(registry.reference(STABLE))
    registry.edits.clear()
    robot.head(registry.reference(STABLE))
    assert len(tokens_asked(registry)) == 2


def test_missing_credentials_and_refused_ones_read_differently(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """The operator does different things: give credentials, or correct them."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(users={"robot": "secret"})
    with pytest.raises(RegistryDeniedError) as none:
        make_client().head(registry.reference(STABLE))
    assert "no credentials are configured" in str(none.value)
    assert "docker login" in none.value.advice()
    wrong = RegistrySettings(registry.host, username="robot", password="old")
    with pytest.raises(RegistryDeniedError) as refused:
        make_client(wrong).head(registry.reference(STABLE))
    assert "refuses the credentials" in str(refused.value)
    assert registry.host in str(refused.value)
    assert registry.host in refused.value.advice()
    assert "acme/web" in str(refused.value)


@pytest.mark.parametrize("method", ["head", "image"])
def test_forbidden_is_denied(registry: FakeRegistry, client: RegistryClient, method: str) -> None:
    """403 is how GHCR says that a package is private."""
    registry.edit(lambda _, reply: Reply(403))
    with pytest.raises(RegistryDeniedError, match="403"):
        look(client, method, registry.reference(STABLE))


def test_basic_challenge_is_answered_to_the_registry_itself(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """ECR and a plain htpasswd registry speak Basic; only the configured host ever gets it."""
    registry.auth = Auth(users={"robot": "secret"}, basic=True)
    robot.head(registry.reference(STABLE))
    robot.head(registry.reference(STABLE))
    sent = [seen.headers.get("authorization") for seen in registry.seen]
    assert sent == [None, BASIC, BASIC]


def test_basic_challenge_without_credentials_sends_nothing(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """There is nothing to answer with; the message says which registry wants a password."""
    registry.auth = Auth(basic=True)
    with pytest.raises(RegistryDeniedError, match=f"{registry.host}.*no credentials"):
        client.head(registry.reference(STABLE))
    assert len(registry.seen) == 1


def test_password_that_was_rotated_is_picked_up(
    registry: FakeRegistry, make_client: MakeClient, clock: Clock
) -> None:
    """Helpers rotate what they give (ECR: 12 h): the next challenge must be answered anew."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(users={"robot": "first"}, basic=True)
    given = {"password": "first"}
    client = RegistryClient(
        {},
        lambda _: Credential("robot", given["password"]),
        now=clock.now,
        sleep=clock.sleep,
    )
    client.head(registry.reference(STABLE))
    given["password"] = registry.auth.users["robot"] = "second"
    client.head(registry.reference(STABLE))
    client.close()


def test_configured_credentials_win_over_dockers(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """What the configuration says is what the operator reads; docker's file is the fallback."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(users={"robot": "secret"})
    own = RegistrySettings(registry.host, username="robot", password="secret")
    make_client(own, credential=Credential("docker", "other")).head(registry.reference(STABLE))
    fallback = RegistrySettings(registry.host)
    make_client(fallback, credential=Credential("robot", "secret")).head(registry.reference(STABLE))


def test_identity_token_is_traded_for_an_access_token(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """`az acr login` leaves only an identity token; distribution's oauth.md says how to use it."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(identity_tokens={"refresh-me"})
    client = make_client(credential=Credential.identity_token("refresh-me"))
    client.head(registry.reference(STABLE))
    [asked] = tokens_asked(registry)
    assert asked.method == "POST"
    assert b"grant_type=refresh_token" in asked.body
    assert b"scope=repository%3Aacme%2Fweb%3Apull" in asked.body
    assert "authorization" not in asked.headers


def test_identity_token_is_never_sent_as_a_password(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """It is not one; and the operator is told what would work."""
    registry.auth = Auth(basic=True)
    client = make_client(credential=Credential.identity_token("refresh-me"))
    with pytest.raises(RegistryDeniedError, match="identity token"):
        client.head(registry.reference(STABLE))
    assert len(registry.seen) == 1


@pytest.mark.parametrize("credential", [None, Credential("robot", "secret")])
def test_realm_on_another_host_gets_nothing(
    registry: FakeRegistry, make_client: MakeClient, credential: Credential | None
) -> None:
    """CVE-2020-15157's class: a challenge must not choose who gets the password, or a request."""
    registry.put(STABLE, manifest())
    registry.auth = Auth(users={"robot": "secret"}, realm="https://auth.evil.example/token")
    client = make_client(credential=credential)
    with pytest.raises(RegistryDeniedError, match=r"auth\.evil\.example") as caught:
        client.head(registry.reference(STABLE))
    assert "token_realm_host: auth.evil.example" in caught.value.advice()
    assert tokens_asked(registry) == []


def test_realm_of_another_loopback_server_may_have_the_credentials(
    registry: FakeRegistry, other: FakeRegistry, robot: RegistryClient
) -> None:
    """A token server beside the registry, on its own port, is common; it is one machine."""
    assert registry.auth is not None
    registry.auth.realm = f"http://localhost:{other.host.partition(':')[2]}/token?x=1"
    other.auth = registry.auth
    robot.head(registry.reference(STABLE))
    assert other.seen[0].query["x"] == "1"


def test_redirect_of_a_token_request_is_not_followed(
    registry: FakeRegistry, other: FakeRegistry, robot: RegistryClient
) -> None:
    """It would take the password to a host that nobody checked."""
    target = Reply(307, {"Location": f"http://{other.host}/token"})
    registry.edits.append(lambda seen, reply: target if seen.path == "/token" else reply)
    with pytest.raises(RegistryError, match=r"307.*a token for .*acme/web.*redirect"):
        robot.head(registry.reference(STABLE))
    assert other.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'"token"',
        b'{"token": 5}',
        b'{"token": ""}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX: y"}',
        '{"token": "\u00e9"}'.encode(),
        b'{"token": "a", "token": "b"}',
        b'{"token": "' + b"a" * 300_000 + b'"}',
    ],
    ids=lambda body: ascii(body[:20]),
)
def test_unusable_token_is_told_without_showing_it(
    registry: FakeRegistry, robot: RegistryClient, body: bytes
) -> None:
    """What cannot be a header's value must not get into one; nor into the message."""
    registry.edits.append(
        lambda seen, reply: Reply(200, body=body) if seen.path == "/token" else reply
    )
    with pytest.raises(RegistryError) as caught:
        robot.head(registry.reference(STABLE))
    assert registry.host in str(caught.value)
    assert "X: y" not in str(caught.value)
    assert registry.count("HEAD") == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, RegistryDeniedError),
        (403, RegistryDeniedError),
        (429, RateLimitedError),
        (500, RegistryUnavailableError),
        (400, RegistryError),
    ],
)
def test_token_servers_refusals_are_told_apart(
    registry: FakeRegistry, robot: RegistryClient, status: int, expected: type[RegistryError]
) -> None:
    """A token server that is down is worth another try; wrong credentials are not."""
    registry.edits.append(lambda seen, reply: Reply(status) if seen.path == "/token" else reply)
    with pytest.raises(RegistryError, match="a token for") as caught:
        robot.head(registry.reference(STABLE))
    assert type(caught.value) is expected


@pytest.mark.parametrize("challenge", [None, "", "Negotiate", "Digest realm=x", ",,,"])
def test_401_without_a_known_challenge_is_denied(
    registry: FakeRegistry, robot: RegistryClient, challenge: str | None
) -> None:
    """Nothing is sent where nothing understandable was asked for."""
    headers = {} if challenge is None else {"WWW-Authenticate": challenge}
    registry.edit(lambda _, reply: Reply(401, headers))
    with pytest.raises(RegistryDeniedError, match="asks for no login known here"):
        robot.head(registry.reference(STABLE))
    assert len(registry.seen) == 1


def test_anonymous_refusal_asks_for_credentials(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """An anonymous token that is then refused is GHCR's way of saying `private`: log in."""
    registry.auth = Auth(anonymous=True)

    def private(_: Seen, reply: Reply) -> Reply:
        return Reply(403) if reply.status != 401 else reply

    registry.edit(private)
    with pytest.raises(RegistryDeniedError, match="no credentials are configured"):
        client.head(registry.reference(STABLE))


def test_first_of_two_bearer_challenges_is_answered(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """RFC 9110 leaves the choice to us; a second one, appended on the way, must not replace it."""

    def append(_: Seen, reply: Reply) -> Reply:
        if "WWW-Authenticate" in reply.headers:
            reply.headers["WWW-Authenticate"] += ', Bearer realm="https://auth.evil.example/"'
        return reply

    registry.edit(append)
    robot.head(registry.reference(STABLE))


def test_bearer_is_preferred_when_basic_is_offered_too(
    registry: FakeRegistry, robot: RegistryClient
) -> None:
    """A token is worth less than a password to whoever gets hold of it."""

    def both(_: Seen, reply: Reply) -> Reply:
        if "WWW-Authenticate" in reply.headers:
            reply.headers["WWW-Authenticate"] = (
                f'Basic realm="a, Bearer b", {reply.headers["WWW-Authenticate"]}'
            )
        return reply

    registry.edit(both)
    robot.head(registry.reference(STABLE))
    assert registry.seen[-1].headers["authorization"].startswith("Bearer ")

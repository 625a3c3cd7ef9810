import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.senders import (
    D1,
    D2,
    MISSING,
    NOW,
    changed,
    options,
    pushed,
    recorded,
    source,
    with_body,
    with_headers,
)
from tests.sources.tokens import ISSUER, KID, PUBLIC_KEYS, STRANGER, bearing, token
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
    UnreadableBodyError,
)
from webhook_launcher.core.model import Trust
from webhook_launcher.core.source import KEY_LOOKUP
from webhook_launcher.sources import KINDS, read, receive

GIVEN = options("artifact-registry")
SOURCE = source("artifact-registry", options={**GIVEN, KEY_LOOKUP: PUBLIC_KEYS.get})
PUSH = recorded("artifact-registry")
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": GIVEN["audience"],
    "email": GIVEN["email"],
    "email_verified": True,
    "iat": SECONDS - 10,
    "exp": SECONDS + 3590,
    "sub": "103243794525501032581",
}
IMAGE = pushed("europe-docker.pkg.dev/acme/apps/web:stable", D1)


def event(**changes: Any) -> dict[str, Any]:
    """The registry's own message."""
    whole = {
        "action": "INSERT",
        "tag": "europe-docker.pkg.dev/acme/apps/web:stable",
        "digest": f"europe-docker.pkg.dev/acme/apps/web@{D1}",
    }
    return {k: v for k, v in {**whole, **changes}.items() if v is not MISSING}


def wrapped(content: Any) -> Any:
    """As Pub/Sub wraps it."""
    text = content if isinstance(content, str) else json.dumps(content)
    return {"message": {"data": base64.b64encode(text.encode()).decode(), "messageId": "1"}}


class TestToken:
    def test_googles_token_proves_the_caller(self) -> None:
        """It does not cover the body, so trust is `token` and the tag is resolved."""
        received = receive(bearing(PUSH, token(CLAIMS)), SOURCE, NOW)
        assert received.mentions == (IMAGE,)
        assert (received.trust, received.secret_id) == (Trust.TOKEN, GIVEN["email"])
        assert received.delivery_id == "8070443601311540"

    def test_the_issuer_may_leave_the_scheme_away(self) -> None:
        """Google has used both."""
        bare = token({**CLAIMS, "iss": "accounts.google.com"})
        assert receive(bearing(PUSH, bare), SOURCE, NOW).mentions

    @pytest.mark.parametrize(
        "change",
        [
            {"iss": "https://accounts.example.com"},
            {"iss": None},
            {"aud": "https://other.example.com"},
            {"aud": ["https://launcher.example.com/hooks/gar", "https://other.example.com"]},
            {"aud": None},
            {"email": "stranger@other.iam.gserviceaccount.com"},
            {"email": None},
            {"email_verified": False},
            {"email_verified": "true"},
            {"email_verified": None},
            {"exp": SECONDS - 61},
            {"exp": None},
            {"exp": str(SECONDS + 100)},
            {"exp": True},
            {"exp": 1e300},
            {"exp": 10**30},
            {"iat": SECONDS + 61},
            {"iat": None},
            {"iat": -1},
            {"nbf": SECONDS + 61},
        ],
    )
    def test_every_claim_that_is_pinned_must_hold(self, change: dict[str, Any]) -> None:
        """Every Google account can get a token for any audience."""
        with pytest.raises(AuthenticationError):
            receive(bearing(PUSH, token({**CLAIMS, **change})), SOURCE, NOW)

    @pytest.mark.parametrize("change", [{"exp": SECONDS - 60}, {"iat": SECONDS + 60}])
    def test_a_minute_between_clocks_is_forgiven(self, change: dict[str, int]) -> None:
        """Nobody's clock is exact."""
        assert receive(bearing(PUSH, token({**CLAIMS, **change})), SOURCE, NOW).mentions

    def test_another_key_algorithm_or_key_name_is_refused(self) -> None:
        """The token's header must not choose how it is verified."""
        public = PUBLIC_KEYS[KID]
        forgeries = [
            token(CLAIMS, STRANGER),
            token(CLAIMS, kid="unknown"),
            jwt.encode(CLAIMS, "", algorithm="none", headers={"kid": KID}),
            jwt.encode(CLAIMS, ISSUER, "RS256"),
            jwt.encode(CLAIMS, str(public.public_numbers().n) * 2, "HS256", headers={"kid": KID}),
            jwt.encode(CLAIMS, ISSUER, "RS512", headers={"kid": KID}),
            token(CLAIMS)[:-8] + "AAAAAAAA",
        ]
        for forged in forgeries:
            with pytest.raises(AuthenticationError):
                receive(bearing(PUSH, forged), SOURCE, NOW)

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearer a.b",
            "Bearer a.b.c.d",
            "Bearer é.b.c",
        ],
    )
    def test_what_is_no_bearer_token_is_refused(self, header: str | None) -> None:
        """Before anything is decoded."""
        with pytest.raises(AuthenticationError):
            receive(with_headers(PUSH, Authorization=header), SOURCE, NOW)

    def test_claims_that_stand_there_twice_are_refused(self) -> None:
        """One reader takes the first, the next the last."""
        head, _, _ = token(CLAIMS).split(".")
        twice = json.dumps(CLAIMS)[:-1] + ', "email": "a@b"}'
        body = base64.urlsafe_b64encode(twice.encode()).decode().rstrip("=")
        with pytest.raises(AuthenticationError):
            receive(bearing(PUSH, f"{head}.{body}.AAAA"), SOURCE, NOW)

    @pytest.mark.parametrize("part", [b"[" * 3000, b"7", b"\xff", b"{", b'{"kid":{}}'])
    def test_broken_parts_are_refused(self, part: bytes) -> None:
        """Deep nesting ends a recursive parser; nobody is authenticated yet."""
        text = base64.urlsafe_b64encode(part).decode().rstrip("=")
        for broken in (f"{text}.{text}.AAAA", f"{token(CLAIMS).split('.')[0]}.{text}.AAAA"):
            with pytest.raises(AuthenticationError):
                receive(bearing(PUSH, broken), SOURCE, NOW)

    def test_without_keys_or_pins_nobody_is_let_in(self) -> None:
        """A lookup that is missing or empty is not a reason to trust."""
        for options_given in (GIVEN, {**GIVEN, KEY_LOOKUP: {}.get}, {KEY_LOOKUP: PUBLIC_KEYS.get}):
            with pytest.raises(AuthenticationError):
                receive(bearing(PUSH, token(CLAIMS)), replace(SOURCE, options=options_given), NOW)

    @given(st.text(alphabet="abcXYZ019-_.=", max_size=200))
    def test_any_token_ends_in_an_authentication_error(self, text: str) -> None:
        """Nothing else may come out before the caller is known."""
        with pytest.raises(AuthenticationError):
            receive(bearing(PUSH, text), SOURCE, NOW)

    def test_where_googles_keys_are_is_known(self) -> None:
        """And may be replaced by a file, for networks without a way out."""
        where = KINDS["artifact-registry"].jwks
        assert where is not None
        assert where(SOURCE) == "https://www.googleapis.com/oauth2/v3/certs"
        own = source("artifact-registry", options=options("artifact-registry", jwks="/etc/g.json"))
        assert where(own) == "/etc/g.json"


class TestMessage:
    def test_wrapped_and_unwrapped_say_the_same(self) -> None:
        """A subscription without wrapper posts the registry's message itself."""
        assert read(PUSH, SOURCE).mentions == (IMAGE,)
        bare = with_body(PUSH, event())
        assert read(bare, SOURCE).mentions == (IMAGE,)
        assert read(bare, SOURCE).delivery_id is None
        named = with_headers(bare, x_goog_pubsub_message_id="77")
        assert read(named, SOURCE).delivery_id == "77"

    def test_a_message_without_digest_is_about_the_tag(self) -> None:
        """Older samples have none."""
        body = wrapped(event(digest=MISSING))
        assert read(with_body(PUSH, body), SOURCE).mentions == (
            pushed("europe-docker.pkg.dev/acme/apps/web:stable"),
        )

    @pytest.mark.parametrize(
        "content",
        [
            event(action="DELETE"),
            event(tag=MISSING),
            "Hello Cloud Pub/Sub!",
            [1],
            {"kind": "storage#object"},
            "",
        ],
    )
    def test_everything_else_is_acknowledged_and_ignored(self, content: Any) -> None:
        """Pub/Sub repeats what is not acknowledged for a week."""
        statement = read(with_body(PUSH, wrapped(content)), SOURCE)
        assert statement.mentions == ()
        assert statement.ignored
        assert KINDS["artifact-registry"].punishes_errors

    @pytest.mark.parametrize("body", [b"Hello", b"\xff\x00", b"", b'{"action": "INSERT"', b"[1]"])
    def test_an_unwrapped_message_of_anything_is_no_unreadable_body(self, body: bytes) -> None:
        """Without wrapper any publisher's bytes are the body; 400 would bring them back for days.

        `web` answers 200 to every MalformedEventError of this kind but UnreadableBodyError.
        """
        with pytest.raises(MalformedEventError) as refused:
            read(with_body(PUSH, body), SOURCE)
        assert not isinstance(refused.value, UnreadableBodyError)

    def test_data_that_is_not_base64_is_ignored(self) -> None:
        """It is nothing of a registry's."""
        assert read(changed(PUSH, ("message.data", "%%%")), SOURCE).ignored

    @pytest.mark.parametrize(
        "change",
        [
            {"digest": "europe-docker.pkg.dev/acme/apps/web@sha256:6ec1..."},
            {"digest": "europe-docker.pkg.dev/acme/apps/web"},
            {"digest": D1},
            {"tag": "europe-docker.pkg.dev/acme/apps/web"},
            {"tag": f"europe-docker.pkg.dev/acme/apps/web:stable@{D1}"},
            {"tag": "stable"},
            {"tag": ["x"]},
        ],
    )
    def test_what_cannot_be_read_is_refused(self, change: dict[str, Any]) -> None:
        """Both fields are whole names."""
        with pytest.raises(MalformedEventError):
            read(with_body(PUSH, wrapped(event(**change))), SOURCE)

    def test_names_that_disagree_are_refused(self) -> None:
        """Tag and digest name the repository each, and the configured registry pins both."""
        other = event(digest=f"europe-docker.pkg.dev/acme/apps/api@{D2}")
        with pytest.raises(ContradictionError, match=r"tag.*digest"):
            read(with_body(PUSH, wrapped(other)), SOURCE)
        with pytest.raises(ContradictionError, match="tag"):
            read(PUSH, replace(SOURCE, registry="us-docker.pkg.dev"))

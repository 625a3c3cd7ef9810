import base64
import hashlib
import hmac
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.signatures import (
    MAX_SIGNATURES,
    SignedMessage,
    VerificationKey,
    generate_key_pair,
    generate_secret,
    parse_signing_key,
    parse_verification_key,
    sign,
    verify_hmac,
    verify_standard_webhook,
    verify_static,
    wire_bytes,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{"type": "deploy", "workload": "web"}'
FIVE_MINUTES = timedelta(minutes=5)
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"


@dataclass(frozen=True)
class Shared:
    id: str
    value: bytes = field(repr=False)


def counting(start: int = 0) -> Callable[[int], bytes]:
    """Randomness that a test can foresee: 0, 1, 2 and so on."""
    numbers = itertools.count(start)
    return lambda size: bytes(next(numbers) % 256 for _ in range(size))


HMAC_SECRET = generate_secret(counting(1))
OTHER_SECRET = generate_secret(counting(101))
PRIVATE, PUBLIC = generate_key_pair(counting(7))
HMAC_KEY = parse_verification_key("shared", HMAC_SECRET)
PUBLIC_KEY = parse_verification_key("ci", PUBLIC)


def headers(
    signature: str, *, identity: str = ID, timestamp: str = str(SECONDS), family: str = "webhook"
) -> dict[str, str]:
    """The three headers of a delivery."""
    return {
        f"{family}-id": identity,
        f"{family}-timestamp": timestamp,
        f"{family}-signature": signature,
    }


def signed_by(*texts: str, body: bytes = BODY, identity: str = ID, timestamp: int = SECONDS) -> str:
    """The signature header that a sender with these keys makes."""
    return sign(identity, timestamp, body, [parse_signing_key(text) for text in texts])


def verify(
    sent: dict[str, str],
    *keys: VerificationKey,
    body: bytes = BODY,
    now: datetime = NOW,
    tolerance: timedelta = FIVE_MINUTES,
) -> SignedMessage:
    """Verify against a clock that stands at NOW."""
    return verify_standard_webhook(sent, body, keys, now=now, tolerance=tolerance)


class TestKeys:
    def test_a_generated_secret_is_32_random_bytes_behind_whsec(self) -> None:
        """The specification wants 24 to 64 bytes; 32 is what HMAC-SHA256 makes full use of."""
        text = generate_secret(counting())
        assert text == "whsec_" + base64.b64encode(bytes(range(32))).decode()
        assert parse_verification_key("a", text).scheme == "v1"

    def test_a_generated_pair_signs_and_verifies(self) -> None:
        """A pair is worth nothing if its two halves do not belong together."""
        private, public = generate_key_pair(counting(42))
        key = parse_verification_key("ci", public)
        assert key.scheme == "v1a"
        assert verify(headers(signed_by(private)), key).key_id == "ci"

    def test_bare_base64_is_a_shared_secret(self) -> None:
        """The reference libraries accept secrets without the prefix, so people have them."""
        bare = parse_verification_key("a", HMAC_SECRET.removeprefix("whsec_"))
        assert bare.material == HMAC_KEY.material

    def test_missing_padding_is_accepted(self) -> None:
        """Some senders strip `=`; refusing their secret would look like a wrong secret."""
        assert parse_verification_key("a", PUBLIC.rstrip("=")) == parse_verification_key(
            "a", PUBLIC
        )

    def test_white_space_around_a_key_is_dropped(self) -> None:
        """Keys come from files that end in a line feed."""
        assert parse_verification_key("shared", f" {HMAC_SECRET}\n") == HMAC_KEY

    def test_a_private_key_in_the_place_of_a_public_one_is_refused_with_advice(self) -> None:
        """Whoever can deploy must not find the key for it in the receiver's configuration."""
        with pytest.raises(ValueError, match=r"private key .*whpk_") as caught:
            parse_verification_key("ci", PRIVATE)
        assert PRIVATE.removeprefix("whsk_")[:8] not in str(caught.value)

    def test_a_public_key_cannot_sign(self) -> None:
        """The mistake is easy to make and must not end in an error of the cryptography library."""
        with pytest.raises(ValueError, match="whsk_"):
            parse_signing_key(PUBLIC)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "whsec_",
            "whpk_",
            "whsec_====",
            "whsec_c2hvcnQ=",
            "whsec_correct horse battery staple",
            "whsec_grün-und-lang-genug-fuer-ein-geheimnis",
            "whpk_" + base64.b64encode(bytes(31)).decode(),
            "whpk_" + base64.b64encode(bytes(33)).decode(),
        ],
    )
    def test_unusable_keys_are_refused_without_being_quoted(self, text: str) -> None:
        """A wrong paste may still be a secret, and error texts are copied into chats."""
        with pytest.raises(ValueError, match=r"\w") as caught:
            parse_verification_key("a", text)
        content = text.partition("_")[2]
        assert not content.strip("=") or content not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__

    def test_a_private_key_whose_public_half_is_another_ones_is_refused(self) -> None:
        """It would sign, and no configured public key would ever verify it."""
        seed = base64.b64decode(PRIVATE.removeprefix("whsk_"))[:32]
        mixed = "whsk_" + base64.b64encode(seed + bytes(32)).decode()
        with pytest.raises(ValueError, match="64 bytes"):
            parse_signing_key(mixed)

    def test_a_bare_seed_signs(self) -> None:
        """Other tools export the 32-byte seed alone."""
        seed = base64.b64decode(PRIVATE.removeprefix("whsk_"))[:32]
        text = "whsk_" + base64.b64encode(seed).decode()
        assert verify(headers(signed_by(text)), PUBLIC_KEY).key_id == "ci"

    def test_key_material_is_in_no_repr(self) -> None:
        """Frozen values end up in logs and tracebacks."""
        shown = repr([HMAC_KEY, parse_signing_key(HMAC_SECRET), parse_signing_key(PRIVATE)])
        assert repr(HMAC_KEY.material) not in shown
        assert "material" not in shown

    @given(st.text())
    def test_parsing_a_key_raises_value_error_and_nothing_else(self, text: str) -> None:
        """The configuration turns ValueError into a problem with a path; anything else crashes."""
        for parse in (lambda t: parse_verification_key("a", t), parse_signing_key):
            with suppress(ValueError):
                parse(text)


class TestStandardWebhooks:
    @pytest.mark.parametrize(("secret", "key"), [(HMAC_SECRET, HMAC_KEY), (PRIVATE, PUBLIC_KEY)])
    def test_a_signed_delivery_verifies_and_says_when_and_by_whom(
        self, secret: str, key: VerificationKey
    ) -> None:
        """Replay defence and the record of every deployment rest on these three values."""
        assert verify(headers(signed_by(secret)), key) == SignedMessage(ID, NOW, key.id)

    def test_the_signature_is_hmac_sha256_over_id_time_and_body(self) -> None:
        """Computed here by hand, so that signing and verifying cannot be wrong together."""
        content = f"{ID}.{SECONDS}.".encode() + BODY
        mac = hmac.new(HMAC_KEY.material, content, hashlib.sha256).digest()
        by_hand = "v1," + base64.b64encode(mac).decode()
        assert signed_by(HMAC_SECRET) == by_hand
        verify(headers(by_hand), HMAC_KEY)

    @pytest.mark.parametrize(
        "change",
        [
            {"body": BODY + b" "},
            {"identity": ID + "x"},
            {"timestamp": SECONDS + 1},
        ],
    )
    def test_every_signed_part_is_covered(self, change: dict[str, object]) -> None:
        """A captured signature must not carry another body, id or time."""
        signature = signed_by(HMAC_SECRET, PRIVATE, **change)  # type: ignore[arg-type]
        with pytest.raises(AuthenticationError):
            verify(headers(signature), HMAC_KEY, PUBLIC_KEY)

    def test_several_signatures_and_several_keys_rotate(self) -> None:
        """During a rotation the sender signs with both keys and either end may be ahead."""
        both = headers(signed_by(HMAC_SECRET, OTHER_SECRET))
        other = parse_verification_key("other", OTHER_SECRET)
        assert verify(both, HMAC_KEY).key_id == "shared"
        assert verify(both, other).key_id == "other"
        assert verify(headers(signed_by(OTHER_SECRET)), HMAC_KEY, other).key_id == "other"

    @pytest.mark.parametrize(
        "noise",
        [
            "garbage",
            "v2,AAAA",
            "v1,",
            "v1,====",
            "v1,AAAA",
            "v1a,AAAA",
            ",",
            "",
            "v1,ä",
            "v1,\udcff",
        ],
    )
    def test_unknown_and_malformed_entries_are_passed_over(self, noise: str) -> None:
        """A reference library answers 500 here; a sender of tomorrow may add a scheme."""
        good = signed_by(HMAC_SECRET)
        assert verify(headers(f"{noise} {good}"), HMAC_KEY).key_id == "shared"
        assert verify(headers(f"{good} {noise}"), HMAC_KEY).key_id == "shared"
        with pytest.raises(AuthenticationError):
            verify(headers(noise or " "), HMAC_KEY)

    def test_a_key_of_one_scheme_never_verifies_the_other(self) -> None:
        """Else a public key, which is public, would serve as an HMAC secret."""
        public = base64.b64decode(PUBLIC.removeprefix("whpk_"))
        forged_key = parse_signing_key("whsec_" + base64.b64encode(public).decode())
        as_v1 = sign(ID, SECONDS, BODY, [forged_key])
        for forged in (as_v1, as_v1.replace("v1,", "v1a,")):
            with pytest.raises(AuthenticationError):
                verify(headers(forged), PUBLIC_KEY)
        relabelled = signed_by(PRIVATE).replace("v1a,", "v1,")
        with pytest.raises(AuthenticationError):
            verify(headers(relabelled), PUBLIC_KEY, HMAC_KEY)

    @pytest.mark.parametrize("offset", [-300, -299, 0, 299, 300])
    def test_a_time_within_the_tolerance_holds_early_or_late(self, offset: int) -> None:
        """Clocks differ in both directions; the limit itself is inside."""
        sent = headers(
            signed_by(HMAC_SECRET, timestamp=SECONDS + offset), timestamp=str(SECONDS + offset)
        )
        assert verify(sent, HMAC_KEY).signed_at == NOW + timedelta(seconds=offset)

    @pytest.mark.parametrize("offset", [-301, 301, 10**9])
    def test_a_time_outside_the_tolerance_does_not(self, offset: int) -> None:
        """A signature from the future would be a capture that stays valid for long."""
        sent = headers(
            signed_by(HMAC_SECRET, timestamp=SECONDS + offset), timestamp=str(SECONDS + offset)
        )
        with pytest.raises(AuthenticationError, match="clock"):
            verify(sent, HMAC_KEY)

    @pytest.mark.parametrize(
        "text",
        ["hello", "", "-1", "1e9", "nan", "1772366400.0", " 1772366400", "١٧٧٢٣٦٦٤٠٠", "9" * 5000],
    )
    def test_only_ascii_digits_are_a_time(self, text: str) -> None:
        """`float` reads nan, for which no comparison is ever true, and `int` other scripts."""
        with pytest.raises(AuthenticationError):
            verify(headers(signed_by(HMAC_SECRET), timestamp=text), HMAC_KEY)

    @pytest.mark.parametrize("missing", ["id", "timestamp", "signature"])
    def test_each_header_must_be_there(self, missing: str) -> None:
        """Without an id there is no deduplication, without a time no end to a capture."""
        sent = headers(signed_by(HMAC_SECRET))
        del sent[f"webhook-{missing}"]
        with pytest.raises(AuthenticationError, match=missing):
            verify(sent, HMAC_KEY)

    def test_svix_headers_are_the_same_scheme(self) -> None:
        """Svix is where the scheme comes from, and its senders use their own names."""
        sent = headers(signed_by(HMAC_SECRET), family="svix")
        assert verify(sent, HMAC_KEY).key_id == "shared"

    def test_the_two_header_families_are_not_mixed(self) -> None:
        """Which id was signed must not depend on who reads the request."""
        sent = headers(signed_by(HMAC_SECRET), family="svix")
        sent["webhook-id"] = "another"
        with pytest.raises(AuthenticationError):
            verify(sent, HMAC_KEY)

    def test_too_many_entries_are_refused_whole(self) -> None:
        """Each entry of an Ed25519 header costs a verification before anybody is authenticated."""
        good = signed_by(PRIVATE)
        full = " ".join(["v1a,AAAA"] * (MAX_SIGNATURES - 1) + [good])
        assert verify(headers(full), PUBLIC_KEY).key_id == "ci"
        with pytest.raises(AuthenticationError, match="entries"):
            verify(headers(f"{full} {good}"), PUBLIC_KEY)

    @pytest.mark.parametrize("identity", ["x" * 257, "with space", "line\nfeed", "ünïcode"])
    def test_an_id_is_short_and_printable(self, identity: str) -> None:
        """It is stored, shown and compared; a sender has no reason for more."""
        with pytest.raises(AuthenticationError):
            verify(headers(signed_by(HMAC_SECRET, identity=identity), identity=identity), HMAC_KEY)

    def test_no_key_and_an_empty_key_verify_nothing(self) -> None:
        """An empty HMAC key is one that everybody has."""
        empty = VerificationKey("empty", "v1", b"")
        mac = hmac.new(b"", f"{ID}.{SECONDS}.".encode() + BODY, hashlib.sha256).digest()
        sent = headers("v1," + base64.b64encode(mac).decode())
        for keys in ((), (empty,)):
            with pytest.raises(AuthenticationError):
                verify(sent, *keys)

    def test_the_error_does_not_say_what_would_match(self) -> None:
        """An error text that quotes the expected MAC is a signing service."""
        with pytest.raises(AuthenticationError) as caught:
            verify(headers("v1,AAAA"), HMAC_KEY)
        expected = signed_by(HMAC_SECRET).partition(",")[2]
        assert expected not in f"{caught.value} {caught.value.advice()}"

    @given(
        st.dictionaries(
            st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id"]),
            st.text(),
        ),
        st.binary(),
    )
    def test_any_headers_and_body_end_in_an_authentication_error(
        self, sent: dict[str, str], body: bytes
    ) -> None:
        """Everything here runs before anybody is authenticated; a 500 would be a way in."""
        with pytest.raises(AuthenticationError):
            verify(sent, HMAC_KEY, PUBLIC_KEY, body=body)

    @given(st.binary(), st.integers(min_value=0, max_value=10**11))
    def test_what_was_signed_verifies(self, body: bytes, seconds: int) -> None:
        """`send` and any receiver must agree for every body and time."""
        sent = headers(
            signed_by(HMAC_SECRET, PRIVATE, body=body, timestamp=seconds), timestamp=str(seconds)
        )
        now = datetime.fromtimestamp(seconds, UTC)
        assert verify(sent, HMAC_KEY, body=body, now=now).key_id == "shared"
        assert verify(sent, PUBLIC_KEY, body=body, now=now).key_id == "ci"


SECRETS = [Shared("2026", b"new secret"), Shared("old", b"old secret")]


def mac(secret: bytes, body: bytes = BODY, algorithm: str = "sha256") -> str:
    """The hex MAC that a sender makes."""
    return hmac.new(secret, body, algorithm).hexdigest()


class TestHmac:
    @pytest.mark.parametrize(
        ("secret", "identity"), [(b"new secret", "2026"), (b"old secret", "old")]
    )
    def test_the_secret_that_matched_is_named(self, secret: bytes, identity: str) -> None:
        """An operator ends a rotation when the old id is not seen any more."""
        assert verify_hmac(f"sha256={mac(secret)}", BODY, SECRETS) == identity

    def test_prefixed_and_bare_and_upper_case_hex_are_the_same_mac(self) -> None:
        """GitHub prefixes, Gitea does not, and hex has no case."""
        bare = mac(b"new secret")
        for presented in (bare, f"sha256={bare}", bare.upper()):
            assert verify_hmac(presented, BODY, SECRETS) == "2026"

    def test_base64_is_read_where_it_is_configured_and_only_there(self) -> None:
        """The encoding is the sender's, so it is configured and not guessed."""
        encoded = base64.b64encode(bytes.fromhex(mac(b"new secret"))).decode()
        assert verify_hmac(encoded, BODY, SECRETS, encoding="base64") == "2026"
        with pytest.raises(AuthenticationError):
            verify_hmac(encoded, BODY, SECRETS)

    def test_one_of_several_comma_separated_macs_is_enough(self) -> None:
        """Senders that rotate put both into one header."""
        good = mac(b"old secret")
        assert verify_hmac(f"sha256={'0' * 64}, sha256={good}", BODY, SECRETS) == "old"

    def test_the_algorithm_is_the_configured_one(self) -> None:
        """Else whoever sends a request chooses the weakest."""
        sha1 = mac(b"new secret", algorithm="sha1")
        for presented in (sha1, f"sha1={sha1}"):
            with pytest.raises(AuthenticationError):
                verify_hmac(presented, BODY, SECRETS)
        assert verify_hmac(f"sha1={sha1}", BODY, SECRETS, algorithm="sha1") == "2026"

    @pytest.mark.parametrize(
        "presented",
        [None, "", "sha256=", "sha256", "=", ",", "sha256=yo", "sha256=…", "a" * 63, "ä" * 64],
    )
    def test_anything_else_is_an_authentication_error(self, presented: str | None) -> None:
        """With an empty secret, Gitea sends `sha256=`; comparing text with `…` in it raises."""
        with pytest.raises(AuthenticationError):
            verify_hmac(presented, BODY, SECRETS)

    def test_an_empty_secret_matches_nothing(self) -> None:
        """Everybody can compute the MAC of an empty secret."""
        with pytest.raises(AuthenticationError):
            verify_hmac(mac(b""), BODY, [Shared("empty", b"")])

    def test_the_body_is_compared_as_bytes(self) -> None:
        """A body that is decoded and encoded again is another body."""
        body = b'{"a":"\xc3\xa4"}\r\n'
        assert verify_hmac(mac(b"new secret", body), body, SECRETS) == "2026"
        with pytest.raises(AuthenticationError):
            verify_hmac(mac(b"new secret", body), body.rstrip(), SECRETS)

    def test_a_header_of_very_many_macs_is_refused(self) -> None:
        """Nobody is authenticated yet."""
        with pytest.raises(AuthenticationError, match="more than"):
            verify_hmac(",".join([mac(b"new secret")] * 17), BODY, SECRETS)

    @given(st.text(), st.binary())
    def test_any_header_ends_in_an_authentication_error(self, presented: str, body: bytes) -> None:
        """No header that was not computed with the secret may get further."""
        for encoding in ("hex", "base64"):
            with pytest.raises(AuthenticationError):
                verify_hmac(presented, body, SECRETS, encoding=encoding)


class TestStaticSecrets:
    def test_the_secret_that_matched_is_named(self) -> None:
        """As for HMAC: rotation ends when the old id is not seen any more."""
        assert verify_static([b"nonsense", b"old secret"], SECRETS) == "old"

    @pytest.mark.parametrize("presented", [[], [b""], [b"new secre"], [b"new secret "]])
    def test_a_part_of_a_secret_is_none(self, presented: list[bytes]) -> None:
        """Equality, not a prefix."""
        with pytest.raises(AuthenticationError):
            verify_static(presented, SECRETS)

    def test_an_empty_secret_matches_nothing(self) -> None:
        """Not even an empty header."""
        with pytest.raises(AuthenticationError):
            verify_static([b""], [Shared("empty", b"")])

    @pytest.mark.parametrize("text", ["plain", "gr\xfcn", "grün…", "\udcff"])
    def test_any_header_text_has_bytes(self, text: str) -> None:
        """Comparing text that is not ASCII raises TypeError, so bytes are compared."""
        assert isinstance(wire_bytes(text), bytes)

    def test_a_utf8_secret_is_recognised_behind_wsgi(self) -> None:
        """WSGI hands over the header's UTF-8 bytes decoded as Latin-1."""
        secret = "grün".encode()
        assert verify_static([wire_bytes(secret.decode("latin-1"))], [Shared("a", secret)]) == "a"

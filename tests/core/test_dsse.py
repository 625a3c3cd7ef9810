import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.receipts import KEY, OTHER_KEY
from webhook_launcher.core.dsse import (
    EnvelopeError,
    claimed,
    pae,
    parse_private_key,
    parse_public_key,
    seal,
    unseal,
)

TYPE = "application/vnd.in-toto+json"
BODY = b'{"_type":"x"}'
KEYS = {KEY.public.id: KEY.public}
SEALED = seal(TYPE, BODY, KEY)


def refused(envelope: bytes, kind: str = TYPE) -> str:
    """Why an envelope is not accepted."""
    with pytest.raises(EnvelopeError) as caught:
        unseal(envelope, kind, KEYS)
    return str(caught.value)


def with_changes(**changes: object) -> bytes:
    """The envelope with parts of it replaced, written as the launcher would."""
    return json.dumps({**json.loads(SEALED), **changes}, separators=(",", ":")).encode()


class TestEnvelope:
    def test_what_is_signed_is_the_specifications_example(self) -> None:
        """Any other encoding could be read by nobody else (DSSE protocol, "Test Vectors")."""
        encoded = pae("http://example.com/HelloWorld", b"hello world")
        assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"

    def test_lengths_are_those_of_bytes(self) -> None:
        """With characters counted, type and payload could trade bytes under one signature."""
        assert pae("ü", "ü".encode()) == "DSSEv1 2 ü 2 ü".encode()

    @given(st.binary())
    def test_any_payload_comes_back_with_the_key_that_signed_it(self, payload: bytes) -> None:
        """Including what is no text: the envelope knows nothing of its content."""
        envelope = seal(TYPE, payload, KEY)
        assert unseal(envelope, TYPE, KEYS) == (KEY.public.id, payload)
        assert claimed(envelope) == payload
        assert b"\n" not in envelope

    def test_a_signature_for_one_type_is_none_for_another(self) -> None:
        """CVE-2022-35929 in cosign: a statement of one kind passed for another."""
        assert refused(SEALED, "application/json") == "its payload is not application/json"
        assert "not over this content" in refused(
            with_changes(payloadType="application/json"), "application/json"
        )

    def test_a_key_that_is_not_known_is_named_and_not_tried(self) -> None:
        """So that one sees whether it was a rotation."""
        assert OTHER_KEY.public.id in refused(seal(TYPE, BODY, OTHER_KEY))

    def test_a_signature_of_another_key_under_our_name_is_refused(self) -> None:
        """The key id is not signed: it selects, it proves nothing."""
        theirs = json.loads(seal(TYPE, BODY, OTHER_KEY))["signatures"][0]["sig"]
        forged = with_changes(signatures=[{"keyid": KEY.public.id, "sig": theirs}])
        assert "not over this content" in refused(forged)

    def test_another_payload_under_the_signature_is_refused(self) -> None:
        """What a signature is for."""
        other = base64.b64encode(b'{"_type":"y"}').decode()
        assert "not over this content" in refused(with_changes(payload=other))

    @pytest.mark.parametrize(
        "envelope",
        [
            b"",
            b"{}",
            b"null",
            b"not json",
            b"\xff",
            b"[" * 100,
            SEALED[:-1],
            SEALED + b"x",
            with_changes(signatures=[]),
            with_changes(signatures=json.loads(SEALED)["signatures"] * 2),
            with_changes(signatures={}),
            with_changes(signatures=[{"keyid": KEY.public.id}]),
            with_changes(payload=7),
            with_changes(payload="not base64!"),
            with_changes(payload="ü"),
            SEALED.replace(b'"payload"', b'"payload":"","payload"', 1),
        ],
    )
    def test_what_is_no_envelope_with_one_signature_is_refused(self, envelope: bytes) -> None:
        """Two signatures, or two payloads under one name, could be read in two ways."""
        assert "no envelope" in refused(envelope)

    @pytest.mark.parametrize(
        "envelope",
        [
            SEALED + b" ",
            SEALED.replace(b":", b": ", 1),
            SEALED.replace(b"application", b"\\u0061pplication"),
            with_changes(more="x"),
            with_changes(
                signatures=[{**json.loads(SEALED)["signatures"][0], "sig2": "not signed"}]
            ),
            json.dumps(json.loads(SEALED), separators=(",", ":"), sort_keys=True).encode(),
            SEALED.replace(b'ifQ=="', b'ifR=="'),
        ],
    )
    def test_another_spelling_of_a_good_envelope_is_refused(self, envelope: bytes) -> None:
        """Nobody signs these bytes, and the last envelope of a chain is hashed by no other."""
        assert envelope != SEALED
        assert "not as the launcher writes it" in refused(envelope)


class TestKeys:
    def test_a_key_is_read_as_it_was_written(self) -> None:
        """It is written once and read at every start."""
        assert parse_private_key(KEY.pem).public.id == KEY.public.id
        assert parse_public_key(KEY.public.pem).id == KEY.public.id

    def test_the_same_key_is_equal_wherever_it_was_read(self) -> None:
        """A reload must not say that it changed when it was only read again."""
        assert parse_private_key(KEY.pem) == KEY != OTHER_KEY
        assert len({parse_private_key(KEY.pem), KEY, OTHER_KEY}) == 2

    def test_no_repr_shows_a_private_key(self) -> None:
        """One traceback with locals would be enough."""
        secret = base64.b64decode(KEY.pem.splitlines()[1])[-32:]
        for shown in (repr(KEY), str(KEY)):
            assert secret.hex() not in shown
            assert repr(secret) not in shown
            assert KEY.pem.splitlines()[1].decode() not in shown

    def test_openssl_makes_reads_and_names_the_same_keys(self, tmp_path: Path) -> None:
        """An operator makes, compares and identifies them with what every host has."""
        private, public = tmp_path / "key", tmp_path / "pub"
        openssl("genpkey", "-algorithm", "ed25519", "-out", str(private))
        key = parse_private_key(private.read_bytes())
        public.write_bytes(key.public.pem)
        assert openssl("pkey", "-in", str(private), "-pubout") == key.public.pem
        private.write_bytes(key.pem)
        assert openssl("pkey", "-in", str(private), "-pubout") == key.public.pem
        der = openssl("pkey", "-pubin", "-in", str(public), "-outform", "DER")
        (tmp_path / "der").write_bytes(der)
        assert key.public.id.encode() in openssl("dgst", "-sha256", str(tmp_path / "der"))

    def test_openssl_verifies_the_signature_over_the_encoding(self, tmp_path: Path) -> None:
        """The receipts can be checked without a line of our code."""
        signature = base64.b64decode(json.loads(SEALED)["signatures"][0]["sig"])
        for name, content in (("pub", KEY.public.pem), ("sig", signature)):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "signed").write_bytes(pae(TYPE, BODY))
        verify = ["pkeyutl", "-verify", "-pubin", "-inkey", str(tmp_path / "pub"), "-rawin"]
        verify += ["-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "sig")]
        assert b"Verified Successfully" in openssl(*verify)
        (tmp_path / "signed").write_bytes(pae(TYPE, BODY + b" "))
        with pytest.raises(subprocess.CalledProcessError):
            openssl(*verify)

    # The ids are fixed: a key made at import would name the test anew in each process.
    @pytest.mark.parametrize(
        "pem",
        [b"", b"garbage", KEY.public.pem, KEY.pem[:-40], b"\x00" * 99],
        ids=["empty", "garbage", "public", "cut", "zeros"],
    )
    def test_what_is_no_private_key_is_refused_with_how_to_make_one(self, pem: bytes) -> None:
        """And nothing of it is quoted: it may be somebody's key nevertheless."""
        with pytest.raises(ValueError, match="is not a private key in PEM; make one with") as error:
            parse_private_key(pem)
        assert error.value.__cause__ is None

    def test_a_key_of_another_kind_or_under_a_passphrase_is_refused(self) -> None:
        """Said at start, not when the first deployment ends."""
        curve = ec.generate_private_key(ec.SECP256R1())
        pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(ValueError, match="is not an Ed25519 key"):
            parse_private_key(pem)
        locked = load_pem_private_key(KEY.pem, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
        )
        with pytest.raises(ValueError, match="is encrypted"):
            parse_private_key(locked)

    def test_what_is_no_public_key_is_refused(self) -> None:
        """A private key is not taken either: nobody should carry it to where one verifies."""
        with pytest.raises(ValueError, match="is not a public key in PEM"):
            parse_public_key(KEY.pem)
        curve = subprocess.run(
            ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"],
            capture_output=True,
            check=True,
        ).stdout
        public = subprocess.run(
            ["openssl", "ec", "-pubout"],
            input=curve,
            capture_output=True,
            check=True,
        ).stdout
        with pytest.raises(ValueError, match="is not an Ed25519 key"):
            parse_public_key(public)


def openssl(*arguments: str) -> bytes:
    """What it prints on standard output."""
    done = subprocess.run(
        ["openssl", *arguments],
        capture_output=True,
        check=True,
    )
    return done.stdout

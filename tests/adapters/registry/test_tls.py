"""TLS: certificates are verified, and a failure says what to do.

0.0.0.0 is this machine for a client on Linux, and is not in 127.0.0.0/8: so TLS is spoken to it.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.adapters.registry.conftest import QUICK, Clock
from tests.adapters.registry.fake import Auth, FakeRegistry, manifest
from webhook_launcher.adapters.registry import RegistryClient, RegistrySettings
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.model import Platform

STABLE = "acme/web:stable"


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate: the server's side, and the side that trusts it."""

    server: ssl.SSLContext
    trust: ssl.SSLContext


def make_pair(directory: Path, address: str, days: int = 1) -> Pair:
    """For an IP address; with negative `days` it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake registry")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = directory / "server.pem"
    file.write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return Pair(server, ssl.create_default_context(cadata=pem.decode()))


def client_of(clock: Clock, trust: ssl.SSLContext | None) -> RegistryClient:
    """A client that trusts these authorities, or the system's."""
    return RegistryClient(
        {}, lambda _: None, now=clock.now, sleep=clock.sleep, timeouts=QUICK, trust=trust
    )


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A good certificate for the address that the fake has here."""
    return make_pair(tmp_path, "0.0.0.0")  # noqa: S104 - an address to connect to


@pytest.fixture
def tls_registry(pair: Pair) -> Iterator[FakeRegistry]:
    """A fake registry with TLS and one image."""
    fake = FakeRegistry(pair.server, "0.0.0.0")  # noqa: S104 - see the module's docstring
    fake.put(STABLE, manifest())
    yield fake
    fake.close()


def test_trusted_certificate_is_accepted(
    tls_registry: FakeRegistry, pair: Pair, clock: Clock
) -> None:
    """The whole look, token and keep-alive included, over TLS."""
    tls_registry.auth = Auth(anonymous=True)
    client = client_of(clock, pair.trust)
    for _ in range(2):
        client.image(tls_registry.reference(STABLE), Platform("linux", "amd64"))
    client.close()
    assert tls_registry.connections == 1


def test_certificate_of_nobody_known_is_refused(tls_registry: FakeRegistry, clock: Clock) -> None:
    """Whoever sits between must not get a token; Watchtower's look skipped this check."""
    client = client_of(clock, None)
    with pytest.raises(RegistryUnavailableError, match=r"certificate.*not trusted") as caught:
        client.head(tls_registry.reference(STABLE))
    client.close()
    assert "certificate store" in caught.value.advice()
    assert tls_registry.seen == []


@pytest.mark.parametrize(("address", "days"), [("127.0.0.1", 1), ("0.0.0.0", -1)])  # noqa: S104
def test_certificate_for_another_name_or_time_is_refused(
    tmp_path: Path, clock: Clock, address: str, days: int
) -> None:
    """A trusted authority is not enough: the name and the dates count."""
    pair = make_pair(tmp_path, address, days)
    fake = FakeRegistry(pair.server, "0.0.0.0")  # noqa: S104
    client = client_of(clock, pair.trust)
    with pytest.raises(RegistryUnavailableError, match="certificate"):
        client.head(fake.reference(STABLE))
    client.close()
    fake.close()


def test_plain_http_where_tls_is_expected_says_how_to_allow_it(clock: Clock) -> None:
    """The commonest beginning with an own registry: it has no TLS yet and is on another machine."""
    fake = FakeRegistry(None, "0.0.0.0")  # noqa: S104
    client = client_of(clock, None)
    with pytest.raises(RegistryUnavailableError, match="TLS") as caught:
        client.head(fake.reference(STABLE))
    client.close()
    fake.close()
    assert "insecure: true" in caught.value.advice()
    assert fake.host in caught.value.advice()


def test_insecure_is_plain_http_as_the_operator_said(clock: Clock) -> None:
    """`insecure: true` is for exactly that registry."""
    fake = FakeRegistry(None, "0.0.0.0")  # noqa: S104
    digest = fake.put(STABLE, manifest())
    client = RegistryClient(
        {fake.host: RegistrySettings(fake.host, insecure=True)},
        lambda _: None,
        now=clock.now,
        sleep=clock.sleep,
    )
    assert client.head(fake.reference(STABLE)) == digest
    client.close()
    fake.close()

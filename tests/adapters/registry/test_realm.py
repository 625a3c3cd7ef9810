"""Which token server may have which registry's credentials: the documentation's table."""

import pytest

from webhook_launcher.adapters.registry.realm import checked_realm
from webhook_launcher.adapters.registry.settings import RegistrySettings
from webhook_launcher.core.errors import RegistryDeniedError


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("docker.io", "https://auth.docker.io/token"),
        ("ghcr.io", "https://ghcr.io/token"),
        ("quay.io", "https://quay.io/v2/auth"),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("registry.example.com", "https://gitlab.example.com/jwt/auth"),
        ("registry.example.com:5050", "https://registry.example.com/jwt/auth"),
        ("us-docker.pkg.dev", "https://us-docker.pkg.dev/v2/token?a=b"),
        ("acme.azurecr.io", "https://acme.azurecr.io/oauth2/token"),
        ("registry.digitalocean.com", "https://api.digitalocean.com/v2/registry/auth"),
        ("10.0.0.5:5000", "https://10.0.0.5:5001/auth"),
        ("[2001:db8::1]:5000", "https://[2001:db8::1]/auth"),
        ("127.0.0.1:5000", "http://127.0.0.1:5001/auth"),
        ("127.0.0.1:5000", "http://localhost:5001/auth"),
        ("localhost:5000", "http://[::1]:5001/auth"),
    ],
)
def test_realm_of_the_registry_is_accepted(registry: str, realm: str) -> None:
    """These are how the common registries are set up: refusing one would break a normal user."""
    assert checked_realm(realm, RegistrySettings(registry)) == realm


def test_host_is_compared_without_case() -> None:
    """RFC 3986: a host has no case, the path does."""
    realm = checked_realm("https://AUTH.Docker.IO/Token", RegistrySettings("docker.io"))
    assert realm == "https://auth.docker.io/Token"


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("ghcr.io", "https://evil.example/token"),
        ("ghcr.io", "https://other.io/token"),  # a parent of one label is no parent
        ("ghcr.io", "https://ghcr.io.evil.example/token"),
        ("docker.io", "https://evildocker.io/token"),
        ("docker.io", "https://docker.io.evil.example/"),
        ("registry.example.com", "https://evil-example.com/"),
        ("registry.co.uk", "https://evil.co.uk/token"),  # what looks like a public suffix
        ("registry.com.au", "https://evil.com.au/token"),
        ("10.0.0.5:5000", "https://11.0.0.5/token"),  # addresses have no parent domains
        ("10.0.0.5:5000", "https://x.0.0.5/token"),
        ("registry.example.com", "https://127.0.0.1/token"),
        ("127.0.0.1:5000", "https://auth.example.com/token"),
    ],
)
def test_realm_elsewhere_is_refused(registry: str, realm: str) -> None:
    """The challenge is text from the network; it may not send a password, or us, anywhere."""
    with pytest.raises(RegistryDeniedError, match="not a part of it"):
        checked_realm(realm, RegistrySettings(registry))


@pytest.mark.parametrize("registry", ["ghcr.io", "docker.io", "10.0.0.5:5000"])
def test_plain_http_realm_of_a_tls_registry_is_refused(registry: str) -> None:
    """It would send the password in clear, against what the registry's TLS promises."""
    realm = "http://auth.docker.io/token" if registry == "docker.io" else f"http://{registry}/token"
    with pytest.raises(RegistryDeniedError, match="plain HTTP"):
        checked_realm(realm, RegistrySettings(registry))


def test_plain_http_realm_is_allowed_where_the_operator_allowed_plain_http() -> None:
    """`insecure: true` covers the registry's own token server, and still no other."""
    settings = RegistrySettings("10.0.0.5:5000", insecure=True)
    checked_realm("http://10.0.0.5:5001/token", settings)
    with pytest.raises(RegistryDeniedError):
        checked_realm("http://10.0.0.6/token", settings)


def test_operator_may_name_one_other_host() -> None:
    """lscr.io is served by GHCR: nobody can know that but the operator; TLS stays a must."""
    settings = RegistrySettings("lscr.io", token_realm_host="GHCR.io")
    checked_realm("https://ghcr.io/token", settings)
    checked_realm("https://lscr.io/token", settings)
    for realm in ("https://sub.ghcr.io/token", "https://ghcr.io.evil/", "http://ghcr.io/token"):
        with pytest.raises(RegistryDeniedError):
            checked_realm(realm, settings)


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "token",
        "//auth.docker.io/token",
        "ftp://auth.docker.io/token",
        "file:///etc/passwd",
        "https://",
        "https:///token",
        "https://auth.docker.io@evil.example/",
        "https://user:password@auth.docker.io/token",
        "https://evil.example\\@auth.docker.io/",
        "https://auth.docker.io\\.evil.example/",
        "https://auth.docker.io#@evil.example/",
        "https://auth.docker.io/token#fragment",
        "https://auth.docker.io /token",
        "https://auth.docker.io/token\r\nX: y",
        "https://auth.docker.io/token\n",
        "https://auth.docker.io:99999/",
        "https://auth.docker.io:/",
        "https://auth..docker.io/",
        "https://-auth.docker.io/",
        f"https://{'a' * 64}.docker.io/",
        "https://auth.docker.i\u043e/token",
        "https://[::1/",
        "https://auth.docker.io/" + "a" * 5000,
    ],
    ids=lambda realm: ascii(realm[:45]),
)
def test_realm_that_two_parsers_could_read_differently_is_refused(realm: str) -> None:
    """A check on one reading and a request by another is how such checks are got around."""
    with pytest.raises(RegistryDeniedError) as caught:
        checked_realm(realm, RegistrySettings("docker.io"))
    assert "evil" not in str(caught.value)

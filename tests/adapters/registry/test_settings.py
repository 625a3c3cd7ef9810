"""Where a registry is spoken to, and how."""

import pytest

from webhook_launcher.adapters.registry import Credential, RegistrySettings


@pytest.mark.parametrize(
    ("host", "insecure", "base"),
    [
        ("docker.io", False, "https://registry-1.docker.io"),
        ("ghcr.io", False, "https://ghcr.io"),
        ("registry.example.com:5050", False, "https://registry.example.com:5050"),
        ("registry.example.com:5050", True, "http://registry.example.com:5050"),
        ("10.0.0.5:5000", False, "https://10.0.0.5:5000"),
        ("0.0.0.0:5000", False, "https://0.0.0.0:5000"),
        ("127.0.0.1:5000", False, "http://127.0.0.1:5000"),
        ("127.8.9.10", False, "http://127.8.9.10"),
        ("localhost:5000", False, "http://localhost:5000"),
        ("[::1]:5000", False, "http://[::1]:5000"),
        ("[2001:db8::1]:5000", False, "https://[2001:db8::1]:5000"),
        ("localhost.example.com", False, "https://localhost.example.com"),
        ("127.0.0.1.example.com", False, "https://127.0.0.1.example.com"),
        ("127.1:5000", False, "https://127.1:5000"),
    ],
)
def test_tls_unless_loopback_or_allowed(host: str, insecure: bool, base: str) -> None:
    """What leaves the machine is encrypted; a name that only looks like loopback leaves it."""
    assert RegistrySettings(host, insecure=insecure).base == base


def test_credential_needs_both_parts() -> None:
    """Half a credential is none; the configuration reports it, nothing is sent for it."""
    assert RegistrySettings("ghcr.io", username="u").credential is None
    assert RegistrySettings("ghcr.io", password="p").credential is None
    assert RegistrySettings("ghcr.io", username="u", password="p").credential == Credential(
        "u", "p"
    )


def test_password_is_not_in_the_repr() -> None:
    """Settings are printed by `check` and in tracebacks."""
    assert "s3cret" not in repr(RegistrySettings("ghcr.io", username="u", password="s3cret"))

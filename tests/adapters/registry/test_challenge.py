"""`WWW-Authenticate` is text from the network: every registry writes it a little differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.adapters.registry.challenge import Challenge, parse_challenges

REALM = "https://auth.docker.io/token"
HUB = {"realm": REALM, "service": "registry.docker.io"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f'Bearer realm="{REALM}",service="registry.docker.io"', [("bearer", HUB)]),
        (f'bearer  Realm = "{REALM}" , SERVICE=registry.docker.io', [("bearer", HUB)]),
        ("Basic", [("basic", {})]),
        ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
        (
            'Bearer realm="r",scope="repository:a:pull,push",error="x"',
            [("bearer", {"realm": "r", "scope": "repository:a:pull,push", "error": "x"})],
        ),
        (
            'Basic realm="a", Bearer realm="b"',
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})],
        ),
        (r'Bearer realm="a\"b\\c"', [("bearer", {"realm": 'a"b\\c'})]),
        ('Bearer realm="a, Basic realm=b"', [("bearer", {"realm": "a, Basic realm=b"})]),
        ('Bearer realm="never closed', [("bearer", {"realm": "never closed"})]),
        ('Bearer realm="",service=', [("bearer", {"realm": "", "service": ""})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('realm="no scheme"', []),
        ("", []),
        (", ,;", []),
    ],
)
def test_challenges_are_read_as_written(
    header: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    """A comma inside quotes split by a naive parser loses the scope, or invents a challenge."""
    assert parse_challenges(header) == tuple(Challenge(*one) for one in expected)


def test_case_of_values_is_kept() -> None:
    """Watchtower lower-cased the whole header: a realm with capitals in its path answered 404."""
    [challenge] = parse_challenges('BEARER REALM="https://Host/Service/Token"')
    assert challenge == Challenge("bearer", {"realm": "https://Host/Service/Token"})


@given(st.text(max_size=200) | st.text(alphabet='Bearer ="\\,\t', max_size=2000))
def test_any_header_is_read_without_an_error(header: str) -> None:
    """It comes from the network before anything is proven: no exception, no endless matching."""
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


def test_hostile_header_is_read_in_linear_time() -> None:
    """64 KiB is what the HTTP library lets through; a quadratic pattern would hang a worker."""
    for piece in ('"', "\\", 'a="', 'a="\\', "a=", "a ", ", ", 'a="b",'):
        parse_challenges("Bearer " + piece * (65536 // len(piece)))

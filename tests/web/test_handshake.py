"""`OPTIONS /hooks/...`: a sender of CloudEvents asks whether it may send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import HEADER_SECRET, URL_TOKEN, Edge, edge_in

ORIGIN = "eventgrid.azure.net"
GRANT = "WebHook-Allowed-Origin"


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Three sources: a header, a token of the URL, and a kind that nobody asks about."""
    directory: Path = tmp_path_factory.mktemp("azure")
    sources = {
        "azure": {"kind": "acr", "secret": HEADER_SECRET},
        "by-url": {"kind": "acr", "token": URL_TOKEN},
        "hub": {"kind": "dockerhub", "token": URL_TOKEN},
    }
    with edge_in(directory, sources=sources) as edge:
        yield edge


@pytest.mark.parametrize("path", ["azure", f"azure/{URL_TOKEN}", f"by-url/{URL_TOKEN}"])
@pytest.mark.parametrize("origin", [ORIGIN, ORIGIN.upper(), "eventgrid.azure.us"])
def test_event_grid_may_send_to_its_source(azure: Edge, path: str, origin: str) -> None:
    """Without this answer the subscription is never made; it carries no credential of ours."""
    headers = {"WebHook-Request-Origin": origin, "WebHook-Request-Rate": "120"}
    answer = azure.http.options(f"/hooks/{path}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers[GRANT] == origin.lower()
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert "POST" in answer.headers["Allow"]
    assert answer.data == b""


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("azure", "evil.example.com"),
        ("azure", f"{ORIGIN}.example.com"),
        ("azure", "*"),
        ("azure", ""),
        (f"hub/{URL_TOKEN}", ORIGIN),
        ("nobody", ORIGIN),
        ("by-url", ORIGIN),
        ("by-url/another-token", ORIGIN),
    ],
)
def test_nobody_else_is_told_that_he_may(azure: Edge, path: str, origin: str) -> None:
    """Or anybody could point Azure's events at us; a wrong token shows at once, not at a push."""
    answer = azure.http.options(f"/hooks/{path}", headers={"WebHook-Request-Origin": origin})
    assert (answer.status_code, answer.headers.get(GRANT)) == (200, None)
    assert "WebHook-Allowed-Rate" not in answer.headers


def test_permission_is_no_authentication(azure: Edge) -> None:
    """Who was allowed to send still has to prove every delivery."""
    azure.http.options("/hooks/azure", headers={"WebHook-Request-Origin": ORIGIN})
    answer = azure.http.post("/hooks/azure", json=[], headers={"WebHook-Request-Origin": ORIGIN})
    assert answer.status_code == 401

"""`/healthz` and `/readyz`: what a container's healthcheck and a load balancer go by."""

from pathlib import Path

import pytest

from tests.builders import edge_in, told
from webhook_launcher.core.errors import EngineUnavailableError


def test_the_process_is_healthy_while_it_answers(tmp_path: Path) -> None:
    """Not when the engine is down: restarting the launcher would not bring the engine back."""
    with edge_in(tmp_path, checks={"engine": lambda: "down"}) as edge:
        assert edge.http.get("/healthz").status_code == 200


def test_ready_when_every_check_holds(tmp_path: Path) -> None:
    """Journal, workers and engine."""
    with edge_in(tmp_path, checks={"engine": lambda: None, "journal": lambda: None}) as edge:
        answer = edge.http.get("/readyz")
        assert (answer.status_code, told(answer)) == (200, {"status": "ready"})


def test_not_ready_says_what_is_missing(tmp_path: Path) -> None:
    """A problem document with the reasons, for people and for programs."""
    checks = {"engine": lambda: "no answer on the socket", "journal": lambda: None}
    with edge_in(tmp_path, checks=checks) as edge:
        answer = edge.http.get("/readyz")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.headers["Retry-After"]
    body = told(answer)
    assert (body["code"], body["reasons"]) == ("not-ready", {"engine": "no answer on the socket"})
    assert body["detail"] == "engine: no answer on the socket"
    assert body["title"]
    assert body["advice"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_use_head(tmp_path: Path, path: str) -> None:
    """Load balancers do."""
    with edge_in(tmp_path) as edge:
        assert edge.http.head(path).status_code == 200


def test_a_check_that_raises_is_a_fault_and_not_ready(tmp_path: Path) -> None:
    """Whatever happens in a check, the answer is no 200."""

    def broken() -> str | None:
        raise EngineUnavailableError("no socket")

    with edge_in(tmp_path, checks={"engine": broken}) as edge:
        assert edge.http.get("/readyz").status_code == 503

"""`/metrics` of a whole service that was told and has done something."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.words import accept, attempt, look
from tests.builders import CONFIGURATION, settings_in
from tests.receipts import KEY
from webhook_launcher.app import Service, build
from webhook_launcher.core.model import Status


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Wired, not started."""
    made = build(settings_in(tmp_path, receipts={"key": KEY.pem.decode()}))
    yield made
    made.journal.close()


def test_shows_what_the_journal_and_the_loops_are_at(service: Service) -> None:
    """Numbers to alert on, in the format that Prometheus reads."""
    accept(service.journal, "one", look("web"))
    accept(service.journal, "two", ignored="nothing to do")
    ended = replace(attempt(), timings={"pull": 0.5, "up": 1.25})
    service.journal.deployments.begin(ended)
    service.journal.deployments.succeed(replace(ended, status=Status.SUCCESS))
    answer = service.app.test_client().get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    for line in (
        'webhook_launcher_intents{status="queued"} 1',
        'webhook_launcher_intents{status="in_progress"} 0',
        'webhook_launcher_deliveries{source="hub",outcome="accepted"} 1',
        'webhook_launcher_deliveries{source="hub",outcome="ignored"} 1',
        'webhook_launcher_deployments{workload="web",status="success"} 1',
        'webhook_launcher_last_deployment_seconds{workload="web",step="up"} 1.25',
        'webhook_launcher_loop_alive{loop="worker-0"} 0',
        "webhook_launcher_journal_moved_aside 0",
    ):
        assert line in lines
    for line in lines:
        name = line.removeprefix("# HELP ").removeprefix("# TYPE ")
        assert name.startswith("webhook_launcher_")


def test_shows_no_secret(service: Service) -> None:
    """It is open to everybody who reaches the port."""
    text = service.app.test_client().get("/metrics").text
    assert CONFIGURATION["admin"]["token"] not in text

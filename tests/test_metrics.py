"""`/metrics` of a whole service that was told and has done something."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.words import NOW, STABLE, A, accept, attempt, later, look
from tests.builders import CONFIGURATION, URL_TOKEN, settings_in
from tests.receipts import KEY
from webhook_launcher.app import Service, build
from webhook_launcher.core.model import Status
from webhook_launcher.core.reference import parse_reference


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


def shown(service: Service, name: str) -> dict[str, str]:
    """The values of a metric by its labels, as they are written."""
    lines = service.app.test_client().get("/metrics").text.splitlines()
    start = f"webhook_launcher_{name}{{"
    return dict(line.removeprefix(start).split("} ") for line in lines if line.startswith(start))


# ── looks that were answered ─────────────────────────────────────────────────────────────────


def test_tells_when_each_registry_answered_last(service: Service) -> None:
    """To the second: "not answered for an hour" is an alert, and six digits of a time are none."""
    journal = service.journal
    journal.workloads.checked("web", "nothing moved", later(-7200), STABLE.at(A))
    journal.workloads.checked("web", "the registry does not answer", NOW)
    found = shown(service, "registry_answered_timestamp_seconds")
    assert found['registry="ghcr.io"'] == f"{later(-7200).timestamp():.0f}"


def test_the_newest_answer_to_any_workload_counts(tmp_path: Path) -> None:
    """A registry that denies one repository has answered all the same."""
    extra = {**CONFIGURATION["workloads"]["web"], "compose": {"inline": {"services": {"web": {}}}}}
    service = build(settings_in(tmp_path, workloads__other=extra))
    try:
        for name, when in (("web", later(-60)), ("other", later(-30))):
            service.journal.workloads.checked(name, "nothing moved", when, STABLE.at(A))
        found = shown(service, "registry_answered_timestamp_seconds")
        assert found['registry="ghcr.io"'] == f"{later(-30).timestamp():.0f}"
    finally:
        service.journal.close()


def test_a_registry_that_never_answered_is_there_with_0(service: Service) -> None:
    """What is absent alerts nobody; and it may be wrong from the first day."""
    found = shown(service, "registry_answered_timestamp_seconds")
    followed = {
        parse_reference(workload["image"]).repository.registry
        for workload in CONFIGURATION["workloads"].values()
        if workload["track"] != "none"
    }
    assert found == {f'registry="{host}"': "0" for host in followed}


def test_a_registry_in_which_nothing_is_followed_is_absent(tmp_path: Path) -> None:
    """Nobody looks there, so its time would stand still for ever, and so would the alert."""
    service = build(settings_in(tmp_path, workloads__web__track="none"))
    try:
        # Of a workload that was configured once.
        service.journal.workloads.checked("gone", "nothing moved", NOW, STABLE.at(A))
        assert 'registry="ghcr.io"' not in shown(service, "registry_answered_timestamp_seconds")
    finally:
        service.journal.close()


# ── deliveries that were refused ─────────────────────────────────────────────────────────────


def test_counts_what_was_refused_by_source_and_code(service: Service) -> None:
    """A secret that was rotated on one side alone is seen here first."""
    http = service.app.test_client()
    for _ in range(3):
        assert http.post("/hooks/hub/a-guess", json={}).status_code == 401
    assert http.post(f"/hooks/hub/{URL_TOKEN}", data=b"{").status_code == 400
    counts = shown(service, "refused_deliveries_total")
    assert counts['source="hub",code="authentication"'] == "3"
    assert [code for code, count in counts.items() if count == "1"] == [
        'source="hub",code="unreadable-body"'
    ]
    text = http.get("/metrics").text
    assert "# TYPE webhook_launcher_refused_deliveries_total counter\n" in text


def test_whoever_asks_for_sources_that_are_not_there_adds_one_line(service: Service) -> None:
    """Labels cost memory here and in Prometheus, and a path may be a token."""
    http = service.app.test_client()
    for number in range(50):
        assert http.post(f"/hooks/secret-{number}/{number}", json={}).status_code == 404
    counts = shown(service, "refused_deliveries_total")
    assert {labels: count for labels, count in counts.items() if count != "0"} == {
        'source="(unknown)",code="not-found"': "50"
    }


def push(tag: str, **more: str) -> dict[str, object]:
    """Docker Hub's body."""
    return {"push_data": {"tag": tag}, "repository": {"repo_name": "acme/site"}, **more}


def test_what_is_accepted_or_ignored_is_not_counted_as_refused(service: Service) -> None:
    """An authentic delivery that led to nothing is no reason to look after a secret."""
    http = service.app.test_client()
    answers = [http.post(f"/hooks/hub/{URL_TOKEN}", json=push(tag)) for tag in ("latest", "no")]
    assert [answer.status_code for answer in answers] == [202, 200]
    counts = shown(service, "refused_deliveries_total")
    # There before the first time: a rate over a line that appears with 1 is nothing.
    assert counts == {
        f'source="{name}",code="authentication"': "0" for name in service.settings.sources
    }


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"deliveries": 1}, "too-many-deliveries"),
        ({"pending": 1}, "queue-full"),
        ({"body": "100B"}, "request-entity-too-large"),
    ],
)
def test_what_meets_a_limit_is_counted_once(
    tmp_path: Path, limits: dict[str, object], code: str
) -> None:
    """What is answered 413, 429 or 503 was refused as well, whoever found it out."""
    service = build(settings_in(tmp_path, limits=limits))
    http = service.app.test_client()
    try:
        accept(service.journal, "one", look("web"))
        http.post(f"/hooks/hub/{URL_TOKEN}", json=push("no"))
        for number in range(2):
            body = push("latest", more="x" * 100 + str(number))
            answer = http.post(f"/hooks/hub/{URL_TOKEN}", json=body)
            assert json.loads(answer.data)["code"] == code
        counts = shown(service, "refused_deliveries_total")
        counted = {labels: count for labels, count in counts.items() if count != "0"}
        assert counted == {f'source="hub",code="{code}"': "2"}
    finally:
        service.journal.close()

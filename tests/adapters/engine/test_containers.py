"""An inspected container, read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from webhook_launcher.adapters.engine.containers import parse_container, parse_healthcheck
from webhook_launcher.core.container import Healthcheck

SECOND = 1_000_000_000


def inspected(**changes: Any) -> dict[str, Any]:
    """What Engine 20.10 answers, cut to what is read."""
    return {
        "Id": "f" * 64,
        "Name": "/shop-web-2",
        "Image": "sha256:" + "c" * 64,
        "RestartCount": 1,
        "State": {
            "Status": "running",
            "Running": True,
            "OOMKilled": False,
            "ExitCode": 0,
            "StartedAt": "2026-11-24T02:33:28.330277123Z",
            "Health": {"Status": "starting"},
        },
        "Config": {
            "Image": "ghcr.io/acme/web@sha256:" + "a" * 64,
            "Labels": {
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "2",
            },
            "Healthcheck": {"Test": ["CMD", "/bin/check", "-x"], "Interval": 5 * SECOND},
        },
        **changes,
    }


def test_a_running_container_is_read() -> None:
    """Every field that the gate decides by."""
    container = parse_container(inspected())
    assert (container.name, container.service, container.number) == ("shop-web-2", "web", 2)
    assert container.image == "sha256:" + "c" * 64
    assert container.started_at == datetime(2026, 11, 24, 2, 33, 28, 330277, tzinfo=UTC)
    assert (container.status, container.running, container.restart_count) == ("running", True, 1)
    assert (container.health, container.manifest) == ("starting", None)
    assert container.healthcheck == Healthcheck(("/bin/check", "-x"), interval=5.0)


def test_the_platform_manifest_is_read_where_the_engine_tells_it() -> None:
    """Engine 28 on the containerd store says which platform's image runs."""
    container = parse_container(inspected(ImageManifestDescriptor={"digest": "sha256:d"}))
    assert container.manifest == "sha256:d"


@pytest.mark.parametrize("status", ["paused", "restarting"])
def test_what_does_not_serve_now_is_not_running(status: str) -> None:
    """The engine says `Running: true` for both."""
    found = inspected()
    found["State"]["Status"] = status
    assert not parse_container(found).running


def test_a_container_that_never_started_has_no_start_time() -> None:
    """The engine writes the year 1 for it."""
    state = {
        "Status": "created",
        "Running": False,
        "ExitCode": 0,
        "StartedAt": "0001-01-01T00:00:00Z",
    }
    container = parse_container(inspected(State=state))
    assert container.started_at is None
    assert container.health is None


@pytest.mark.parametrize("status", ["none", ""])
def test_no_health_is_not_a_state_of_health(status: str) -> None:
    """Some versions write `none` for containers without a healthcheck."""
    found = inspected()
    found["State"]["Health"]["Status"] = status
    assert parse_container(found).health is None


def test_a_shell_healthcheck_runs_in_the_images_own_shell() -> None:
    """SHELL of a Dockerfile changes what CMD-SHELL means."""
    test = {"Test": ["CMD-SHELL", "curl -f localhost || exit 1"]}
    plain = parse_healthcheck({"Healthcheck": test})
    bash = parse_healthcheck({"Healthcheck": test, "Shell": ["/bin/bash", "-ec"]})
    assert plain is not None
    assert plain.command == ("/bin/sh", "-c", "curl -f localhost || exit 1")
    assert bash is not None
    assert bash.command == ("/bin/bash", "-ec", "curl -f localhost || exit 1")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"Healthcheck": None},
        {"Healthcheck": {}},
        {"Healthcheck": {"Test": None}},
        {"Healthcheck": {"Test": []}},
        {"Healthcheck": {"Test": ["NONE"]}},
        {"Healthcheck": {"Test": ["CMD"]}},
        {"Healthcheck": {"Test": ["CMD-SHELL"]}},
        {"Healthcheck": {"Test": ["SOMETHING", "new"]}},
    ],
)
def test_what_is_no_healthcheck_counts_as_none(config: dict[str, Any]) -> None:
    """`HEALTHCHECK NONE` switches the base image's off; the settle time is the gate then."""
    assert parse_healthcheck(config) is None


def test_the_numbers_of_a_healthcheck_default_to_the_engines() -> None:
    """Zero means unset: 30 s, 30 s, 3 tries, no start period."""
    zeros = {"Test": ["CMD", "x"], "Interval": 0, "Timeout": 0, "Retries": 0, "StartPeriod": 0}
    check = parse_healthcheck({"Healthcheck": zeros})
    assert check == Healthcheck(("x",), 30.0, 30.0, 0.0, 3)
    assert check.deadline == 210


def test_the_deadline_follows_from_the_healthcheck() -> None:
    """start_period + timeout + retries x (interval + timeout): the engine's own.

    It waits an interval after the end of each probe.
    """
    numbers = {
        "Test": ["CMD", "x"],
        "Interval": 2 * SECOND,
        "Timeout": SECOND // 2,
        "Retries": 4,
        "StartPeriod": 10 * SECOND,
    }
    check = parse_healthcheck({"Healthcheck": numbers})
    assert check is not None
    assert check.deadline == 20.5

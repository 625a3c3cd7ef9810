"""Whether engine and compose are new enough, and that the log says which they are."""

import logging
from collections.abc import Mapping

import pytest

from webhook_launcher.core.errors import ComposeError, EngineError, EngineUnavailableError
from webhook_launcher.prerequisites import Prerequisites


class Programs:
    """Engine and compose, as far as versions go; a test sets what they answer."""

    def __init__(self) -> None:
        self.found: Mapping[str, str] | EngineError = {"engine": "26.1.5", "api": "1.45"}
        self.compose: str | ComposeError = "2.26.1"

    def versions(self) -> Mapping[str, str]:
        """As the engine adapter."""
        if isinstance(self.found, EngineError):
            raise self.found
        return self.found

    def version(self) -> str:
        """As the compose adapter."""
        if isinstance(self.compose, ComposeError):
            raise self.compose
        return self.compose


@pytest.fixture
def programs() -> Programs:
    """New enough, both."""
    return Programs()


@pytest.fixture
def prerequisites(programs: Programs, caplog: pytest.LogCaptureFixture) -> Prerequisites:
    """Not asked yet."""
    caplog.set_level(logging.INFO, "webhook_launcher")
    return Prerequisites(programs, programs)


def hosts(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """What the log says of the host, in order."""
    return [record.__dict__ for record in caplog.records if record.getMessage() == "host"]


def test_versions_are_logged_once_and_again_after_an_upgrade(
    prerequisites: Prerequisites, programs: Programs, caplog: pytest.LogCaptureFixture
) -> None:
    """Compose's hash of a service changes between versions: after the fact one wants to know."""
    prerequisites.step()
    prerequisites.step()
    programs.compose = "5.6.1"
    assert prerequisites.step() > 60
    assert [(one["engine"], one["compose"]) for one in hosts(caplog)] == [
        ("26.1.5", "2.26.1"),
        ("26.1.5", "5.6.1"),
    ]
    assert prerequisites.reason() is None


def test_what_is_too_old_makes_the_launcher_not_ready_until_it_is_upgraded(
    prerequisites: Prerequisites, programs: Programs, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it shows as an unknown option in the middle of a deployment."""
    programs.found = EngineError("Docker Engine 19.03 is too old", advice="Upgrade the engine.")
    programs.compose = ComposeError("Docker Compose 2.17 is too old", advice="Upgrade compose.")
    prerequisites.step()
    prerequisites.step()
    reason = prerequisites.reason()
    assert reason is not None
    assert "19.03 is too old. Upgrade the engine." in reason
    assert "2.17 is too old. Upgrade compose." in reason
    errors = [one for one in caplog.records if one.getMessage() == "host not fit"]
    assert len(errors) == 2, "each once, not at every look"
    programs.found, programs.compose = {"engine": "20.10"}, "2.26.1"
    prerequisites.step()
    assert prerequisites.reason() is None


def test_an_engine_that_is_down_is_asked_again_soon(
    prerequisites: Prerequisites, programs: Programs
) -> None:
    """It may come back as another one; that it is down is another check's to say."""
    programs.found = EngineUnavailableError("down")
    assert prerequisites.step() <= 5
    assert prerequisites.reason() is None

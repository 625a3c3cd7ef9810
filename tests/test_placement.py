"""Whether the engine finds project directories where the launcher sees them."""

import logging
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.world import WEB
from webhook_launcher.core.errors import ComposeError, EngineError, EngineUnavailableError
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import ComposeProject
from webhook_launcher.placement import Placement


class Surroundings:
    """The engine and compose, as far as mounts go; a test sets what they answer."""

    def __init__(self) -> None:
        self.misplaced = {WEB.project.directory}
        self.relative = True
        self.engine_error: EngineError | None = None
        self.compose_error: ComposeError | None = None

    def missing_binds(self, directories: Iterable[Path]) -> list[str]:
        """As the engine adapter."""
        if self.engine_error is not None:
            raise self.engine_error
        return [f"{one} is elsewhere" for one in directories if one in self.misplaced]

    def mounts_relatively(self, project: ComposeProject, repository: Repository) -> bool:
        """As the compose adapter."""
        if self.compose_error is not None:
            raise self.compose_error
        return self.relative


@pytest.fixture
def surroundings() -> Surroundings:
    """A launcher in a container that sees the project at another path than the engine."""
    return Surroundings()


@pytest.fixture
def placement(surroundings: Surroundings) -> Placement:
    """Of one workload."""
    return Placement([WEB], surroundings, surroundings)


def test_nothing_is_claimed_before_the_first_look(placement: Placement) -> None:
    """`/readyz` must not wait for an engine that is down."""
    assert placement.reason() is None


def test_a_project_that_the_engine_sees_elsewhere_is_named_with_its_workload(
    placement: Placement,
) -> None:
    """The service would start with an empty directory in place of its own."""
    placement.step()
    assert placement.reason() == "workload 'web': /srv/web is elsewhere"


def test_a_project_without_relative_mounts_may_be_anywhere(
    placement: Placement, surroundings: Surroundings
) -> None:
    """Nothing of it is resolved on the wrong side; a warning would teach people to ignore them."""
    surroundings.relative = False
    placement.step()
    assert placement.reason() is None


def test_a_project_that_cannot_be_read_counts_as_mounting_relatively(
    placement: Placement, surroundings: Surroundings
) -> None:
    """Said in vain is better than found out by a service."""
    surroundings.compose_error = ComposeError("the file is broken")
    placement.step()
    assert placement.reason() is not None


def test_an_engine_that_is_down_is_asked_again_soon(
    placement: Placement, surroundings: Surroundings
) -> None:
    """At boot the launcher may be up before the engine; what is wrong must still come out."""
    surroundings.engine_error = EngineUnavailableError("it does not answer")
    assert placement.step() <= 5
    assert placement.reason() is None
    surroundings.engine_error = None
    placement.step()
    assert placement.reason() is not None


def test_an_engine_that_refuses_to_tell_is_no_fault_of_the_projects(
    placement: Placement, surroundings: Surroundings
) -> None:
    """A socket proxy may not let us look at our own container; deployments work all the same."""
    surroundings.engine_error = EngineError("forbidden")
    assert placement.step() > 5
    assert placement.reason() is None


def test_a_problem_is_logged_once_and_forgotten_when_it_is_gone(
    placement: Placement, surroundings: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    """An error line every ten minutes hides others; a mended file needs no restart."""
    with caplog.at_level(logging.ERROR):
        placement.step()
        placement.step()
    assert len(caplog.records) == 1
    surroundings.relative = False
    placement.step()
    assert placement.reason() is None

"""Fixtures that need a machine: an engine, compose and a registry (`dev/machine.py run`)."""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from testbed.images import TestRegistry
from tests.projects import Host

_NEEDED = ("DOCKER_HOST", "LAUNCHER_TEST_BUSYBOX", "LAUNCHER_TEST_REGISTRY")


def pytest_configure(config: pytest.Config) -> None:
    """Let the docker SDK leave a unix socket to the garbage collector when connecting fails."""
    # docker/transport/unixconn.py, connect(). Tests with engines that are away count descriptors.
    unclosed = r"ignore:unclosed <socket\.socket fd=\d+, family=1,:ResourceWarning"
    config.addinivalue_line("filterwarnings", unclosed)


@pytest.fixture(scope="session")
def machine() -> Mapping[str, str]:
    """The environment of the machine. In CI it must be there; elsewhere its tests are skipped."""
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        reason = f"no machine ({', '.join(missing)}); use: python3 dev/machine.py run -- pytest"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return dict(os.environ)


@pytest.fixture(scope="session")
def registry(machine: Mapping[str, str]) -> TestRegistry:
    """The loopback registry; tests use repositories of their own (`repository`)."""
    return TestRegistry(machine["LAUNCHER_TEST_REGISTRY"], Path(machine["LAUNCHER_TEST_BUSYBOX"]))


@pytest.fixture
def repository() -> str:
    """The name of a repository that nobody else uses."""
    return f"test/{secrets.token_hex(6)}"


@pytest.fixture
def host(machine: Mapping[str, str], tmp_path: Path) -> Iterator[Host]:
    """Compose projects on the real engine; what a test started is gone after it."""
    host = Host(machine, tmp_path)
    yield host
    host.clear()

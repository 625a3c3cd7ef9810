"""What service and commands touch, wired from the settings: registries, programs, the real clock.

Beside `cli`, the only reader of the environment.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from webhook_launcher.adapters.command import Finished, run
from webhook_launcher.adapters.registry import (
    Credential,
    DockerCredentials,
    RegistryClient,
    RegistrySettings,
)
from webhook_launcher.config import Settings
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def registry_of(
    settings: Settings, clock: Clock
) -> tuple[RegistryClient, Callable[[str], Credential | None]]:
    """The registry client, and whose credentials the engine pulls with: the same."""
    known = {
        access.host: RegistrySettings(
            access.host,
            access.insecure,
            access.username,
            access.password,
            access.token_realm_host,
        )
        for access in settings.registries.values()
    }
    home = Path(os.environ.get("HOME") or "/root")
    directory = Path(os.environ.get("DOCKER_CONFIG") or home / ".docker")
    docker = DockerCredentials(directory / "config.json", _run_helper)
    client = RegistryClient(known, docker, now=clock.monotonic, sleep=clock.sleep)

    def credential(host: str) -> Credential | None:
        own = known.get(host)
        return (own.credential if own else None) or docker(host)

    return client, credential


def run_for_user(argv: Sequence[str], seconds: float, extra: Mapping[str, str]) -> Finished:
    """A hook or tracker of the user, in our environment and the given variables."""
    return run(argv, timeout=seconds, env={**os.environ, **extra})


def run_check(
    argv: Sequence[str], seconds: float, extra: Mapping[str, str], stdin: bytes
) -> Finished:
    """The same for a check of an image, which reads the image's manifest."""
    return run(argv, timeout=seconds, env={**os.environ, **extra}, stdin=stdin)


def _run_helper(argv: Sequence[str], stdin: bytes, seconds: float) -> tuple[int, bytes]:
    """A credential helper, as `DockerCredentials` wants it."""
    try:
        finished = run(argv, timeout=seconds, stdin=stdin)
    except CommandNotFoundError as error:
        raise FileNotFoundError(str(error)) from error
    except CommandTimeoutError as error:
        raise TimeoutError(str(error)) from error
    return finished.status, finished.output

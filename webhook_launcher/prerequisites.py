"""The loop body that asks whether engine and compose are new enough, and logs which they are.

Both may be upgraded, or downgraded, while the launcher runs; and what an old one does with a
command that it does not know shows only in the middle of a deployment.
"""

import logging
from collections.abc import Mapping
from typing import Protocol

from webhook_launcher.core.errors import EngineUnavailableError, LauncherError

_log = logging.getLogger(__name__)
_EVERY = 600.0
_AGAIN = 5.0


class Engine(Protocol):
    """The Docker Engine."""

    def versions(self) -> Mapping[str, str]:
        """Its own, its API's, its store; EngineError when it is too old."""


class Compose(Protocol):
    """Docker Compose."""

    def version(self) -> str:
        """Its version; ComposeError when it is absent or too old."""


class Prerequisites:
    """What is wrong with the host's programs; nothing until they have been asked."""

    def __init__(self, engine: Engine, compose: Compose) -> None:
        self._engine = engine
        self._compose = compose
        self._problems: tuple[str, ...] = ()
        self._seen: Mapping[str, str] = {}

    def reason(self) -> str | None:
        """What `/readyz` shows."""
        return "; ".join(self._problems) or None

    def step(self) -> float:
        """Ask both; the seconds until they are asked again."""
        try:
            found, problems = self._ask()
        except EngineUnavailableError:
            return _AGAIN  # `/readyz` says so already
        for problem in problems:
            if problem not in self._problems:
                _log.error("host not fit", extra={"detail": problem})
        if found != self._seen:
            _log.info("host", extra=dict(found))
        self._problems, self._seen = problems, found
        return _EVERY

    def _ask(self) -> tuple[Mapping[str, str], tuple[str, ...]]:
        found: dict[str, str] = {}
        problems = []
        try:
            found |= self._engine.versions()
        except EngineUnavailableError:
            raise
        except LauncherError as error:
            problems.append(f"{error}. {error.advice()}")
        try:
            found["compose"] = self._compose.version()
        except LauncherError as error:
            problems.append(f"{error}. {error.advice()}")
        return found, tuple(problems)

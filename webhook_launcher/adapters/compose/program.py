"""Where the compose binary is, and what of the launcher's environment it may see."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

# Where the docker CLI looks for plugins (docker/cli, cli-plugins/manager), after the user's own.
_PLUGIN_DIRECTORIES = (
    Path("/usr/local/lib/docker/cli-plugins"),
    Path("/usr/local/libexec/docker/cli-plugins"),
    Path("/usr/libexec/docker/cli-plugins"),
    Path("/usr/lib/docker/cli-plugins"),
)
# 2.21 prints one JSON object per line and knows every option that is used here.
MINIMUM_VERSION = (2, 21)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


def find_program(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The start of the command line: the plugin itself, else `docker compose`.

    Called directly the plugin saves the docker CLI's 70 ms a call (measured, 2.26.1).
    """
    for directory in (*_own_directories(environment), *_PLUGIN_DIRECTORIES):
        candidate = directory / "docker-compose"
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return (str(candidate),)
    return ("docker", "compose")


def _own_directories(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if configured := environment.get("DOCKER_CONFIG"):
        return (Path(configured) / "cli-plugins",)
    if home := environment.get("HOME"):
        return (Path(home) / ".docker" / "cli-plugins",)
    return ()


def program_environment(
    environment: Mapping[str, str], pass_environment: Collection[str] = ()
) -> dict[str, str]:
    """PATH, HOME, `DOCKER_*` and the names in `pass_environment`; nothing else is passed on.

    A variable of the launcher must not change what a compose file means by accident: what files
    interpolate comes from the `.env` beside them, or is named by the operator.
    """
    passed = {"PATH", "HOME", *pass_environment}
    return {
        name: value
        for name, value in environment.items()
        if name in passed or name.startswith("DOCKER_")
    }


def is_too_old(version: str) -> bool:
    """True for a version below the minimum; a version without numbers is a developer's own."""
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) < MINIMUM_VERSION

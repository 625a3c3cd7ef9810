"""Which files a project has when the user names none, by compose's own rules.

Any `-f` turns those rules off, so they are applied here first (compose-go, cli/options.go).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from webhook_launcher.core.errors import ComposeError

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_ASSIGNMENT = re.compile(
    r"""\s*(?:export\s+)?(?P<name>\w+)\s*[=:]\s*
        (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<plain>.*?))\s*(?:(?<!\S)\#.*)?""",
    re.VERBOSE,
)


def first_files(directory: Path) -> tuple[Path, ...]:
    """The files that `docker compose` would read in `directory`, in order.

    `COMPOSE_FILE` of the `.env` there, else compose.yaml (or one of its older names) with its
    override file. Raises ComposeError when there is none.
    """
    settings = read_dotenv(directory)
    if listed := settings.get("COMPOSE_FILE"):
        separator = settings.get("COMPOSE_PATH_SEPARATOR") or ":"
        return tuple(directory / name for name in listed.split(separator) if name)
    base = _first(directory, _NAMES)
    if base is None:
        raise ComposeError(
            f"there is no compose file in {directory}",
            advice=f"Name the files (`compose.file`), or put a {_NAMES[0]} there.",
        )
    override = _first(directory, _OVERRIDES)
    return (base,) if override is None else (base, override)


def read_dotenv(directory: Path) -> Mapping[str, str]:
    """The plain assignments of `.env`: enough for the `COMPOSE_*` settings, which are not more."""
    try:
        text = (directory / ".env").read_text("utf-8", "replace")
    except OSError:
        return {}
    found = {}
    for match in filter(None, map(_ASSIGNMENT.fullmatch, text.splitlines())):
        found[match["name"]] = match["single"] or match["double"] or match["plain"] or ""
    return found


def _first(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_file()), None)

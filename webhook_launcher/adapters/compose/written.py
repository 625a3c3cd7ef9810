"""The JSON files that we write for compose: whole and durable, or not at all."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file in one step that survives a power cut.

    Only we may read it: inline documents can hold secrets. The fresh file has one name, so that
    what a killed launcher left of it is written over; a project has one writer at a time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)  # made anew below, and so with our mode
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def pinned_services(path: Path, known: Collection[str] | None) -> dict[str, Any]:
    """Return the pins that an override has for the `known` services (None: all).

    A pin of a service that is no more would add that service to the project, silently.
    """
    try:
        services = json.loads(path.read_bytes())["services"]
        return {name: body for name, body in services.items() if known is None or name in known}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # there is none yet, or it is not ours: it is replaced


def completed(
    inline: Mapping[str, object], image: str, services: Sequence[str]
) -> dict[str, object]:
    """An inline document with `image` for every service that names none.

    `services` limits that to those (empty: all). Services that build or extend are left alone.
    """
    bodies = inline["services"]
    if not isinstance(bodies, Mapping):
        return dict(inline)  # compose says what is wrong with it
    filled: dict[str, object] = {}
    for name, body in bodies.items():
        own = dict(body) if isinstance(body, Mapping) else {}
        if not own.keys() & {"image", "build", "extends"} and (not services or name in services):
            own["image"] = image
        filled[name] = own
    return {**inline, "services": filled}

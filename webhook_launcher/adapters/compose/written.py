"""The JSON files that we write for compose: whole and durable, or not at all."""

import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file in one step that survives a power cut.

    Only we may read it: inline documents can hold secrets.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def pinned_services(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The pins that an override already has for services that still exist.

    A pin of a service that is no more would add that service to the project, silently.
    """
    try:
        services = json.loads(path.read_bytes())["services"]
        return {name: body for name, body in services.items() if name in known}
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

"""What the commands print: tables and sentences for people, JSON for scripts."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from webhook_launcher.core.errors import ConfigurationError, LauncherError


def as_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2))


def complain(error: LauncherError, *, as_document: bool) -> None:
    """An error and its advice: on standard error, or as JSON on standard output."""
    if as_document:
        document: dict[str, Any] = {
            "code": error.code,
            "detail": str(error),
            "advice": error.advice(),
        }
        if isinstance(error, ConfigurationError):
            document["problems"] = [
                {"path": problem.path, "message": problem.message} for problem in error.problems
            ]
        as_json(document)
        return
    print(f"error: {error}", file=sys.stderr)
    print(f"  -> {error.advice()}", file=sys.stderr)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; `-` for what is absent."""
    cells = [list(header), *[["-" if c is None else str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def short(reference: str | None) -> str | None:
    """A reference with its digest cut to twelve digits."""
    if reference is None or "@" not in reference:
        return reference
    name, _, digest = reference.partition("@")
    return f"{name}@{digest[:19]}"

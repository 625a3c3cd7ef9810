"""What the commands print: tables and sentences for people, JSON for scripts."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from webhook_launcher.core.errors import ConfigurationError, LauncherError


def as_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2))


def raw(content: bytes) -> None:
    """Bytes on standard output, as they are: for a file or another program."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def line(text: str) -> None:
    """A sentence on standard output."""
    print(plain(text))


def note(text: str) -> None:
    """Something beside the result: progress, or what to do with it. On standard error."""
    print(plain(text), file=sys.stderr, flush=True)


def complain(error: LauncherError, *, as_document: bool) -> None:
    """An error and its advice: on standard error, or as JSON on standard output."""
    if as_document:
        as_json(_document(error))
        return
    happened = str(error)
    if isinstance(error, ConfigurationError) and len(error.problems) > 1:
        happened = f"{len(error.problems)} problems in the configuration\n{happened}"
    first, *rest = happened.splitlines() or [error.code]
    print(
        f"error: {plain(first)}", *(f"  {plain(text)}" for text in rest), sep="\n", file=sys.stderr
    )
    print(f"  -> {plain(error.advice())}", file=sys.stderr)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; `-` for what is absent."""
    cells = [list(header), *[["-" if c is None else plain(str(c)) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def short(reference: str | None) -> str | None:
    """A reference with its digest cut to twelve digits."""
    if reference is None or "@" not in reference:
        return reference
    name, _, digest = reference.partition("@")
    algorithm, _, digits = digest.partition(":")
    return f"{name}@{algorithm}:{digits[:12]}"


def plain(text: str) -> str:
    """Text from elsewhere without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def _document(error: LauncherError) -> dict[str, Any]:
    document: dict[str, Any] = {
        "code": error.code,
        "detail": str(error),
        "advice": error.advice(),
    }
    if isinstance(error, ConfigurationError):
        document["problems"] = error.as_documents()
    problem = getattr(error, "problem", None)  # what a launcher answered, with its own code
    return document | dict(problem) if problem else document

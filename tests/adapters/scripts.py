"""Real programs for the adapters that run the user's own commands."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from webhook_launcher.adapters.command import Finished, run


def run_for_user(argv: Sequence[str], seconds: float, extra: Mapping[str, str]) -> Finished:
    """As `app` runs hooks and trackers."""
    return run(argv, timeout=seconds, env={**os.environ, **extra}, grace=0.2)


def script(directory: Path, body: str) -> str:
    """An executable shell script; its path."""
    path = directory / f"script-{len(list(directory.iterdir()))}"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)

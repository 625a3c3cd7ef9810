"""`serve` and `check`."""

import argparse
import fcntl
import os
import sys
from pathlib import Path
from typing import Any

from webhook_launcher.cli import output
from webhook_launcher.cli.options import CONFIG_VARIABLE, path_of, settings_of
from webhook_launcher.core.errors import StateLockedError


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    serve = commands.add_parser("serve", parents=[common], help="run the launcher")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", parents=[common], help="check the configuration")
    check.set_defaults(run=_check)


def _serve(arguments: argparse.Namespace) -> int:
    """Become gunicorn, once the configuration holds and nobody else has the state directory."""
    settings = settings_of(arguments)
    _refuse_second(settings.state)
    os.environ[CONFIG_VARIABLE] = str(path_of(arguments).absolute())
    argv = [sys.executable, "-m", "gunicorn", "--config", "python:webhook_launcher.serving"]
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606 - our own interpreter, fixed arguments


def _refuse_second(state: Path) -> None:
    """Say so now, instead of letting gunicorn's worker fail; the worker takes the lock itself."""
    lock = state / "lock"
    if not lock.exists():
        return
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise StateLockedError(f"another launcher uses the state directory {state}") from error


def _check(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if arguments.json:
        output.as_json(
            {
                "configuration": str(settings.path),
                "sources": sorted(settings.sources),
                "workloads": sorted(settings.workloads),
            }
        )
    else:
        print(
            f"{settings.path}: good: {len(settings.sources)} sources, "
            f"{len(settings.workloads)} workloads"
        )
    return 0

"""`serve` and `check`."""

import argparse
import errno
import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import Any

from webhook_launcher import log
from webhook_launcher.adapters.journal import (
    check_directory,
    check_keys,
    upgrade_ahead,
    upgrade_pending,
)
from webhook_launcher.cli import output
from webhook_launcher.cli.options import path_of, settings_of, with_config
from webhook_launcher.config import PATH_VARIABLE
from webhook_launcher.core.causes import in_words
from webhook_launcher.core.errors import JournalError, LauncherError, StateLockedError


class AddressError(LauncherError):
    """The launcher cannot listen where it should."""

    code = "cannot-listen"
    default_advice = (
        "Give `listen` an address of this host, and a port from 1024 on unless it runs as root."
    )


def add(commands: Any) -> None:
    """Declare the commands."""
    serve = commands.add_parser("serve", parents=[with_config()], help="run the launcher")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", parents=[with_config()], help="check the configuration")
    check.set_defaults(run=_check)


def _serve(arguments: argparse.Namespace) -> int:
    """Become gunicorn, once the configuration holds and nobody else has the state directory."""
    settings = settings_of(arguments)
    _refuse_second(settings.state)
    check_keys(settings.state, settings.receipts)
    _refuse_taken(*settings.listen)
    if upgrade_pending(settings.state):
        log.set_up()
        upgrade_ahead(settings.state)
    os.environ[PATH_VARIABLE] = str(path_of(arguments).absolute())
    argv = [sys.executable, "-m", "gunicorn", "--config", "python:webhook_launcher.serving"]
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606 - our own interpreter, fixed arguments


def _refuse_second(state: Path) -> None:
    """Say so now, instead of letting gunicorn's worker fail; the worker takes the lock itself."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_directory(state)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot use the state directory {state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateLockedError(f"another launcher uses the state directory {state}") from None
    finally:
        os.close(lock)


def _refuse_taken(host: str, port: int) -> None:
    """The same for the address: gunicorn would try for five seconds, and say it in its own way."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return  # systemd listens there, and passes the socket on
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            trial.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressError(
                    f"cannot listen on {address}: another program listens there",
                    advice=f"End it (`ss -ltnp 'sport = :{port}'` shows which it is), or change "
                    "`listen` in the configuration.",
                ) from error
            raise AddressError(f"cannot listen on {address}: {in_words(error, '')}") from error


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
        return 0
    output.line(f"{settings.path}: good")
    for title, names in (("sources", settings.sources), ("workloads", settings.workloads)):
        output.line(f"  {title}: {', '.join(sorted(names)) or 'none'}")
    if settings.admin_token is None:
        output.note("  note: without `admin:` the API answers 403, and so do status and deploy")
    return 0

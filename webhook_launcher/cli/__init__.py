"""The command line: subcommands, and errors turned into exit statuses (only here)."""

import argparse
import os
import sys
from collections.abc import Sequence

from webhook_launcher import __version__
from webhook_launcher.cli import (
    doctor,
    journal,
    output,
    receipts,
    reload,
    remote,
    replay,
    send,
    serve,
    verify,
)
from webhook_launcher.cli.options import UsageError
from webhook_launcher.core.errors import ConfigurationError, LauncherError

FAILED = 1
BAD_USAGE = 2  # what argparse itself exits with
BAD_CONFIGURATION = 78  # sysexits.h: EX_CONFIG
INTERRUPTED = 130  # as a shell reports a program that SIGINT ended
READER_GONE = 141  # the same for SIGPIPE
_EPILOG = """\
start with:
  webhook-launcher check --config config.yml
  webhook-launcher serve --config config.yml

exit status: 0 success, 1 failure, 2 usage, 78 configuration;
`send`, and --wait: also 3 could not send, 4 timed out; `reload`: also 4 timed out
"""


def run(argv: Sequence[str]) -> int:
    """Run one command; its exit status (see `--help`)."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except LauncherError as error:
        output.complain(error, as_document=arguments.json)
        return _status_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `history | head`: what is still in the buffer has nowhere to go at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return status


def _status_of(error: LauncherError) -> int:
    if isinstance(error, ConfigurationError):
        return BAD_CONFIGURATION
    return BAD_USAGE if isinstance(error, UsageError) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webhook-launcher",
        description="When an image is pushed, run exactly that image, or keep running the old one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for group in (serve, reload, doctor, remote, send, verify, replay, receipts, journal):
        group.add(commands)
    return parser

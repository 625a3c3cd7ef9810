"""The command line: subcommands, and errors turned into exit statuses (only here)."""

import argparse
from collections.abc import Sequence

from webhook_launcher import __version__
from webhook_launcher.cli import operator, options, output, send, serve
from webhook_launcher.core.errors import ConfigurationError, LauncherError

# sysexits.h: EX_CONFIG.
BAD_CONFIGURATION = 78
FAILED = 1


def run(argv: Sequence[str]) -> int:
    """Run one command; its exit status (0 success, 1 failure, 2 usage, 78 configuration)."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ConfigurationError as error:
        output.complain(error, as_document=arguments.json)
        return BAD_CONFIGURATION
    except LauncherError as error:
        output.complain(error, as_document=arguments.json)
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webhook-launcher",
        description="When an image is pushed, run exactly that image, or keep running the old one.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = options.common()
    for group in (serve, operator, send):
        group.add(commands, common)
    return parser

"""Options that several commands have, and the configuration that they name."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from webhook_launcher.config import (
    DEFAULT_PATH,
    PATH_VARIABLE,
    Access,
    Settings,
    load,
    load_access,
    values,
)
from webhook_launcher.core.errors import ConfigurationError, LauncherError
from webhook_launcher.sources import KINDS

_SECONDS = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(s|m|h|)")
_WHOLE = re.compile(r"[0-9]{1,6}")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(LauncherError):
    """The command was called in a way that cannot work; nothing was done."""

    code = "usage"
    default_advice = "See `webhook-launcher COMMAND --help`."


def with_json() -> argparse.ArgumentParser:
    """A parent parser with `--json`; `--config` is taken everywhere, and not used here."""
    parser = _with_json()
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    return parser


def _with_json() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser


def with_config() -> argparse.ArgumentParser:
    """A parent parser with `--config` and `--json`."""
    parser = argparse.ArgumentParser(add_help=False, parents=[_with_json()])
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help=f"the configuration file (default: ${PATH_VARIABLE}, else {DEFAULT_PATH})",
    )
    return parser


def with_wait() -> argparse.ArgumentParser:
    """A parent parser with `--wait` and `--timeout`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--wait", action="store_true", help="follow it to its end, exit by it")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="TIME",
        help="how long to follow it, such as 90, 90s or 10m (default: 10m); then exit with 4",
    )
    return parser


def path_of(arguments: argparse.Namespace) -> Path:
    """The configuration file that is meant."""
    return arguments.config or Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The configuration; ConfigurationError with every problem."""
    return load(path_of(arguments), KINDS)


def access_of(arguments: argparse.Namespace) -> Access:
    """Return how to reach the launcher, whatever else is wrong in the configuration.

    Raises ConfigurationError with every problem of the file when that cannot be told.
    """
    try:
        return load_access(path_of(arguments))
    except ConfigurationError:
        settings_of(arguments)
        raise


def seconds(text: str) -> float:
    """Seconds from `90`, `90s`, `10m` or `1h`."""
    found = _SECONDS.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("must be a time such as 90, 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number in a range."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def workload(text: str) -> str:
    """The name of a workload: never something that makes another path of the API."""
    try:
        return values.name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def url(text: str) -> str:
    """An http(s) URL. The message does not quote it: its last part may be a token."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError("must begin with http:// or https:// and a host")
    return text


def secret_in(path: str, option: str) -> str:
    """The one line of a file, which is a key or token; UsageError when there is none."""
    try:
        text = Path(path).read_text("ascii").strip()
    except OSError as error:
        raise UsageError(f"cannot read {option} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{option} {path} is not a key or token") from None
    if not text or not text.isprintable():
        raise UsageError(f"{option} {path} is not one line with a key or token")
    return text

"""Parsers of single configuration values: each returns the value or raises ValueError saying
what to write instead. None of them quotes a value that may be a secret.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from webhook_launcher.core import reference
from webhook_launcher.core.errors import InvalidReferenceError

V = TypeVar("V")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB|GiB)")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def text(value: Any) -> str:
    """A non-empty string."""
    if not isinstance(value, str):
        raise ValueError("must be text; put it in quotes")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def identifier(value: Any) -> str:
    """A key or secret id; a bare number is fine."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def name(value: Any) -> str:
    """A name of a source, workload or project (compose's rule for project names)."""
    if not _NAME.fullmatch(text(value)):
        raise ValueError("must be lower-case letters, digits, '-' and '_', at most 63")
    return str(value)


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def number(low: int, high: int) -> Callable[[Any], int]:
    """A whole number in a range."""

    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return parse


def duration(value: Any) -> float:
    """Seconds from `500ms`, `30s`, `15m`, `72h` or `7d`."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a duration such as 500ms, 30s, 15m, 72h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def duration_or_off(value: Any) -> float | None:
    """A duration, or None for `off` (which YAML 1.1 reads as false)."""
    if value is False or value == "off":
        return None
    seconds = duration(value)
    if seconds < 1:
        raise ValueError("must be at least 1s, or off")
    return seconds


def size(value: Any) -> int:
    """Bytes from `64KiB` or `1MiB`."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[1]) == 0:
        raise ValueError("must be a size such as 64KiB or 1MiB")
    return int(found[1]) * _SIZES[found[2]]


def share(value: Any) -> float:
    """A share from `20%`."""
    found = re.fullmatch(r"([0-9]{1,2})%", value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a percentage from 0% to 99%")
    return int(found[1]) / 100


def argv(value: Any) -> tuple[str, ...]:
    """A command as a list of strings; never a shell line."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ValueError('must be a list of strings such as ["/usr/local/bin/get-latest", "web"]')
    return tuple(value)


def argvs(value: Any) -> tuple[tuple[str, ...], ...]:
    """One command, or a list of commands."""
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return tuple(argv(item) for item in value)
    return (argv(value),)


def names(value: Any) -> tuple[str, ...]:
    """A non-empty list of names, such as services or workloads."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ValueError("must be a non-empty list of names")
    if len(set(value)) != len(value):
        raise ValueError("names one thing twice")
    return tuple(value)


def listen(value: Any) -> tuple[str, int]:
    """Host and port from `127.0.0.1:8080` or `[::1]:8080`."""
    host, colon, port = text(value).rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 <= int(port) < 65536:
        raise ValueError("must be host:port such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - `:8080` means every address


def path_from(base: Path) -> Callable[[Any], Path]:
    """A path; relative ones are relative to the configuration file."""
    return lambda value: (base / text(value)).absolute()


def registry(value: Any) -> str:
    """A registry host."""
    return _checked(reference.parse_registry, value, "a registry host such as ghcr.io")


def repository(value: Any) -> reference.Repository:
    """A repository without tag or digest."""
    return _checked(
        reference.parse_repository, value, "a repository without tag, such as ghcr.io/acme/web"
    )


def tag(value: Any) -> str:
    """A tag."""
    return _checked(reference.make_tag, value, "a tag such as stable")


def _checked(parse: Callable[[str], V], value: Any, wanted: str) -> V:
    try:
        return parse(text(value))
    except InvalidReferenceError as error:
        raise ValueError(f"must be {wanted} ({error})") from error

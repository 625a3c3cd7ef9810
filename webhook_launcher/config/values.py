"""Parsers of single configuration values.

Each returns the value or raises ValueError saying what to write instead. None of them quotes a
value that may be a secret.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from webhook_launcher.config.document import Section
from webhook_launcher.core import reference
from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.model import Platform
from webhook_launcher.core.policy import OVERRIDABLE

V = TypeVar("V")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_LONGEST = 366 * 86400.0
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_LARGEST = 1024**3
_PLATFORM = re.compile(
    r"(?P<os>[a-z0-9]+)/(?P<architecture>[a-z0-9_]+)(?:/(?P<variant>[a-z0-9.]+))?"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LISTEN = re.compile(
    r"(?P<host>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*):(?P<port>[0-9]{1,5})"
)
_MAX_PORT = 65535
# Shorter ones can be guessed: a token is the only thing between the network and a redeploy.
_MIN_TOKEN = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750: what may follow `Bearer`
# Compose reads these words as booleans too, where one is wanted.
_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}


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


def check_name(section: Section, text: str) -> None:
    """Record a problem when the key of a section is no name."""
    try:
        name(text)
    except ValueError as error:
        section.problem("", f"the name {error}")


def boolean(value: Any) -> bool:
    """True or false."""
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
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


def count_or_all(value: Any) -> int | None:
    """How many releases to keep, the current and the previous one among them; `all` is None."""
    if value == "all":
        return None
    try:
        return number(2, 1000)(value)
    except ValueError as error:
        raise ValueError(f"{error}, or all") from error


def duration(value: Any) -> float:
    """Seconds, more than none, from `500ms`, `30s`, `15m`, `72h` or `7d`."""
    seconds = duration_or_zero(value)
    if seconds == 0:
        raise ValueError("must be more than 0")
    return seconds


def duration_or_zero(value: Any) -> float:
    """Seconds from `0s` on."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a duration such as 500ms, 30s, 15m, 72h or 7d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST:
        raise ValueError("must be at most 366d")
    return seconds


def duration_or_off(value: Any) -> float | None:
    """A duration, or None for `off`."""
    if value is False or value == "off":
        return None
    if value is True or not isinstance(value, str):
        raise ValueError("must be a duration such as 15m, or off")
    seconds = duration(value)
    if seconds < 1:
        raise ValueError("must be at least 1s, or off")
    return seconds


def size(value: Any) -> int:
    """Bytes from `64KiB` or `1MiB`."""
    found = _bytes(value)
    if not 0 < found <= _LARGEST:
        raise ValueError("must be a size such as 64KiB or 1MiB, at most 1GiB")
    return found


def image_size(value: Any) -> int:
    """Bytes of an image, from `500MiB` or `2GiB`."""
    found = _bytes(value)
    if found <= 0:
        raise ValueError("must be a size such as 500MiB or 2GiB")
    return found


def _bytes(value: Any) -> int:
    """0 for what is no size."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * _SIZES[found[2]] if found else 0


def platform(value: Any) -> Platform:
    """An OCI platform from `linux/amd64` or `linux/arm/v7`."""
    found = _PLATFORM.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a platform such as linux/amd64 or linux/arm/v7")
    return Platform(found["os"], found["architecture"], found["variant"])


def share(value: Any) -> float:
    """A share from `20%`."""
    found = re.fullmatch(r"([0-9]{1,2})%", value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a percentage from 0% to 99%")
    return int(found[1]) / 100


def argv_from(base: Path) -> Callable[[Any], tuple[str, ...]]:
    """A command as a list of strings, never a shell line; `./get` is relative to the file."""

    def parse(value: Any) -> tuple[str, ...]:
        if not _are_texts(value):
            raise ValueError('must be a list of strings such as ["/usr/local/bin/get", "web"]')
        program, *arguments = value
        if "/" in program:
            program = str(path_from(base)(program))
        return (program, *arguments)

    return parse


def argvs_from(base: Path) -> Callable[[Any], tuple[tuple[str, ...], ...]]:
    """One command, or a list of commands."""
    argv = argv_from(base)

    def parse(value: Any) -> tuple[tuple[str, ...], ...]:
        if value == []:
            return ()
        if isinstance(value, list) and all(isinstance(item, list) for item in value):
            return tuple(argv(item) for item in value)
        return (argv(value),)

    return parse


def names(value: Any) -> tuple[str, ...]:
    """A non-empty list of names, such as services or workloads."""
    if not _are_texts(value):
        raise ValueError("must be a non-empty list of names")
    if len(set(value)) != len(value):
        raise ValueError("names one thing twice")
    return tuple(value)


def overrides(value: Any) -> frozenset[str]:
    """A list of the policies that events may override."""
    if not _are_texts(value) or not set(value) <= OVERRIDABLE:
        raise ValueError(f"must be a list of {', '.join(sorted(OVERRIDABLE))}")
    return frozenset(value)


def texts(value: Any) -> dict[str, str]:
    """A mapping of names to text, such as labels or annotations."""
    if not isinstance(value, dict):
        raise ValueError("must be a mapping of names to text")
    if not all(isinstance(text, str) for text in value.values()):
        raise ValueError("must map names to text; put numbers and true/false in quotes")
    return dict(value)


def listen(value: Any) -> tuple[str, int]:
    """Host and port from `127.0.0.1:8080` or `[::1]:8080`; `:8080` is every address."""
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found["port"]) > _MAX_PORT:
        raise ValueError("must be host:port such as 127.0.0.1:8080")
    return found["host"].strip("[]") or "0.0.0.0", int(found["port"])  # noqa: S104 - as asked for


def path_from(base: Path) -> Callable[[Any], Path]:
    """A path; relative ones are relative to the configuration file."""

    def parse(value: Any) -> Path:
        path = text(value)
        if "\0" in path:
            raise ValueError("must be a path")
        return (base / path).absolute()

    return parse


def token_fault(token: bytes) -> str | None:
    """What is wrong with a secret that travels in a header or URL by itself."""
    written = token.decode("latin-1")
    if len(token) < _MIN_TOKEN:
        return f"must have at least {_MIN_TOKEN} characters; `webhook-launcher keygen --type token`"
    if not _TOKEN.fullmatch(written):
        return (
            "must be letters, digits and -._~+/= in one line, since it travels in a header or URL"
        )
    return None


def plain(value: Any) -> Any:
    """A value that JSON can hold, unchanged; ValueError otherwise."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("has a number that is not finite")
    return value


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


def _are_texts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) and item and "\0" not in item for item in value)
    )

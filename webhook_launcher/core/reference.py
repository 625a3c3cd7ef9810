"""References: `[registry/]repository[:tag][@digest]`, parsed once, by full match, into values.

Grammar: OCI distribution-spec 1.1 (repository, tag) and image-spec 1.1 (digest); the rule that the
first path component is a registry when it has a dot, a port or is `localhost` is Docker's.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from webhook_launcher.core.errors import InvalidReferenceError

DOCKER_HUB = "docker.io"
# Every name under which Docker Hub is known to its senders and clients.
_HUB_ALIASES = frozenset(
    {DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
    r"|\[[0-9a-f:]{2,39}\])(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_PORT = 65535
MAX_REPOSITORY = 255
# Longer than any legal reference: refused before a pattern is tried on it.
_MAX_REFERENCE = 1024


class Digest(str):
    """A content digest, `sha256:` and 64 hex digits (or `sha512:` and 128), checked when made."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InvalidReferenceError for anything that is not a whole digest."""
        if len(text) > _MAX_REFERENCE or not _DIGEST.fullmatch(text):
            raise InvalidReferenceError(f"not a digest: {_shown(text)}")
        return super().__new__(cls, text)

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.partition(":")[2][:12]


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A registry host (lower case, port kept) and a repository path in it."""

    registry: str
    path: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


@dataclass(frozen=True, slots=True)
class Reference:
    """What an image is called: a repository and a tag, a digest, or both."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    def at(self, digest: Digest) -> "Reference":
        """The same reference, bound to a digest."""
        return replace(self, digest=digest)

    @property
    def pinned(self) -> str:
        """`registry/repository@digest`, the only form that is ever pulled or run."""
        if self.digest is None:
            raise InvalidReferenceError(f"{self} has no digest to pin")
        return f"{self.repository}@{self.digest}"


def parse_registry(text: str) -> str:
    """A registry host as configured or sent: lower case, Docker Hub's aliases folded.

    Raises InvalidReferenceError for anything that is not `host[:port]`.
    """
    # Lower-casing first would turn the Kelvin sign, which is no letter of a host, into a `k`.
    host = text.lower() if text.isascii() else ""
    found = _HOST.fullmatch(host) if len(host) <= MAX_REPOSITORY else None
    if not found or not 0 < int(found["port"] or 1) <= _MAX_PORT:
        raise InvalidReferenceError(f"not a registry host: {_shown(text)}")
    return DOCKER_HUB if host in _HUB_ALIASES else host


def make_repository(registry: str, path: str) -> Repository:
    """A repository from its two parts; `library/` is added for bare names on Docker Hub only."""
    host = parse_registry(registry)
    full = f"library/{path}" if host == DOCKER_HUB and "/" not in path else path
    if len(full) > MAX_REPOSITORY or not _REPOSITORY.fullmatch(full):
        raise InvalidReferenceError(f"not a repository name: {_shown(path)}")
    return Repository(host, full)


def make_tag(text: str) -> str:
    """A tag of the OCI grammar, unchanged; InvalidReferenceError for anything else."""
    if not _TAG.fullmatch(text):
        raise InvalidReferenceError(f"not a tag: {_shown(text)}")
    return text


def parse_repository(text: str) -> Repository:
    """`[registry/]repository`; a tag or digest on it is an error."""
    reference = parse_reference(text)
    if reference.tag or reference.digest:
        raise InvalidReferenceError(
            f"a repository was expected, without tag or digest: {_shown(text)}"
        )
    return reference.repository


def parse_reference(text: str) -> Reference:
    """`[registry/]repository[:tag][@digest]`; no tag is invented when there is none."""
    if len(text) > _MAX_REFERENCE:
        raise InvalidReferenceError(f"a reference of {len(text)} characters is too long")
    name, at, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    registry, path = _split_registry(f"{head}{slash}{last}")
    return Reference(
        make_repository(registry, path),
        make_tag(tag) if colon else None,
        Digest(digest) if at else None,
    )


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(mark in first for mark in ".:[")):
        return first, rest
    return DOCKER_HUB, name


def _shown(text: str) -> str:
    """Foreign text made safe for a log line: quoted, escaped and cut."""
    return ascii(text[:80])

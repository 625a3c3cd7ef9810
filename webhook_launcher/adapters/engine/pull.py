"""Pull by digest. The engine reports most failures inside a stream that began with 200."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import requests
from urllib3.exceptions import ReadTimeoutError

from webhook_launcher.adapters.engine.connection import APIError, Client
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    LauncherError,
    ManifestNotFoundError,
    PullError,
    RegistryDeniedError,
)
from webhook_launcher.core.model import Image

_PIECE = 64 * 1024
Progress = Callable[[str], None]
# What engines and registries say, in lower case; whatever is not listed is a PullError.
_MISSING = ("manifest unknown", "name unknown", ": not found")
_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth credentials")
_FULL = ("no space left on device", "disk quota exceeded")


class Login(Protocol):
    """A registry credential: a user name and password, or an identity token as password."""

    @property
    def username(self) -> str:
        """The user name."""

    @property
    def password(self) -> str:
        """The password, or the identity token."""

    @property
    def is_identity_token(self) -> bool:
        """Which of the two it is."""


def is_present(client: Client, image: Image) -> bool:
    """True when `repository@digest` is on the engine."""
    return client.find_image(image.pinned) is not None


def pull_image(
    client: Client, image: Image, login: Login | None, clock: Clock, timeout: float, told: Progress
) -> None:
    """Pull `repository@digest` and read the stream to its end.

    Raises PullError, or ManifestNotFoundError and RegistryDeniedError when the text says so.
    """
    deadline = clock.monotonic() + timeout
    try:
        response = client.open_stream(
            "POST",
            "/images/create",
            timeout=timeout,
            params={"fromImage": str(image.reference.repository), "tag": str(image.digest)},
            headers=_authorization(image.reference.repository.registry, login),
        )
    except APIError as error:
        raise _refusal(image, str(error.explanation or error)) from error
    except requests.Timeout as error:
        raise _too_slow(image, timeout) from error
    with response:
        for entry in _entries(response.raw, image, timeout):
            if problem := entry.get("error"):
                raise _refusal(image, str(problem))
            if clock.monotonic() > deadline:
                raise _too_slow(image, timeout)
            if not entry.get("progressDetail"):
                told(" ".join(str(entry[key]) for key in ("id", "status") if key in entry))


def _entries(stream: Any, image: Image, timeout: float) -> Iterator[dict[str, Any]]:
    """The JSON objects of the stream, one a line, whatever its pieces are."""
    rest = b""
    try:
        while piece := stream.read1(_PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (json.loads(line) for line in lines if line.strip())
    except ReadTimeoutError as error:
        raise _too_slow(image, timeout) from error
    if rest.strip():
        yield json.loads(rest)


def _too_slow(image: Image, timeout: float) -> PullError:
    return PullError(f"{image.pinned} was not pulled within {timeout:g} s")


def _authorization(registry: str, login: Login | None) -> dict[str, str]:
    """The X-Registry-Auth header: base64url of JSON (Docker Engine API, "Authentication")."""
    if login is None:
        return {}
    if login.is_identity_token:
        content = {"identitytoken": login.password, "serveraddress": registry}
    else:
        content = {
            "username": login.username,
            "password": login.password,
            "serveraddress": registry,
        }
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(content).encode()).decode()}


def _refusal(image: Image, said: str) -> LauncherError:
    """The error that says who must act.

    The text only chooses among errors that all mean: nothing was pulled, nothing was touched.
    """
    happened = f"the engine could not pull {image.pinned}: {said}"
    text = said.lower()
    if any(words in text for words in _FULL):
        return PullError(happened, advice="Free disk space for the engine: `docker system df`.")
    if any(words in text for words in _DENIED):
        return RegistryDeniedError(happened)
    if any(words in text for words in _MISSING):
        return ManifestNotFoundError(happened)
    return PullError(happened)

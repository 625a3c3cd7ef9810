"""Credentials as `docker login` leaves them: config.json and credential helpers.

The rules are the docker command's: a helper configured for the registry (`credHelpers`, then
`credsStore`) is asked and decides alone; without one the file's `auths` count. The format:
docker/cli, cli/config/configfile; the helpers' protocol: docker/docker-credential-helpers.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webhook_launcher.adapters.registry.settings import Credential
from webhook_launcher.core import strict_json
from webhook_launcher.core.errors import InvalidReferenceError, RegistryDeniedError
from webhook_launcher.core.reference import DOCKER_HUB, parse_registry

# The name under which docker keeps Docker Hub's credentials, from the days of the v1 API.
_HUB_SERVER = "https://index.docker.io/v1/"
# No dash in front and no slash: the name becomes part of a program's name.
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_SECONDS = 10.0
_NOT_FOUND = b"credentials not found in native keychain"
_MAX_CONFIG = 1024 * 1024
# docker writes `https://index.docker.io/v1/access-token` and the like beside the real entry.
_SERVER = re.compile(r"(?:https?://)?(?P<host>[^/]+)(?:/|/v[12]/?)?")

Run = Callable[[Sequence[str], bytes, float], tuple[int, bytes]]


class DockerCredentials:
    """Credentials by registry host, from docker's `config.json`; None where it has none.

    `run(argv, stdin, seconds)` runs a helper and returns its exit status and standard output; it
    raises OSError when there is no such program or it takes too long (TimeoutError). The file is
    read again when it changes; helpers are asked every time, since they rotate what they give.
    Raises RegistryDeniedError, naming the file or the helper, when either cannot be used.
    """

    def __init__(self, config_path: Path, run: Run) -> None:
        self._path = config_path
        self._run = run
        self._read: tuple[tuple[int, ...], Mapping[str, Any]] = ((), {})

    def __call__(self, registry: str) -> Credential | None:
        """The credential for a registry host, as in references (`docker.io`)."""
        config = self._config()
        helper = _entry(config, "credHelpers", registry, self._path) or config.get("credsStore")
        if helper:
            return self._from_helper(helper, registry)
        entry = _entry(config, "auths", registry, self._path)
        return None if not entry else self._from_file(entry, registry)

    def _config(self) -> Mapping[str, Any]:
        """The file's content; empty when there is no file."""
        try:
            found = self._path.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if found.st_size > _MAX_CONFIG:
                raise _unusable(self._path, f"it has more than {_MAX_CONFIG} bytes")
            if version != self._read[0]:
                content = _mapping(strict_json.loads(self._path.read_bytes()), self._path)
                # One assignment: a thread that reads meanwhile sees the old pair or the new one.
                self._read = (version, content)
            return self._read[1]
        except FileNotFoundError:
            return {}
        except strict_json.StrictJsonError as error:
            raise _unusable(self._path, str(error)) from error
        except OSError as error:
            raise _unusable(self._path, error.strerror or "it cannot be read") from error

    def _from_file(self, entry: Any, registry: str) -> Credential | None:
        fields = _mapping(entry, self._path)
        if token := fields.get("identitytoken"):
            return Credential.identity_token(_text(token, self._path))
        username, password = fields.get("username"), fields.get("password")
        if pair := fields.get("auth"):
            username, password = _decoded(_text(pair, self._path), self._path)
        if username and password:
            return Credential(_text(username, self._path), _text(password, self._path))
        if fields.get("registrytoken"):
            raise _unusable(self._path, f"`registrytoken` of {registry} is not supported")
        return None

    def _from_helper(self, name: Any, registry: str) -> Credential | None:
        if not isinstance(name, str) or not _HELPER.fullmatch(name):
            raise _unusable(self._path, f"the name of the credential helper for {registry} is odd")
        program = f"docker-credential-{name}"
        server = _HUB_SERVER if registry == DOCKER_HUB else registry
        try:
            status, output = self._run((program, "get"), server.encode(), _HELPER_SECONDS)
        except OSError as error:
            reason = "takes too long" if isinstance(error, TimeoutError) else "cannot be started"
            raise _helper_failed(program, server, reason) from error
        if status != 0:
            if _NOT_FOUND in output:
                return None
            raise _helper_failed(program, server, f"ends with status {status}")
        return _answered(output, program, server)


def _answered(output: bytes, program: str, server: str) -> Credential:
    try:
        answer: Any = strict_json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
    except (strict_json.StrictJsonError, LookupError, TypeError) as error:
        raise _helper_failed(program, server, "answers something unreadable") from error
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _helper_failed(program, server, "answers something unreadable")
    return Credential(username, secret)


def _entry(config: Mapping[str, Any], section: str, registry: str, path: Path) -> Any:
    """A section's entry for a registry: by docker's own key, else by the key's host."""
    found = config.get(section)
    entries = {} if found is None else _mapping(found, path)
    server = _HUB_SERVER if registry == DOCKER_HUB else registry
    if server in entries:
        return entries[server]
    return next((entries[key] for key in entries if _host(key) == registry), None)


def _host(key: str) -> str | None:
    server = _SERVER.fullmatch(key)
    try:
        return parse_registry(server["host"]) if server else None
    except InvalidReferenceError:
        return None


def _decoded(pair: str, path: Path) -> tuple[str, str]:
    """`auth`: user name and password, base64."""
    try:
        username, colon, password = base64.b64decode(pair, validate=True).decode().partition(":")
    except ValueError as error:
        raise _unusable(path, "an `auth` entry is not base64 of UTF-8") from error
    if not colon:
        raise _unusable(path, "an `auth` entry has no colon")
    return username, password.strip("\0")  # older docker padded it


def _mapping(value: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unusable(path, "an object was expected in it")
    return value


def _text(value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise _unusable(path, "text was expected in an entry of `auths`")
    return value


def _unusable(path: Path, reason: str) -> RegistryDeniedError:
    return RegistryDeniedError(
        f"docker's configuration {path} cannot be used: {reason}",
        advice="Correct the file or log in again with `docker login`, or give the credentials "
        "under `registries:`.",
    )


def _helper_failed(program: str, server: str, reason: str) -> RegistryDeniedError:
    return RegistryDeniedError(
        f"the credential helper {program} {reason} for {server}",
        advice=f"Run it by hand: `echo {server} | {program} get`.",
    )

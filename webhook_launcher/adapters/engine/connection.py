"""Clients of the engine: made when first needed, made anew after the daemon was away."""

import errno
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound, create_api_error_from_http_exception
from docker.transport import UnixHTTPAdapter
from docker.utils import kwargs_from_env

from webhook_launcher.core.causes import causes, in_words, system_error
from webhook_launcher.core.errors import EngineError, EngineUnavailableError
from webhook_launcher.core.model import Platform

# Seconds without a byte from the engine; it answers an inspect in 2 ms when it is well.
_TIMEOUT = 30
_BAD_REQUEST = 400
_DEFAULT_HOST = "unix:///var/run/docker.sock"
# By what the system says of the socket; the error's own advice otherwise.
_ADVICE = {
    errno.ENOENT: "Start the Docker Engine, or name its socket in DOCKER_HOST; a launcher in a "
    "container needs it mounted (`-v /var/run/docker.sock:/var/run/docker.sock`).",
    errno.ECONNREFUSED: "Start the Docker Engine: its address is there, and nobody listens.",
    errno.EACCES: "Give this user the group that owns the socket (in a container: `group_add`, "
    "`DOCKER_GID` in `.env`).",
}
# Gone, refused, timed out, or broken in the middle of an answer. APIError is among the first, and
# is caught before: it is an answer.
_AWAY = (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError)
__all__ = ["APIError", "Client", "Connection", "NotFound"]


class _OneSocket(UnixHTTPAdapter):
    """Keeps one idle socket. The SDK's keeps a pool for each URL, and every id makes another URL.

    So each of our clients would hold 25 sockets, of which hardly one was used twice.
    """

    def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - the SDK's
        """The one pool, whatever is asked."""
        return super().get_connection("http+docker://engine", proxies)


class Client(APIClient):
    """The SDK's client with time limits and raw streams, which its own methods do not offer."""

    # Of the engine behind it, once asked.
    platform: Platform | None = None
    # The socket's path, and the file that was there before we connected.
    _socket: tuple[str, object] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        before = self.adapters.get("http+docker://")
        if isinstance(before, UnixHTTPAdapter):
            before.close()
            self._socket = before.socket_path, _file_at(before.socket_path)
            self._custom_adapter = _OneSocket(before.socket_path, before.timeout, max_pool_size=1)
            self.mount("http+docker://", self._custom_adapter)

    def still_leads_there(self) -> bool:
        """False once the socket's file is gone or another one.

        A connection outlives the file: we would go on with an engine to which Compose, which
        connects anew for each command, has no way or no longer goes.
        """
        return self._socket is None or self._socket[1] == _file_at(self._socket[0])

    def open_stream(
        self,
        method: str,
        path: str,
        *names: str,
        timeout: float,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> requests.Response:
        """Begin a request whose answer is read piece by piece; the caller closes it.

        `timeout` bounds the wait for each piece. Raises APIError for an error status.
        """
        quoted = [quote(name, safe="/:") for name in names]
        response = self.request(
            method,
            f"{self.base_url}/v{self.api_version}{path.format(*quoted)}",
            params=params,
            headers=headers,
            json=body,
            stream=True,
            timeout=timeout,
        )
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            with response:
                raise create_api_error_from_http_exception(error) from error
        return response

    def find_image(self, name: str) -> dict[str, Any] | None:
        """The inspected image, by id or reference; None when it is not there."""
        try:
            found: dict[str, Any] = self.inspect_image(name)  # type: ignore[no-untyped-call]
        except NotFound:
            return None
        return found

    def list_containers(self, labels: Sequence[str], **filters: str) -> list[dict[str, Any]]:
        """Containers, stopped ones included, that have all the labels."""
        found: list[dict[str, Any]] = self.containers(
            all=True, filters={"label": list(labels), **filters}
        )
        return found


class Connection:
    """A stack of idle clients: each call takes one and puts it back.

    An SDK client is a `requests.Session`, which does not promise to be safe for several threads;
    this way none is ever used by two at a time, and there are as many as are needed at once.
    """

    def __init__(self, environment: Mapping[str, str], timeout: int = _TIMEOUT) -> None:
        self._environment = dict(environment)
        self._timeout = timeout
        self._idle: deque[Client] = deque()

    @property
    def host(self) -> str:
        """Where the engine is, as configured."""
        return self._environment.get("DOCKER_HOST") or _DEFAULT_HOST

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the duration of a call.

        Raises EngineUnavailableError when the engine does not answer, EngineError when it answers
        with an error that the caller did not expect. A client that failed is not used again.
        """
        client = self._take()
        try:
            yield client
        except APIError as error:
            if error.status_code == _BAD_REQUEST:
                client.close()  # an engine that was upgraded may refuse the API version agreed on
            else:
                self._idle.append(client)
            raise EngineError(f"the engine refuses: {error.explanation or error}") from error
        except _AWAY as error:
            client.close()
            self.close()  # the others were connected to the same daemon
            raise self._unavailable("went away", error) from error
        except BaseException:
            client.close()
            raise
        self._idle.append(client)

    def close(self) -> None:
        """Close the idle clients; the next call makes new ones."""
        while client := self._pop():
            client.close()

    def _take(self) -> Client:
        while client := self._pop():
            if client.still_leads_there():
                return client
            client.close()
        return self._connect()

    def _pop(self) -> Client | None:
        try:
            return self._idle.pop()  # atomic, unlike asking first whether there is one
        except IndexError:
            return None

    def _connect(self) -> Client:
        try:
            parts = kwargs_from_env(environment=self._environment)
            # The SDK's own ssh needs paramiko; the ssh program knows the user's configuration.
            by_ssh = str(parts.get("base_url", "")).startswith("ssh://")
            return Client(version="auto", timeout=self._timeout, use_ssh_client=by_ssh, **parts)
        except (DockerException, *_AWAY) as error:
            raise self._unavailable("does not answer", error) from error

    def _unavailable(self, what: str, error: Exception) -> EngineUnavailableError:
        """In the words of the system, which the libraries hide in theirs."""
        said = system_error(error)
        _let_go(error)
        return EngineUnavailableError(
            f"the engine at {self.host} {what}: {in_words(error, otherwise=str(error))}",
            advice=_ADVICE.get(said.errno or 0) if said else None,
        )


def _let_go(error: BaseException) -> None:
    """Of the socket: when it does not connect, the SDK leaves it open in frames that errors keep.

    Until the next collection of garbage there would be one more for every call.
    """
    for one in causes(error):
        traceback.clear_frames(one.__traceback__)


def _file_at(path: str) -> tuple[int, int, int] | None:
    """Which file that is; an inode's number is given again, the time of its last change is not."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns

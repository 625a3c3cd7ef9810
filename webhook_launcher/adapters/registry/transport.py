"""One HTTP exchange with limits on everything: size, time, redirects, encodings.

It stands on requests' HTTPAdapter and not on its Session. What a Session adds is what must not
happen here: proxies, netrc and certificates taken from the environment, redirects followed with
credentials, cookies. And an adapter, whose state is urllib3's pool, may be used by many threads.
"""

import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus

import requests
import urllib3

from webhook_launcher.adapters.registry.connection import BoundedAdapter
from webhook_launcher.adapters.registry.settings import Timeouts
from webhook_launcher.core.causes import causes, in_words
from webhook_launcher.core.errors import RegistryError, RegistryUnavailableError

_CHUNK = 64 * 1024
# Nobody reads more of a refusal; what is longer is dropped together with its connection.
_REFUSAL_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. Header names match in any case; `body` is what was sent, undecoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty when there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Deadline:
    """The moment after which no request of a lookup is begun or waited for."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now = now
        self._seconds = seconds
        self._end = now() + seconds

    def at_most(self, seconds: float) -> float:
        """`seconds`, or what is left if that is less. Raises TimeoutError when nothing is."""
        left = self._end - self._now()
        if left <= 0:
            raise TimeoutError(f"no end within {self._seconds:g} s")
        return min(seconds, left)


class Transport:
    """Sends requests. `trust` holds the accepted certificate authorities, default the system's.

    The system's store is what the engine trusts too: an authority that is installed there serves
    both. Safe for use by several threads; connections are kept and used again.
    """

    def __init__(self, timeouts: Timeouts, trust: ssl.SSLContext | None = None) -> None:
        self._timeouts = timeouts
        self._adapter = BoundedAdapter(trust or ssl.create_default_context())

    def close(self) -> None:
        """Close the kept connections; those in use close when their answer is complete."""
        self._adapter.close()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        deadline: Deadline,
        limit: int,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its complete answer, whatever the status; redirects are answers.

        Raises RegistryUnavailableError when there is none in time, and RegistryError for a 200
        whose body exceeds `limit` bytes or is encoded. Of a refusal the body is cut, or left out.
        """
        wanted = requests.Request(method, url, headers=dict(headers), data=dict(form or {}))
        try:
            try:
                return self._exchange(wanted.prepare(), deadline, limit)
            except requests.ConnectionError as error:
                # The server closed a kept connection just as we used it. Every request of ours
                # may be repeated: GET, HEAD, and a POST that only reads.
                if isinstance(error, requests.Timeout) or not _was_cut(error):
                    raise
                return self._exchange(wanted.prepare(), deadline, limit)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _unavailable(_host(url), error) from error

    def _exchange(
        self, request: requests.PreparedRequest, deadline: Deadline, limit: int
    ) -> Answer:
        timeout = (
            deadline.at_most(self._timeouts.connect),
            deadline.at_most(self._timeouts.response),
        )
        with closing(self._adapter.send(request, stream=True, timeout=timeout)) as response:
            ok = response.status_code == HTTPStatus.OK
            most = limit if ok else _REFUSAL_LIMIT
            # We ask for no encoding: decoding would need a second limit, and hash other bytes.
            encoding = response.headers.get("Content-Encoding", "").lower()
            encoded = encoding not in ("", "identity")
            body = b"" if encoded else _beginning(response, most + 1)
            if ok and encoded:
                raise RegistryError(
                    f"registry {_host(response.url)} sends an encoded body ({encoding[:20]!a})",
                    advice="Turn compression off in the proxy before the registry.",
                )
            if ok and len(body) > limit:
                raise RegistryError(
                    f"registry {_host(response.url)} sends more than {limit} bytes",
                    advice="Look at what it serves there; a manifest has 4 MiB at most.",
                )
            return Answer(response.status_code, response.headers, body[:most])


def _beginning(response: requests.Response, most: int) -> bytes:
    """The body, or at least its first `most` bytes; no more than one chunk beyond is read."""
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) >= most:
            break
    return bytes(body)


def _host(url: str) -> str:
    """The address in a URL that we built."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0]


def _was_cut(error: BaseException) -> bool:
    cut = (ConnectionResetError, BrokenPipeError)  # RemoteDisconnected is a ConnectionResetError
    return any(isinstance(cause, cut) for cause in causes(error))


def _unavailable(host: str, error: Exception) -> RegistryUnavailableError:
    """What went wrong, in the words of the system; never a header or a URL of the request."""
    chain = causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        return RegistryUnavailableError(
            f"the certificate of registry {host} is not trusted",
            advice="Install its authority in this system's certificate store (in the container, "
            "if the launcher runs in one), or correct the certificate's names and dates.",
        )
    if any(isinstance(cause, ssl.SSLError) for cause in chain):
        return RegistryUnavailableError(
            f"registry {host} does not speak TLS with us",
            advice=f"If it speaks plain HTTP, set `insecure: true` for {host} under `registries:`.",
        )
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in chain):
        return RegistryUnavailableError(f"registry {host} does not answer in time")
    reason = in_words(error, otherwise="it breaks the connection or speaks no HTTP")
    return RegistryUnavailableError(f"registry {host} cannot be reached: {reason}")

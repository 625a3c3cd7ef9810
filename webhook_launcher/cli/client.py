"""A small client of the launcher's own HTTP interface."""

import json
import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from webhook_launcher.core.causes import causes, in_words, system_error
from webhook_launcher.core.errors import LauncherError

_TIMEOUT = (5, 30)
_FIRST_ERROR = 400  # RFC 9110: 4xx and 5xx are errors
_PASSING = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


class UnreachableError(LauncherError):
    """The launcher did not answer, or answered something else than JSON."""

    code = "launcher-unreachable"
    default_advice = "Check that `webhook-launcher serve` runs and that --url is its address."


class RefusedError(LauncherError):
    """The launcher answered with a problem document."""

    code = "refused"
    default_advice = "The launcher's log says more."

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        happened = f"{problem.get('title', 'refused')}: {problem.get('detail', '')} (HTTP {status})"
        super().__init__(happened, advice=str(problem.get("advice") or self.default_advice))

    @property
    def passing(self) -> bool:
        """True when the same request may be accepted later."""
        return self.status in _PASSING


class Client:
    """Speaks to one launcher. `token` is the admin token, for what needs it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._base = url.rstrip("/")
        parts = urlsplit(url)
        # For messages: neither the path, which may end in a token, nor a password.
        self._shown = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._session = requests.Session()
        # No proxy of the environment is between us and this machine; and a .netrc, which
        # requests prefers to our own header, is nobody's admin token.
        self._session.trust_env = not _is_loopback(parts.hostname or "")
        self._session.auth = lambda request: request
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, *path: str, **query: str) -> dict[str, Any]:
        """GET a JSON object; `path` in parts, each of which may be anything."""
        return self._ask("GET", path, params=query)

    def get_lines(self, *path: str, **query: str) -> list[bytes]:
        """GET JSON documents, one per line, byte for byte; none when there are none."""
        response = self._send("GET", path, params=query)
        if response.headers.get("Content-Type") == "application/x-ndjson":
            return response.content.splitlines()
        self._told(response)
        raise self.unusable("not JSON lines")

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST a JSON object."""
        headers = {"Content-Type": "application/json"}
        return self._ask("POST", path, data=json.dumps(body or {}).encode(), headers=headers)

    def post_raw(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """POST exact bytes to the URL itself, for signed deliveries."""
        return self._ask("POST", (), data=body, headers=dict(headers))

    def follow(
        self,
        *path: str,
        seconds: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        report: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any] | None:
        """GET until everything is final; None when the time is over. Outlives short outages."""
        deadline = now() + seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                state = self.get(*path)
                report(state)
                if all(intent["final"] for intent in intents_of(state)):
                    return state
            except UnreachableError:
                pass  # it may be restarting; what it accepted is in its journal
            except RefusedError as error:
                if not error.passing:
                    raise
            left = deadline - now()
            if left <= 0:
                return None
            sleep(min(pause, left))
            pause = min(_LONGEST_PAUSE, pause * 1.3)

    def unusable(self, why: str) -> UnreachableError:
        """The error for an answer that no launcher gives."""
        return UnreachableError(f"{self._shown}: no usable answer from a launcher ({why})")

    def _ask(self, method: str, path: tuple[str, ...], **options: Any) -> dict[str, Any]:
        return self._told(self._send(method, path, **options))

    def _send(self, method: str, path: tuple[str, ...], **options: Any) -> requests.Response:
        url = "/".join([self._base, *(quote(part, safe="") for part in path)])
        try:
            return self._session.request(
                method, url, timeout=_TIMEOUT, allow_redirects=False, **options
            )
        except (requests.RequestException, ValueError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> UnreachableError:
        """Never the text of requests' error: it quotes the URL, which may end in a token."""
        chain = causes(error)
        said = system_error(error)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
            return UnreachableError(
                f"the certificate of {self._shown} is not trusted",
                advice="Name the launcher in --url as its certificate does, or have its authority "
                "trusted (REQUESTS_CA_BUNDLE).",
            )
        if any(isinstance(cause, ssl.SSLError) for cause in chain):
            return UnreachableError(
                f"{self._shown} does not speak TLS with us",
                advice="For a launcher without a TLS proxy, --url begins with http://.",
            )
        if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in chain):
            return UnreachableError(f"the launcher at {self._shown} does not answer in time")
        if said is not None:
            words = in_words(error, otherwise="")
            return UnreachableError(f"the launcher at {self._shown} cannot be reached: {words}")
        return self.unusable("it breaks the connection or speaks no HTTP")

    def _told(self, response: requests.Response) -> dict[str, Any]:
        """The JSON object of an answer; RefusedError when it is a problem."""
        try:
            body = response.json()
        except ValueError:
            raise self.unusable("not JSON") from None
        if not isinstance(body, dict):
            raise self.unusable("not a JSON object")
        if response.status_code >= _FIRST_ERROR:
            raise RefusedError(response.status_code, body)
        return body


def intents_of(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The intents of a delivery's state, or the one that is the state itself."""
    return list(state["intents"]) if "intents" in state else [dict(state)]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

"""A small client of the launcher's own HTTP interface."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from webhook_launcher.core.errors import LauncherError

_TIMEOUT = (5, 30)


class UnreachableError(LauncherError):
    """The launcher did not answer, or answered something else than JSON."""

    code = "launcher-unreachable"
    default_advice = "Check that `webhook-launcher serve` runs and that --url is its address."


class RefusedError(LauncherError):
    """The launcher answered with a problem document."""

    code = "refused"

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        happened = f"{problem.get('title', 'refused')}: {problem.get('detail', '')} (HTTP {status})"
        super().__init__(happened, advice=str(problem.get("advice") or self.default_advice))


class Client:
    """Speaks to one launcher. `token` is the admin token, for what needs it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._base = url.rstrip("/")
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """GET a JSON object."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST a JSON object."""
        return self._ask("POST", path, data=json.dumps(body or {}).encode())

    def post_raw(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """POST exact bytes to the URL itself, for signed deliveries."""
        return self._ask("POST", "", data=body, headers=dict(headers))

    def follow(
        self,
        read: Callable[[], dict[str, Any]],
        *,
        seconds: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        report: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any] | None:
        """Read until everything is final; None when the time is over. Outlives short outages."""
        deadline = now() + seconds
        pause = 0.2
        while True:
            try:
                state = read()
                report(state)
                if all(intent["final"] for intent in intents_of(state)):
                    return state
            except UnreachableError:
                pass  # it may be restarting; what it accepted is in its journal
            if now() >= deadline:
                return None
            sleep(pause)
            pause = min(2.0, pause * 1.3)

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._session.request(
                method, self._base + path, timeout=_TIMEOUT, allow_redirects=False, **options
            )
            body = response.json()
        except (requests.RequestException, ValueError) as error:
            # The class only: the text of a requests error quotes the URL, which may end in a token.
            raise UnreachableError(
                f"no usable answer from the launcher ({type(error).__name__})"
            ) from None
        if not isinstance(body, dict):
            raise UnreachableError("the answer is not a JSON object")
        if response.status_code >= 400:  # noqa: PLR2004 - RFC 9110: 4xx and 5xx are errors
            raise RefusedError(response.status_code, body)
        return body


def intents_of(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The intents of a delivery's state, or the one that is the state itself."""
    return list(state["intents"]) if "intents" in state else [dict(state)]

"""A container's own healthcheck, run now instead of at the engine's next interval."""

from collections.abc import Iterator
from typing import Any

import requests
from urllib3.exceptions import ReadTimeoutError

from webhook_launcher.adapters.engine.connection import APIError, Client
from webhook_launcher.adapters.engine.frames import Tail, read_frames
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Healthcheck, ProbeResult

# What the engine itself keeps of a probe's output (moby, daemon/health.go).
_MAX_OUTPUT = 4096
_PIECE = 16 * 1024
# The exit status arrives by another way than the output, a moment later at worst.
_NAP = 0.005


def run_probe(
    client: Client, container_id: str, check: Healthcheck, timeout: float, clock: Clock
) -> ProbeResult:
    """Execute the check in the container as the engine would: same user, environment, directory.

    Three calls, nearly all of their time the start of the command. A command that outlives
    `timeout` has failed; it cannot be ended from outside, as with the engine's own probes.
    """
    deadline = clock.monotonic() + timeout
    kept = Tail(_MAX_OUTPUT)
    try:
        exec_id = client.exec_create(container_id, list(check.command))["Id"]
        body = {"Detach": False, "Tty": False}
        with client.open_stream(
            "POST", "/exec/{0}/start", exec_id, timeout=timeout, body=body
        ) as response:
            read_frames(_pieces(response, deadline, clock), kept)
        status = _exit_status(client, exec_id, deadline, clock)
    except (ReadTimeoutError, requests.Timeout, TimeoutError):
        return ProbeResult(False, f"no result within {timeout:g} s {kept.text()}".rstrip())
    except APIError as error:
        # Not running, paused, restarting, gone: there is nothing to ask, so it is not healthy.
        return ProbeResult(False, f"cannot be run: {error.explanation or error}")
    return ProbeResult(status == 0, f"exit status {status}: {kept.text()}".rstrip())


def _pieces(response: requests.Response, deadline: float, clock: Clock) -> Iterator[bytes]:
    """The answer as it comes; TimeoutError when a talkative command passes the deadline."""
    while piece := response.raw.read1(_PIECE):
        yield piece
        if clock.monotonic() > deadline:
            raise TimeoutError


def _exit_status(client: Client, exec_id: str, deadline: float, clock: Clock) -> int:
    while True:
        found: dict[str, Any] = client.exec_inspect(exec_id)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        if clock.monotonic() > deadline:
            raise TimeoutError
        clock.sleep(_NAP)

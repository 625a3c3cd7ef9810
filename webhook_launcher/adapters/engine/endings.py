"""Whether the engine ended a container, or its program by itself: asked of the engine's events."""

import json
from datetime import datetime

import requests
from urllib3.exceptions import ReadTimeoutError

from webhook_launcher.adapters.engine.connection import Client, NotFound

# Seconds for an answer from the engine's memory.
_TIMEOUT = 5.0
# The engine notes a signal once it was sent: a program that obeys at once may have ended before.
_NOTED_WITHIN = 0.5
_TIMEOUTS = (requests.Timeout, ReadTimeoutError)


def was_signalled(client: Client, container_id: str) -> bool:
    """True when a signal was sent through the engine between the container's start and its end.

    Both times are the engine's own, so that no clock of ours matters; the answer ends when the
    later one is past. The engine remembers its last 256 events (moby, daemon/events).
    """
    try:
        found = client.inspect_container(container_id)
    except NotFound:
        return True  # somebody removed it
    state = found["State"]
    if state["Running"]:
        # It runs again: its restart policy counts what it starts, and a person's start does not.
        return not found.get("RestartCount")
    wanted = {"type": ["container"], "event": ["kill"], "container": [container_id]}
    started, ended = _seconds(state["StartedAt"]), _seconds(state["FinishedAt"])
    params = {
        # A program that ends at once can be noted as ended before it is noted as started.
        "since": f"{min(started, ended):.6f}",
        "until": f"{ended + _NOTED_WITHIN:.6f}",
        "filters": json.dumps(wanted),
    }
    try:
        with client.open_stream("GET", "/events", timeout=_TIMEOUT, params=params) as response:
            return bool(response.content.strip())
    except requests.RequestException as error:
        if not any(isinstance(cause, _TIMEOUTS) for cause in (error, *error.args)):
            raise
        return False  # the host's clock was set back: the answer would end in the future


def _seconds(time: str) -> float:
    """Seconds of the epoch."""
    return datetime.fromisoformat(time).timestamp()

"""Which engine this is, whether it is new enough, and what time it has."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from docker.utils import version_lt

from webhook_launcher.adapters.engine.connection import APIError, Client
from webhook_launcher.core.errors import EngineError

# Engine 20.10: the oldest on which the tests run (`make test-engines`).
MINIMUM_API = "1.41"
_UPGRADE = "Upgrade to Docker Engine 20.10 or newer."


def read_versions(client: Client) -> Mapping[str, str]:
    """`engine`, `api` (agreed on), `store` and `os`; EngineError when it is too old.

    A proxy before the socket may forbid `/info`, which no deployment needs: then store and system
    are `unknown`.
    """
    said = client.version()
    if version_lt(client.api_version, MINIMUM_API):
        raise EngineError(
            f"Docker Engine {said['Version']} (API {client.api_version}) is too old",
            advice=_UPGRADE,
        )
    facts = _facts(client)
    system = f"{facts['OperatingSystem']}, {facts['KernelVersion']}" if facts else "unknown"
    return {
        "engine": said["Version"],
        "api": client.api_version,
        "store": facts.get("Driver", "unknown"),
        "os": system,
    }


def read_clock(client: Client) -> datetime | None:
    """The engine's time; None where it does not tell."""
    said = _facts(client).get("SystemTime")
    return datetime.fromisoformat(said) if said else None


def _facts(client: Client) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.info()
    except APIError:
        return {}
    return found

"""An inspected container, as the engine's API describes it, as a `Container`."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from webhook_launcher.adapters.engine.connection import Client, NotFound
from webhook_launcher.core.container import Container, Healthcheck

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
# Set for ever on a container that was made to replace another one.
REPLACE = "com.docker.compose.replace"
ONE_OFF = "com.docker.compose.oneoff"
_SHELL = ("/bin/sh", "-c")
_NANO = 1_000_000_000
# The engine's defaults where a healthcheck says nothing (moby, daemon/health.go).
_INTERVAL = _TIMEOUT = 30.0
_RETRIES = 3


def find_containers(
    client: Client, project: str, services: Collection[str] | None
) -> list[Container]:
    """Return the services' containers (None: all), stopped ones included, `run` ones not."""
    found = [parse_container(one) for one in inspect_containers(client, project, services)]
    return sorted(found, key=lambda container: (container.service, container.number))


def inspect_containers(
    client: Client, project: str, services: Collection[str] | None
) -> list[dict[str, Any]]:
    """The same, as the engine describes them."""
    found = []
    for listed in client.list_containers([f"{PROJECT}={project}"]):
        labels = listed.get("Labels") or {}
        if labels.get(ONE_OFF) == "True":
            continue
        if services is not None and labels.get(SERVICE) not in services:
            continue
        try:
            found.append(client.inspect_container(listed["Id"]))
        except NotFound:
            continue  # removed since it was listed
    return found


def parse_container(inspected: Mapping[str, Any]) -> Container:
    """Read the answer of `GET /containers/{id}/json`."""
    state, config = inspected["State"], inspected["Config"]
    labels = config.get("Labels") or {}
    health = (state.get("Health") or {}).get("Status")
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        service=labels.get(SERVICE, ""),
        number=int(labels.get(NUMBER) or 1),
        image=inspected["Image"],
        image_ref=config.get("Image") or "",
        status=state["Status"],
        # The engine's own `Running` stays true for what is paused or between two restarts.
        running=state["Status"] == "running",
        exit_code=int(state["ExitCode"]),
        oom_killed=bool(state.get("OOMKilled")),
        restart_count=int(inspected.get("RestartCount") or 0),
        started_at=_time(state.get("StartedAt")),
        health=None if health in (None, "", "none") else health,
        healthcheck=parse_healthcheck(config),
        manifest=(inspected.get("ImageManifestDescriptor") or {}).get("digest"),
        restarts_always=_restart_policy(inspected) in ("always", "unless-stopped"),
        replaced=REPLACE in labels,
    )


def parse_healthcheck(config: Mapping[str, Any]) -> Healthcheck | None:
    """The healthcheck of a container's Config; None when there is none or it is `NONE`.

    The engine has merged the image's into it already. CMD-SHELL runs in the image's own SHELL.
    """
    declared = config.get("Healthcheck") or {}
    kind, *words = declared.get("Test") or [""]
    if kind == "CMD-SHELL" and words:
        command = (*(config.get("Shell") or _SHELL), words[0])
    elif kind == "CMD" and words:
        command = tuple(words)
    else:
        return None
    return Healthcheck(
        command=command,
        interval=_seconds(declared.get("Interval")) or _INTERVAL,
        timeout=_seconds(declared.get("Timeout")) or _TIMEOUT,
        start_period=_seconds(declared.get("StartPeriod")),
        retries=declared.get("Retries") or _RETRIES,
    )


def _restart_policy(inspected: Mapping[str, Any]) -> str:
    policy = (inspected.get("HostConfig") or {}).get("RestartPolicy") or {}
    return policy.get("Name") or "no"


def _seconds(nanoseconds: int | None) -> float:
    return (nanoseconds or 0) / _NANO


def _time(text: str | None) -> datetime | None:
    """An aware time; None for the zero time, by which the engine says `never`."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)

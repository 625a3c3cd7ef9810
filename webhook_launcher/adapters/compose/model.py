"""What `config --format json` says of a project: its services and which of them run an image."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from webhook_launcher.core.errors import ComposeError, InvalidReferenceError
from webhook_launcher.core.reference import Repository, parse_reference

# `~` is somebody's home, wherever the project is.
_NOT_RELATIVE = ("/", "~")


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its image's repository, and whether `up` without names would keep it running.

    `waited_for` marks a job that others wait for to complete, such as a migration. `may_complete`
    marks a service with an explicit `restart: "no"` or `on-failure` and no published ports.
    """

    repository: Repository | None
    profiles: frozenset[str] = frozenset()
    replicas: int = 1
    waited_for: bool = False
    may_complete: bool = False

    def serves(self, active: Collection[str]) -> bool:
        """True for what should be running: not switched off by profile or scale, and no job."""
        enabled = not self.profiles or bool(self.profiles & {*active})
        return (enabled or "*" in active) and self.replicas > 0 and not self.waited_for


@dataclass(frozen=True, slots=True)
class ProjectModel:
    """The services of a project by name."""

    services: Mapping[str, Service]

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read the output of `config --format json`; ComposeError when it is something else."""
        try:
            services = json.loads(text)["services"]
            jobs = {job for body in services.values() for job in _jobs(body)}
            return cls({name: _service(body, name in jobs) for name, body in services.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unexpected(text, error) from error

    def running(self, repository: Repository, active: Collection[str]) -> tuple[str, ...]:
        """The services that should run an image of `repository`, in alphabetical order."""
        return tuple(
            sorted(
                name
                for name, service in self.services.items()
                if service.repository == repository and service.serves(active)
            )
        )

    def listed(self, repository: Repository, names: Collection[str]) -> tuple[str, ...]:
        """Those of the named services whose image is of `repository`."""
        return tuple(name for name in names if self.services[name].repository == repository)


def mounts_relatively(text: bytes, services: Collection[str]) -> bool:
    """True when one of the services mounts a path relative to the project directory.

    `text` is of `config --format json --no-path-resolution`. Secrets and configs that are files
    are bind mounts too.
    """
    try:
        document = json.loads(text)
        bodies = [document["services"][name] for name in services]
        paths = [
            mount["source"]
            for body in bodies
            for mount in body.get("volumes") or ()
            if mount["type"] == "bind"
        ]
        for kind in ("secrets", "configs"):
            used = [use["source"] for body in bodies for use in body.get(kind) or ()]
            paths += [document[kind][name].get("file", "/") for name in used]
        return any(not path.startswith(_NOT_RELATIVE) for path in paths)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unexpected(text, error) from error


def _service(body: Mapping[str, Any], waited_for: bool) -> Service:
    replicas = body.get("scale", (body.get("deploy") or {}).get("replicas", 1))
    return Service(
        _repository(body.get("image")),
        frozenset(body.get("profiles") or ()),
        1 if replicas is None else int(replicas),
        waited_for,
        _restarts_never(body) and not body.get("ports"),
    )


def _restarts_never(body: Mapping[str, Any]) -> bool:
    """Return True for an explicit `no` or `on-failure[:count]`.

    Without a policy the engine does not restart a container either, but then nobody said that the
    service completes.
    """
    policy, _, _ = str(body.get("restart", "")).partition(":")
    return policy in ("no", "on-failure")


def _repository(image: str | None) -> Repository | None:
    try:
        return parse_reference(image).repository if image else None
    except InvalidReferenceError:
        return None  # a local name that no registry could serve: not ours


def _jobs(body: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, dependency in (body.get("depends_on") or {}).items()
        if dependency.get("condition") == "service_completed_successfully"
    ]


def _unexpected(text: bytes, error: Exception) -> ComposeError:
    return ComposeError(
        f"`config --format json` printed something unexpected: {error!r}",
        output=text.decode("utf-8", "replace"),
    )

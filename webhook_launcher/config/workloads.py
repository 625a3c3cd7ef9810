"""The `workloads:` section."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.config.policies import read_policies
from webhook_launcher.config.track import read_track
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import (
    ComposeProject,
    HealthSettings,
    Hooks,
    PollSettings,
    Workload,
)

# A confidential VM runs its own launcher under this name; the seed's agent refuses it as well.
_RESERVED = frozenset({"dstack"})
# Releases whose images stay: the one that runs and the one to return to.
_KEEP: int | None = 2


def read_workload(section: Section, name: str, poll: PollSettings) -> Workload:
    """One workload; problems are recorded in the section."""
    values.check_name(section, name)
    workload = Workload(
        name=name,
        repository=section.take("image", values.repository),
        track=read_track(section),
        project=_project(section, name),
        health=_health(section),
        hooks=_hooks(section),
        poll=read_poll(section, poll),
        rollback=section.take("rollback", values.boolean, True),
        keep=section.take("keep", values.count_or_all, _KEEP),
        policies=read_policies(section),
        companions=section.take("images", _repositories, ()),
    )
    section.finish()
    if workload.repository in workload.companions:
        section.problem("images", "names `image` again; list only the further ones")
    if workload.companions:
        project = replace(workload.project, default_image=workload.repository)
        return replace(workload, project=project)
    return workload


def _repositories(value: Any) -> tuple[Repository, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of further images, such as [ghcr.io/acme/worker]")
    found = tuple(values.repository(item) for item in value)
    if len({*found}) != len(found):
        raise ValueError("names one image twice")
    return found


def read_poll(section: Section, default: PollSettings) -> PollSettings:
    """The `poll` key: `{every: 15m, jitter: 20%}`; absent parts are inherited."""
    poll = section.section("poll")
    found = PollSettings(
        poll.take("every", values.duration_or_off, default.every),
        poll.take("jitter", values.share, default.jitter),
    )
    poll.finish()
    return found


def _project(section: Section, name: str) -> ComposeProject:
    compose = section.section("compose")
    no_files: tuple[Path, ...] = ()
    files = compose.take("file", _files(section.base), no_files)
    inline = compose.take("inline", _inline, None)
    beside = files[0].parent if files else section.base
    project = ComposeProject(
        name=compose.take("project", _project_name, name),
        directory=compose.take("directory", _directory(section.base), beside),
        files=files,
        inline=inline,
        services=compose.take("services", values.names, ()),
    )
    compose.finish()
    if "project" not in compose and name in _RESERVED:
        compose.problem("project", _reserved(name))
    if "file" in compose and "inline" in compose:
        compose.problem("", "has both file and inline; keep one")
    if not any(key in compose for key in ("file", "inline", "directory")):
        compose.problem(
            "", "needs file, inline, or directory (with one of compose's own file names in it)"
        )
    _check_services(compose, inline, project.services)
    return project


def _check_services(
    compose: Section, inline: Mapping[str, Any] | None, services: tuple[str, ...]
) -> None:
    if inline is None:
        return
    for unknown in sorted(set(services) - inline["services"].keys()):
        compose.problem("services", f"{unknown!r} is not a service of the inline document")


def _project_name(value: Any) -> str:
    name = values.name(value)
    if name in _RESERVED:
        raise ValueError(_reserved(name))
    return name


def _reserved(name: str) -> str:
    return f"{name!r} belongs to the platform; choose another project name"


def _directory(base: Path) -> Callable[[Any], Path]:
    path = values.path_from(base)

    def parse(value: Any) -> Path:
        found = path(value)
        if not found.is_dir():
            raise ValueError(f"{found} is not a directory")
        return found

    return parse


def _files(base: Path) -> Callable[[Any], tuple[Path, ...]]:
    path = values.path_from(base)

    def parse(value: Any) -> tuple[Path, ...]:
        listed = value if isinstance(value, list) else [value]
        if not listed:
            raise ValueError("must name at least one file")
        found = tuple(path(item) for item in listed)
        for item in found:
            if not item.is_file():
                raise ValueError(f"{item} is not a file")
        return found

    return parse


def _inline(value: Any) -> dict[str, Any]:
    services = value.get("services") if isinstance(value, dict) else None
    if not isinstance(services, dict) or not services:
        raise ValueError("must be a compose document with at least one service under `services`")
    for service, body in services.items():
        if body is not None and not isinstance(body, dict):
            raise ValueError(f"service {service!r} must be a mapping")
    return dict(values.plain(value))


def _health(section: Section) -> HealthSettings:
    health = section.section("health")
    found = HealthSettings(
        health.take("timeout", values.duration, None),
        health.take("settle", values.duration_or_zero, None),
    )
    health.finish()
    return found


def _hooks(section: Section) -> Hooks:
    hooks = section.section("hooks")
    argvs = values.argvs_from(section.base)
    found = Hooks(
        hooks.take("before", argvs, ()),
        hooks.take("after", argvs, ()),
        hooks.take("timeout", values.duration, 60.0),
    )
    hooks.finish()
    return found

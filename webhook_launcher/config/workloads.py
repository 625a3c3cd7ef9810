"""The `workloads:` section."""

import re
from pathlib import Path
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core.reference import Repository
from webhook_launcher.core.workload import (
    ComposeProject,
    HealthSettings,
    Hooks,
    PollSettings,
    Track,
    TrackKind,
    Workload,
)

# In the contract and not built yet: named, so that the message is not "unknown key".
_LATER = ("semver", "pattern", "file")
# The launcher's own default project name; the seed's agent refuses the name of its own project.
_RESERVED = frozenset({"dstack"})


def read_workload(section: Section, name: str, poll: PollSettings) -> Workload:
    """One workload; problems are recorded in the section."""
    try:
        values.name(name)
    except ValueError as error:
        section.problem("", f"the name {error}")
    image: Repository = section.take("image", values.repository)
    workload = Workload(
        name=name,
        repository=image,
        track=_track(section),
        project=_project(section, name),
        health=_health(section),
        hooks=_hooks(section),
        poll=read_poll(section, poll),
        rollback=section.take("rollback", values.boolean, True),
        policies=section.take("policy", _policies, ()),
    )
    section.finish()
    return workload


def read_poll(section: Section, default: PollSettings) -> PollSettings:
    """The `poll` key: `{every: 15m, jitter: 20%}`; absent parts are inherited."""
    if "poll" not in section:
        section.take("poll", values.text, "")
        return default
    poll = section.section("poll")
    found = PollSettings(
        poll.take("every", values.duration_or_off, default.every),
        poll.take("jitter", values.share, default.jitter),
    )
    poll.finish()
    return found


def _track(section: Section) -> Track:
    """`{tag: stable}`, `{command: [...]}` or `none`."""
    if section.take("track", _is_none, None):
        return Track(TrackKind.NONE)
    if "track" not in section:
        section.problem("track", "is missing; write {tag: stable}, {command: [...]} or none")
        return Track(TrackKind.NONE)
    track = section.section("track")
    for key in _LATER:
        if key in track:
            track.take(key, lambda _: None)
            track.problem(key, "is not available in this version; use tag, command or none")
    tag = track.take("tag", values.tag, None)
    command = track.take("command", values.argv, None)
    timeout = track.take("timeout", values.duration, 30.0)
    track.finish()
    if tag and command:
        track.problem("", "follows two things; keep tag or command")
    if command:
        return Track(TrackKind.COMMAND, argv=command, timeout=timeout)
    if tag is None and not any(key in track for key in ("tag", "command", *_LATER)):
        track.problem("", "needs tag or command")
    return Track(TrackKind.TAG, tag=tag)


def _is_none(value: Any) -> bool:
    return value is None or value == "none"


def _project(section: Section, name: str) -> ComposeProject:
    compose = section.section("compose")
    if "compose" not in section:
        section.problem("compose", "is missing; write {file: compose.yml} or {inline: {…}}")
    files = compose.take("file", _files(section.base), ())
    inline = compose.take("inline", _inline, None)
    directory = compose.take(
        "directory",
        values.path_from(section.base),
        files[0].parent if files else section.base.absolute(),
    )
    project = ComposeProject(
        name=compose.take("project", _project_name, re.sub(r"[^a-z0-9_-]", "", name.lower())),
        directory=directory,
        files=files,
        inline=inline,
        services=compose.take("services", values.names, ()),
    )
    compose.finish()
    if files and inline is not None:
        compose.problem("", "has both file and inline; keep one")
    if "compose" in section and not files and inline is None and "directory" not in compose:
        compose.problem("", "needs file, inline, or directory (compose's own file names in it)")
    return project


def _project_name(value: Any) -> str:
    if values.name(value) in _RESERVED:
        raise ValueError(f"{value!r} belongs to the platform; choose another project name")
    return str(value)


def _files(base: Path) -> Any:
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


def _inline(value: Any) -> dict[str, object]:
    services = value.get("services") if isinstance(value, dict) else None
    if not isinstance(services, dict) or not services:
        raise ValueError("must be a compose document with at least one service under `services`")
    for service, body in services.items():
        if body is not None and not isinstance(body, dict):
            raise ValueError(f"service {service!r} must be a mapping")
    return dict(value)


def _health(section: Section) -> HealthSettings:
    health = section.section("health")
    found = HealthSettings(
        health.take("timeout", values.duration, None), health.take("settle", values.duration, None)
    )
    health.finish()
    return found


def _hooks(section: Section) -> Hooks:
    hooks = section.section("hooks")
    found = Hooks(
        hooks.take("before", values.argvs, ()),
        hooks.take("after", values.argvs, ()),
        hooks.take("timeout", values.duration, 60.0),
    )
    hooks.finish()
    return found


def _policies(value: Any) -> tuple[()]:
    """Fail closed: a policy that this version does not know must not be skipped."""
    if value != []:
        raise ValueError("names a policy that this version does not have; only [] is possible")
    return ()

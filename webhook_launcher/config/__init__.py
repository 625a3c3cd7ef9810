"""The configuration file, typed; every problem reported at once, each with its path and the fix."""

from collections.abc import Mapping
from pathlib import Path

from webhook_launcher.config import values
from webhook_launcher.config.document import Section, read_yaml
from webhook_launcher.config.secret import read_secret
from webhook_launcher.config.settings import Limits, RegistryAccess, Settings
from webhook_launcher.config.sources import read_source
from webhook_launcher.config.workloads import read_poll, read_workload
from webhook_launcher.core.errors import ConfigurationError, InvalidReferenceError, Problem
from webhook_launcher.core.reference import parse_registry
from webhook_launcher.core.source import Kind, Source
from webhook_launcher.core.workload import PollSettings, Workload

__all__ = ["Limits", "RegistryAccess", "Settings", "load", "parse"]

DEFAULT_PATH = Path("/etc/webhook-launcher/config.yml")
_STATE = Path("/var/lib/webhook-launcher")
_LISTEN = ("127.0.0.1", 8080)


def load(path: Path, kinds: Mapping[str, Kind]) -> Settings:
    """Read and check a file. Raises ConfigurationError with every problem found."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(
            [Problem(str(path), f"cannot be read ({error.strerror}); name one with --config PATH")]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([Problem(str(path), "is not UTF-8 text")]) from error
    return parse(text, path, kinds)


def parse(text: str, path: Path, kinds: Mapping[str, Kind]) -> Settings:
    """The settings in a text; relative paths in it are relative to `path`'s directory."""
    problems: list[Problem] = []
    top = Section(read_yaml(text), "", problems, path.absolute().parent)
    poll = read_poll(top, PollSettings())
    settings = Settings(
        path=path.absolute(),
        state=top.take("state", values.path_from(top.base), _STATE),
        listen=top.take("listen", values.listen, _LISTEN),
        parallel=top.take("parallel", values.number(1, 64), 4),
        poll=poll,
        limits=_limits(top),
        admin_token=_admin(top),
        registries={host: _registry(section, host) for host, section in top.sections("registries")},
        sources=_sources(top, kinds),
        workloads={
            name: read_workload(section, name, poll) for name, section in top.sections("workloads")
        },
    )
    top.finish()
    if not problems:
        _cross_check(top, settings)
    if problems:
        raise ConfigurationError(problems)
    return settings


def _limits(top: Section) -> Limits:
    section = top.section("limits")
    default = Limits()
    limits = Limits(
        section.take("body", values.size, default.body),
        section.take("pending", values.number(1, 1_000_000), default.pending),
    )
    section.finish()
    return limits


def _admin(top: Section) -> bytes | None:
    section = top.section("admin")
    token = read_secret(section, "token")
    section.finish()
    return token


def _registry(section: Section, host: str) -> RegistryAccess:
    try:
        host = parse_registry(host)
    except InvalidReferenceError as error:
        section.problem("", str(error))
    password = read_secret(section, "password")
    access = RegistryAccess(
        host,
        section.take("insecure", values.boolean, False),
        section.take("username", values.text, None),
        password.decode("utf-8", "replace") if password is not None else None,
        section.take("token_realm_host", values.registry, None),
    )
    section.finish()
    if (access.username is None) != (access.password is None):
        section.problem("", "needs both username and password (or password_file), or neither")
    return access


def _sources(top: Section, kinds: Mapping[str, Kind]) -> dict[str, Source]:
    found = {}
    for name, section in top.sections("sources"):
        try:
            values.name(name)
        except ValueError as error:
            section.problem("", f"the name {error}")
        source = read_source(section, name, kinds)
        if source is not None:
            found[name] = source
    return found


def _cross_check(top: Section, settings: Settings) -> None:
    """What only shows when two sections are seen together."""
    if not settings.workloads:
        top.problem("workloads", "is empty: there is nothing to keep up to date")
    for source in settings.sources.values():
        for unknown in sorted((source.workloads or frozenset()) - settings.workloads.keys()):
            top.problem(
                f"sources.{source.name}.workloads", f"{unknown!r} is not under `workloads:`"
            )
    _check_projects(top, settings.workloads)


def _check_projects(top: Section, workloads: Mapping[str, Workload]) -> None:
    by_project: dict[str, Workload] = {}
    for workload in workloads.values():
        other = by_project.setdefault(workload.project.name, workload)
        if other is workload:
            continue
        shared = set(workload.project.services) & set(other.project.services)
        same = not workload.project.services and workload.repository == other.repository
        if shared or same or workload.project.inline or other.project.inline:
            top.problem(
                f"workloads.{workload.name}.compose",
                f"touches the same services of project {workload.project.name!r} as workload "
                f"{other.name!r}; give each its own `project` or `services`",
            )

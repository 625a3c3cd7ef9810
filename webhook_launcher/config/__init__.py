"""The configuration file, typed; every problem reported at once, each with its path and the fix."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from webhook_launcher.config import values
from webhook_launcher.config.document import Section, read_yaml
from webhook_launcher.config.journal import read_retention
from webhook_launcher.config.secret import is_given, read_secret, read_token
from webhook_launcher.config.settings import Access, Limits, Recording, RegistryAccess, Settings
from webhook_launcher.config.sources import read_source
from webhook_launcher.config.workloads import read_poll, read_workload
from webhook_launcher.core.dsse import PrivateKey, parse_private_key
from webhook_launcher.core.errors import ConfigurationError, InvalidReferenceError, Problem
from webhook_launcher.core.reference import parse_registry
from webhook_launcher.core.source import Kind, Source
from webhook_launcher.core.workload import PollSettings, Workload

__all__ = [
    "DEFAULT_PATH",
    "PATH_VARIABLE",
    "Access",
    "Limits",
    "Recording",
    "RegistryAccess",
    "Settings",
    "load",
    "load_access",
    "parse",
]

# Where the file is: `--config`, else this variable of the environment, else the default path.
PATH_VARIABLE = "LAUNCHER_CONFIG"
DEFAULT_PATH = Path("/etc/webhook-launcher/config.yml")
_STATE = Path("/var/lib/webhook-launcher")
_LISTEN = ("127.0.0.1", 8080)
_MAX_FILE = 1024**2
_UNLIMITED = 1_000_000_000  # a minute: more than anybody can send


def load(path: Path, kinds: Mapping[str, Kind]) -> Settings:
    """Read and check a file. Raises ConfigurationError with every problem found."""
    return parse(_text_in(path), path, kinds)


def load_access(path: Path) -> Access:
    """Read only what is needed to reach a running launcher; problems elsewhere do not matter.

    Raises ConfigurationError for problems of these keys, and for a file that is no YAML.
    """
    problems: list[Problem] = []
    top = Section(read_yaml(_text_in(path), problems), "", problems, path.absolute().parent)
    access = _access(top)
    if problems:
        raise ConfigurationError(problems)
    return access


def _access(top: Section) -> Access:
    return Access(
        state=top.take("state", values.path_from(top.base), _STATE),
        listen=top.take("listen", values.listen, _LISTEN),
        admin_token=_admin(top),
    )


def _text_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}; --config names it") from None
    if len(content) > _MAX_FILE:
        raise _unreadable(path, "is longer than 1MiB; is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _unreadable(path, "is not UTF-8 text") from None


def parse(text: str, path: Path, kinds: Mapping[str, Kind]) -> Settings:
    """The settings in a text; relative paths in it are relative to `path`'s directory."""
    problems: list[Problem] = []
    top = Section(read_yaml(text, problems), "", problems, path.absolute().parent)
    poll = read_poll(top, PollSettings())
    access = _access(top)
    settings = Settings(
        path=path.absolute(),
        state=access.state,
        listen=access.listen,
        parallel=top.take("parallel", values.number(1, 64), 4),
        poll=poll,
        limits=_limits(top),
        admin_token=access.admin_token,
        registries=_registries(top),
        sources=_sources(top, kinds),
        workloads={
            name: read_workload(section, name, poll) for name, section in top.sections("workloads")
        },
        record=_recording(top),
        receipts=_receipts_key(top),
    )
    retention = read_retention(top, settings.sources, settings.workloads, kinds)
    settings = replace(settings, retention=retention)
    top.finish()
    _cross_check(top, settings)
    if problems:
        raise ConfigurationError(problems)
    return settings


def _unreadable(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), message)])


def _limits(top: Section) -> Limits:
    section, default = top.section("limits"), Limits()
    limits = Limits(
        section.take("body", values.size, default.body),
        section.take("pending", values.number(1, 1_000_000), default.pending),
        section.take("deliveries", values.number(1, _UNLIMITED), default.deliveries),
        section.take("refused", values.number(1, _UNLIMITED), default.refused),
        section.take("request", values.duration, default.request),
    )
    section.finish()
    return limits


def _recording(top: Section) -> Recording | None:
    section = top.section("record")
    directory = section.take("directory", values.path_from(top.base), None)
    keep = section.take("keep", values.number(1, 1000), 20)
    section.finish()
    if directory is None and "record" in top:
        section.problem("directory", "is missing: where should deliveries be kept?")
    return Recording(directory, keep) if directory is not None else None


def _receipts_key(top: Section) -> PrivateKey | None:
    section = top.section("receipts")
    pem = read_secret(section, "key")
    section.finish()
    if "receipts" in top and not is_given(section, "key"):
        section.problem("", "needs key_file; leave receipts out, and the launcher makes a key")
    if pem is None:
        return None
    try:
        return parse_private_key(pem)
    except ValueError as error:
        section.problem("key" if "key" in section else "key_file", str(error))
        return None


def _admin(top: Section) -> bytes | None:
    section = top.section("admin")
    token = read_token(section, "token")
    section.finish()
    if "admin" in top and not is_given(section, "token"):
        section.problem("", "needs token_file (or token); leave admin out to turn the API off")
    return token


def _registries(top: Section) -> dict[str, RegistryAccess]:
    found: dict[str, RegistryAccess] = {}
    for host, section in top.sections("registries"):
        access = _registry(section, host)
        if access.host in found:
            section.problem("", f"{access.host} is given twice, under two of its names")
        found[access.host] = access
    return found


def _registry(section: Section, host: str) -> RegistryAccess:
    try:
        host = parse_registry(host)
    except InvalidReferenceError as error:
        section.problem("", f"{error}; write it as in image references, such as ghcr.io")
    password = read_secret(section, "password")
    access = RegistryAccess(
        host,
        section.take("insecure", values.boolean, False),
        section.take("username", values.text, None),
        _text_of(section, password),
        section.take("token_realm_host", values.registry, None),
    )
    section.finish()
    if ("username" in section) != is_given(section, "password"):
        section.problem("", "needs both username and password (or password_file), or neither")
    return access


def _text_of(section: Section, password: bytes | None) -> str | None:
    try:
        return None if password is None else password.decode("utf-8")
    except UnicodeDecodeError:
        section.problem("password_file", "is not UTF-8 text")
        return None


def _sources(top: Section, kinds: Mapping[str, Kind]) -> dict[str, Source]:
    found = {}
    for name, section in top.sections("sources"):
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
    _check_projects(top, list(settings.workloads.values()))


def _check_projects(top: Section, workloads: list[Workload]) -> None:
    """Workloads may share a compose project, but no service of it."""
    by_project: dict[str, list[Workload]] = defaultdict(list)
    for workload in workloads:
        before = by_project[workload.project.name]
        other = next((o for o in before if _collide(o, workload)), None)
        before.append(workload)
        if other is not None:
            top.problem(
                f"workloads.{workload.name}.compose",
                f"touches the same services of project {workload.project.name!r} as workload "
                f"{other.name!r}; give each its own `project` or `services`",
            )


def _collide(one: Workload, other: Workload) -> bool:
    """Two workloads of one project."""
    if one.project.inline is not None or other.project.inline is not None:
        return True  # we write that document, and it is the whole project
    if one.project.services and other.project.services:
        return bool(set(one.project.services) & set(other.project.services))
    # Without `services` it is those that use the image.
    return bool({*one.repositories} & {*other.repositories})

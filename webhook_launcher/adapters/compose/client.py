"""Compose as a subprocess: argv lists, a small environment, time limits, bounded output."""

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from webhook_launcher.adapters.compose.files import first_files, read_dotenv
from webhook_launcher.adapters.compose.lock import held
from webhook_launcher.adapters.compose.model import ProjectModel, mounts_relatively
from webhook_launcher.adapters.compose.program import (
    MINIMUM_VERSION,
    find_program,
    is_too_old,
    program_environment,
)
from webhook_launcher.adapters.compose.written import completed, pinned_services, write_json
from webhook_launcher.core.container import Jobs
from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError, ComposeError
from webhook_launcher.core.reference import Repository, parse_reference
from webhook_launcher.core.workload import ComposeProject

# `config` takes 0.1 s; this is for a machine that swaps.
_CONFIG_TIMEOUT = 60.0
# Stop grace periods of several containers, one after the other, must fit.
_UP_TIMEOUT = 600.0
_TOLD = 400
# What the docker CLI says of a command that it has no plugin for, new and old.
_ABSENT = ("unknown command: docker compose", "'compose' is not a docker command")
_INSTALL = "Install the Docker Compose plugin, version {}.{} or newer.".format(*MINIMUM_VERSION)
# What `config` prints of a project is longer than what people read: services, not lines, bound it.
_MAX_MODEL = 16 * 1024 * 1024
_MAX_OUTPUT = 64 * 1024
_HELD_PORT = re.compile(r":(?P<port>\d+) failed: port is already allocated")
# Words by which a file can draw in other files, whose changes we would not see.
_DRAWS_IN = (b"include", b"extends")


class Finished(Protocol):
    """What the command runner reports."""

    @property
    def status(self) -> int:
        """Exit status."""

    @property
    def output(self) -> bytes:
        """Standard output, bounded."""

    @property
    def errors(self) -> bytes:
        """Standard error, bounded."""


class Run(Protocol):
    """The command runner (`adapters.command.run`), injected."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str],
        stdin: bytes,
        max_output: int,
        inherit: Sequence[int],
    ) -> Finished:
        """Raises CommandNotFoundError or CommandTimeoutError."""


class Compose:
    """Compose projects on this host. Every method raises ComposeError.

    `environment` is the launcher's own: PATH, HOME, `DOCKER_*` and the names in
    `pass_environment` are passed on, nothing else. Safe to use from several threads, as long as
    one project is deployed by one of them at a time.
    """

    def __init__(
        self,
        run: Run,
        state: Path,
        environment: Mapping[str, str],
        *,
        pass_environment: Collection[str] = (),
        up_timeout: float = _UP_TIMEOUT,
    ) -> None:
        self._run = run
        self._state = state
        self._environment = program_environment(environment, pass_environment)
        self._program = find_program(environment)
        self._up_timeout = up_timeout
        self._models: dict[str, tuple[object, ProjectModel]] = {}

    def version(self) -> str:
        """The version of compose, such as `2.26.1`; ComposeError when it is too old or absent."""
        finished = self._finish([*self._program, "version", "--short"], _CONFIG_TIMEOUT)
        version = finished.output.decode("utf-8", "replace").strip()
        if is_too_old(version):
            raise ComposeError(f"Docker Compose {version} is too old", advice=_INSTALL)
        return version

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """The services of the project that run the workload's image.

        Those that the user listed, if any; else all whose image is in `repository`, without
        those that compose would not keep running: of a profile that is not active, scaled to
        zero, or waited for as `service_completed_successfully` (a migration is a `before` hook).
        """
        model = self._model(project, repository)
        if unknown := sorted({*project.services} - model.services.keys()):
            raise ComposeError(
                f"compose project {project.name!r} has no service {', '.join(unknown)}",
                advice=f"Its services are: {', '.join(sorted(model.services))}.",
            )
        found = model.running(repository, self._profiles(project))
        if project.services and project.default_image is None:
            found = project.services
        elif project.services:
            found = model.listed(repository, project.services)
        if not found:
            raise ComposeError(
                f"no service of compose project {project.name!r} uses {repository}",
                advice=f"Set `image:` of a service to {repository}, or list `compose.services`.",
            )
        return found

    def pin(self, project: ComposeProject, pinned: str, services: Sequence[str]) -> Path:
        """Bind the services to `repository@digest`; returns the override, which is durable.

        Pins of the project's other services stay. An inline document is written beside it.
        """
        override = self._override(project)
        try:
            repository = parse_reference(pinned).repository
            if project.inline is not None and project.default_image in (None, repository):
                document = completed(project.inline, pinned, project.services)
                write_json(self._document(project), document)
            known = self._model(project, repository).services
            pins = pinned_services(override, known)
            pins.update({name: {"image": pinned} for name in services})
            write_json(override, {"services": pins})
        except OSError as error:
            raise self._not_written(project, error) from error
        return override

    def _not_written(self, project: ComposeProject, error: OSError) -> ComposeError:
        return ComposeError(
            f"cannot write the override {self._override(project)}: {error.strerror}",
            advice="Check free space and permissions of the `state` directory.",
        )

    def up(self, project: ComposeProject, services: Sequence[str], *, anew: bool = False) -> str:
        """Recreate the services as pinned; what compose printed.

        Networks and volumes that do not exist yet are created, other services are not touched,
        nothing is pulled or built, and nobody's health is waited for. With `anew` every container
        of the services is replaced, also one that is as pinned; its volumes go on, anonymous ones
        too.
        """
        argv = [*self.command(project), "up", "-d", "--no-deps", "--no-build", "--pull", "never"]
        if anew:
            argv.append("--force-recreate")
        with held(self._lock(project)) as lock:
            finished = self._finish([*argv, *services], self._up_timeout, inherit=(lock,))
        return _printed(finished)

    def quiet(self, project: ComposeProject) -> None:
        """Return when no `up` of the project runs, not even one that outlived its launcher.

        Two at a time undo each other. ProjectBusyError, to be tried again, when one goes on.
        """
        with held(self._lock(project)):
            return

    def replicas(self, project: ComposeProject, repository: Repository) -> Mapping[str, int]:
        """How many containers each service of the workload should have."""
        model = self._model(project, repository)
        return {
            name: max(1, model.services[name].replicas)
            for name in self.services(project, repository)
        }

    def jobs(self, project: ComposeProject, repository: Repository) -> Jobs:
        """Return the services of the project that complete, as far as its files tell."""
        services = self._model(project, repository).services
        return Jobs(
            awaited=frozenset(name for name, found in services.items() if found.waited_for),
            optional=frozenset(name for name, found in services.items() if found.may_complete),
        )

    def pins(self, project: ComposeProject) -> Mapping[str, str]:
        """Return what the override binds services to: service -> `repository@digest`."""
        found = pinned_services(self._override(project), None)
        return {name: body["image"] for name, body in found.items() if "image" in body}

    def put_back(self, project: ComposeProject, pins: Mapping[str, str]) -> None:
        """Write an override with just these pins; Compose is not asked for the project's model."""
        services = {name: {"image": pinned} for name, pinned in pins.items()}
        try:
            write_json(self._override(project), {"services": services})
        except OSError as error:
            raise self._not_written(project, error) from error

    def is_readable(self, project: ComposeProject) -> bool:
        """Return False while Compose cannot read the project's files, such as an `env_file`."""
        try:
            self._finish([*self.command(project), "config", "--quiet"], _CONFIG_TIMEOUT)
        except ComposeError:
            return False
        return True

    def mounts_relatively(self, project: ComposeProject, repository: Repository) -> bool:
        """True when a service that we recreate mounts a path relative to the project directory."""
        services = self.services(project, repository)
        finished = self._config(project, repository, "--no-path-resolution")
        return mounts_relatively(finished.output, services)

    def command(self, project: ComposeProject) -> list[str]:
        """The start of a command line for the project as pinned, for us and for people."""
        files = [*self._files(project), self._override(project)]
        return self._base(project, [str(file) for file in files])

    def _base(self, project: ComposeProject, files: Sequence[str]) -> list[str]:
        base = [*self._program, "--project-directory", str(project.directory), "-p", project.name]
        for file in files:
            base += ["-f", file]
        return base

    def _files(self, project: ComposeProject) -> tuple[Path, ...]:
        if project.inline is not None:
            return (self._document(project),)
        return project.files or first_files(project.directory)

    def _document(self, project: ComposeProject) -> Path:
        return self._state / "projects" / project.name / "compose.json"

    def _override(self, project: ComposeProject) -> Path:
        return self._state / "overrides" / f"{project.name}.json"

    def _lock(self, project: ComposeProject) -> Path:
        return self._state / "overrides" / f"{project.name}.lock"

    def _profiles(self, project: ComposeProject) -> list[str]:
        listed = read_dotenv(project.directory).get("COMPOSE_PROFILES", "")
        return [name.strip() for name in listed.split(",") if name.strip()]

    def _model(self, project: ComposeProject, repository: Repository) -> ProjectModel:
        """The project as compose reads it, profiles included; cached until a file changes."""
        repository = project.default_image or repository
        state = self._fingerprint(project, repository)
        before, model = self._models.get(project.name, (None, None))
        if model is not None and state is not None and state == before:
            return model
        model = ProjectModel.parse(self._config(project, repository).output)
        self._models[project.name] = (state, model)
        return model

    def _config(self, project: ComposeProject, repository: Repository, *options: str) -> Finished:
        """What compose makes of the user's files, before any pin."""
        files, document = [str(file) for file in self._files(project)], b""
        if project.inline is not None:
            default = project.default_image or repository
            draft = completed(project.inline, str(default), project.services)
            files, document = ["-"], json.dumps(draft).encode()
        argv = [*self._base(project, files), "--profile", "*", "config", "--format", "json"]
        return self._finish([*argv, *options], _CONFIG_TIMEOUT, document, _MAX_MODEL)

    def _fingerprint(self, project: ComposeProject, repository: Repository) -> object:
        """Equal as long as `config` would say the same; None when that cannot be known cheaply."""
        files = () if project.inline is not None else self._files(project)
        try:
            contents = [(file, file.read_bytes()) for file in files]
        except OSError:
            return None  # compose says what is wrong with them
        if any(word in content for _, content in contents for word in _DRAWS_IN):
            return None
        return (project, repository, contents, read_dotenv(project.directory))

    def _finish(
        self,
        argv: Sequence[str],
        timeout: float,
        stdin: bytes = b"",
        max_output: int = _MAX_OUTPUT,
        inherit: Sequence[int] = (),
    ) -> Finished:
        """Run compose; ComposeError unless it exits with 0."""
        try:
            finished = self._run(
                argv,
                timeout=timeout,
                env=self._environment,
                stdin=stdin,
                max_output=max_output,
                inherit=inherit,
            )
        except CommandNotFoundError as error:
            raise ComposeError(str(error), advice=_INSTALL) from error
        except CommandTimeoutError as error:
            shown = f"$ {shlex.join(argv)}\n{error.output}"
            raise ComposeError(str(error), output=shown) from error
        if finished.status != 0:
            errors = finished.errors.decode("utf-8", "replace").strip()
            if any(words in errors for words in _ABSENT):
                raise ComposeError("docker has no Compose plugin", advice=_INSTALL)
            # The lines before the last are compose's progress.
            said = errors.rpartition("\n")[2]
            raise ComposeError(
                f"compose exited with status {finished.status}: {said[-_TOLD:]}",
                output=f"$ {shlex.join(argv)}\n{_printed(finished)}",
                advice=_advice(said),
            )
        return finished


def _advice(said: str) -> str | None:
    """What is known to help against a sentence of the engine's; nothing is decided by it."""
    found = _HELD_PORT.search(said)
    if found is None:
        return None
    return (
        f"`docker ps --filter publish={found['port']}` shows the container that has the port. If "
        "there is none, the engine was killed and holds it for one that is no more: restart the "
        "engine."
    )


def _printed(finished: Finished) -> str:
    return (finished.output + finished.errors).decode("utf-8", "replace")

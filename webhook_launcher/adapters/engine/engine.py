"""The methods that the launcher and the gate call.

Each raises EngineUnavailableError when the engine does not answer, EngineError when it answers
something that nobody expected.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePath

from webhook_launcher.adapters.engine import adoption, keep, mounts, removal
from webhook_launcher.adapters.engine.connection import APIError, Client, Connection, NotFound
from webhook_launcher.adapters.engine.containers import find_containers, inspect_containers
from webhook_launcher.adapters.engine.endings import was_signalled
from webhook_launcher.adapters.engine.frames import Tail, read_frames
from webhook_launcher.adapters.engine.probe import end_probe, follow_probe, run_probe
from webhook_launcher.adapters.engine.pull import Login, Progress, is_present, pull_image
from webhook_launcher.adapters.engine.signals import is_deaf
from webhook_launcher.adapters.engine.sweep import name_services, sweep_services
from webhook_launcher.adapters.engine.versions import read_clock, read_versions
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Container, ProbeResult, RunningProbe
from webhook_launcher.core.model import Image, Platform
from webhook_launcher.core.reference import Digest, Repository

# A readiness check must answer within a second; an idle engine needs 2 ms.
_PING_TIMEOUT = 0.8
_PULL_TIMEOUT = 1800.0
_LOG_LINES = 100
_LOG_BYTES = 16 * 1024
_PIECE = 16 * 1024
# Added to a container's own stop grace before the engine counts as gone.
_STOP_MARGIN = 30.0
_STOP_GRACE = 10
# `uname -m` as Go spells it, with the variant OCI platforms have (containerd, platforms).
_ARM = {"armv5l": "v5", "armv6l": "v6", "armv7l": "v7", "armv8l": "v8"}


def _no_login(_registry: str) -> Login | None:
    return None


def _silent(_line: str) -> None:
    return


class Engine:
    """The engine of this host. Safe to use from several threads (see `Connection`).

    `credentials` gives the login for a registry host; the engine pulls without one otherwise.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        credentials: Callable[[str], Login | None] = _no_login,
        *,
        pull_timeout: float = _PULL_TIMEOUT,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._credentials = credentials
        self._pull_timeout = pull_timeout

    def ping(self) -> None:
        """Return when the engine answers."""
        with self._connection.client() as client:
            _ping(client)

    def platform(self) -> Platform:
        """What it runs images for, in OCI's words.

        Asked once a connection, because the engine runs programs to answer (8 ms); another engine
        is another connection.
        """
        with self._connection.client() as client:
            if client.platform is None:
                client.platform = _platform(client)
            else:
                _ping(client)
            return client.platform

    def versions(self) -> Mapping[str, str]:
        """`engine`, `api` (agreed on), `store` and `os`; EngineError when it is too old."""
        with self._connection.client() as client:
            return read_versions(client)

    def now(self) -> datetime | None:
        """The engine's clock; None where it does not tell."""
        with self._connection.client() as client:
            return read_clock(client)

    def pull(self, image: Image, *, on_progress: Progress = _silent) -> bool:
        """Have `repository@digest` on the engine; no network, and False, when it is there.

        Raises PullError, or ManifestNotFoundError or RegistryDeniedError when that was the reason.
        """
        with self._connection.client() as client:
            if is_present(client, image):
                return False
            login = self._credentials(image.reference.repository.registry)
            pull_image(client, image, login, self._clock, self._pull_timeout, on_progress)
            return True

    def keep(self, image: Image, project: str, workload: str, slot: str) -> None:
        """Tag an image so that pruning leaves it; PullError when it is not on the engine."""
        with self._connection.client() as client:
            keep.keep_image(client, image, keep.keep_tag(project, workload, slot))

    def keep_pulled(self, image: Image, project: str, workload: str) -> None:
        """Note that we pulled the image for the workload: `remove_former` may remove it again."""
        self.keep(image, project, workload, keep.pulled_slot(image.digest))

    def remove_former(
        self, project: str, workload: str, repository: Repository, kept: Collection[Digest]
    ) -> list[str]:
        """Remove what we pulled for the workload, apart from `kept`, if nobody else needs it."""
        with self._connection.client() as client:
            return removal.remove_former(client, project, workload, repository, kept)

    def containers(self, project: str, services: Sequence[str] | None = None) -> list[Container]:
        """Return the services' containers (None: the project's), stopped ones included.

        They are sorted by service and number.
        """
        with self._connection.client() as client:
            return find_containers(client, project, services)

    def adopted(
        self, project: str, services: Sequence[str], repository: Repository
    ) -> Image | None:
        """The one image of that repository that runs there now, as far as the engine knows it."""
        with self._connection.client() as client:
            found = find_containers(client, project, services)
            return adoption.adopt_image(client, found, repository)

    def deaf_containers(self, project: str, services: Sequence[str]) -> list[str]:
        """Names of running containers that drop their stop signal, as far as that can be seen."""
        with self._connection.client() as client:
            found = inspect_containers(client, project, services)
        return [one["Name"].lstrip("/") for one in found if is_deaf(one)]

    def kept(self, project: str, workload: str, slot: str, repository: Repository) -> Image | None:
        """The image of that repository under a keep-tag, if it is there."""
        tag = f"{keep.REPOSITORY}:{keep.keep_tag(project, workload, slot)}"
        with self._connection.client() as client:
            return adoption.kept_image(client, tag, repository)

    def sweep(self, project: str, services: Sequence[str]) -> None:
        """Remove what an interrupted `up` left of these services."""
        with self._connection.client() as client:
            sweep_services(client, project, services)

    def name(self, project: str, services: Sequence[str]) -> None:
        """Give containers of these services that run under a replacement's name their own."""
        with self._connection.client() as client:
            name_services(client, project, services)

    def probe(self, container: Container, limit: float) -> ProbeResult:
        """Run the container's own healthcheck once and wait `limit` seconds for its end.

        A container without a healthcheck is as well as it is running.
        """
        check = container.healthcheck
        if check is None:
            return ProbeResult(container.running, "it has no healthcheck")
        with self._connection.client() as client:
            return run_probe(client, container.id, check.command, limit, self._clock)

    def follow_probe(self, probe: RunningProbe) -> ProbeResult:
        """Ask for a healthcheck command that had not ended."""
        with self._connection.client() as client:
            return follow_probe(client, probe)

    def end_probe(self, container_id: str, probe: RunningProbe) -> None:
        """End a healthcheck command; without a shell in the image it goes on."""
        with self._connection.client() as client:
            end_probe(client, container_id, probe, self._clock)

    def logs(self, container_id: str, lines: int = _LOG_LINES, max_bytes: int = _LOG_BYTES) -> str:
        """The last lines of stdout and stderr; why there are none if the log cannot be read."""
        kept = Tail(max_bytes)
        params = {"stdout": 1, "stderr": 1, "tail": lines}
        path, timeout = "/containers/{0}/logs", _STOP_MARGIN
        with self._connection.client() as client:
            try:
                raw = bool(client.inspect_container(container_id)["Config"]["Tty"])
                with client.open_stream(
                    "GET", path, container_id, timeout=timeout, params=params
                ) as response:
                    read_frames(response.iter_content(_PIECE), kept, raw=raw)
            except APIError as error:  # gone, or a log driver that cannot be read
                return f"(no log: {error.explanation or error})"
        return kept.text()

    def was_stopped(self, container_id: str) -> bool:
        """True when the engine sent the container a signal since it was started last.

        On somebody's order, or because the daemon itself is going; what the program did by itself
        leaves no such event.
        """
        with self._connection.client() as client:
            return was_signalled(client, container_id)

    def stop(self, container_ids: Iterable[str]) -> None:
        """Stop containers, each with its own grace; one that is gone is stopped."""
        with self._connection.client() as client:
            for container_id in container_ids:
                _stop(client, container_id)

    def remove(self, container_ids: Iterable[str]) -> None:
        """Stop and remove containers, never volumes; one that is gone is removed."""
        with self._connection.client() as client:
            for container_id in container_ids:
                _stop(client, container_id)
                try:
                    client.remove_container(container_id, v=False)
                except NotFound:
                    continue

    def missing_binds(
        self, directories: Iterable[PurePath], mountinfo: Path = mounts.MOUNTINFO
    ) -> list[str]:
        """Project directories that the engine would look for elsewhere, each with the fix.

        Empty outside a container.
        """
        with self._connection.client() as client:
            own = mounts.own_mounts(client, mountinfo)
        return [] if own is None else mounts.misplaced(own, directories)


def _ping(client: Client) -> None:
    with client.open_stream("GET", "/_ping", timeout=_PING_TIMEOUT):
        return


def _platform(client: Client) -> Platform:
    version = client.version()
    variant = None
    if version["Arch"] == "arm":
        variant = _ARM.get(client.info()["Architecture"], "v7")
    return Platform(version["Os"], version["Arch"], variant)


def _stop(client: Client, container_id: str) -> None:
    try:
        config = client.inspect_container(container_id)["Config"]
        grace = config.get("StopTimeout") or _STOP_GRACE
        path, timeout = "/containers/{0}/stop", grace + _STOP_MARGIN
        with client.open_stream("POST", path, container_id, timeout=timeout):
            return
    except NotFound:
        return

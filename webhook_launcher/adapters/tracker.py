"""Asks what a workload should follow: a tag, the newest of many, a file, or the user's command."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from webhook_launcher.core.errors import InvalidReferenceError, LauncherError, TrackError
from webhook_launcher.core.reference import (
    Digest,
    Reference,
    Repository,
    make_tag,
    parse_reference,
)
from webhook_launcher.core.selection import is_image_tag
from webhook_launcher.core.series import newest
from webhook_launcher.core.workload import TrackKind, Workload

_MAX_OUTPUT = 4096


class Finished(Protocol):
    """What the command runner reports."""

    @property
    def status(self) -> int:
        """Exit status."""

    @property
    def output(self) -> bytes:
        """Standard output, bounded."""


Run = Callable[[Sequence[str], float, Mapping[str, str]], Finished]


class Registry(Protocol):
    """Lists tags."""

    def tags(self, repository: Repository) -> list[str]:
        """All tags of a repository; RegistryError when not all can be had."""


class Tracker:
    """Names the reference that a workload follows now. `run` executes an argv with a time limit."""

    def __init__(self, run: Run, registry: Registry) -> None:
        self._run = run
        self._registry = registry

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference, not resolved; None for `track: none`.

        Raises TrackError when nothing can be followed now, and for tag lists RegistryError.
        """
        kind = workload.track.kind
        if kind is TrackKind.COMMAND:
            return self._commanded(workload)
        if kind is TrackKind.FILE:
            return _filed(workload)
        if workload.track.series is not None:
            return self._newest(workload)
        return workload.tracked

    def _newest(self, workload: Workload) -> Reference:
        assert workload.track.series is not None  # noqa: S101 - the caller asked
        tags = self._registry.tags(workload.repository)
        tag = newest(workload.track.series, filter(is_image_tag, tags))
        if tag is None:
            raise TrackError(
                f"none of the {len(tags)} tags of {workload.repository} is in `{workload.track}`",
                advice="Push one, or correct `track` of the workload.",
            )
        return Reference(workload.repository, tag)

    def _commanded(self, workload: Workload) -> Reference:
        """A command prints it, or writes it to the file named by its last argument.

        The seed's get-latest script knows both.
        """
        what = f"track.command of {workload.name!r}"
        with tempfile.TemporaryDirectory(prefix="webhook-launcher-") as scratch:
            written = Path(scratch) / "latest"
            argv = [*workload.track.argv, str(written)]
            try:
                finished = self._run(
                    argv, workload.track.timeout, {"LAUNCHER_WORKLOAD": workload.name}
                )
            except LauncherError as error:
                raise TrackError(f"{what}: {error}") from error
            if finished.status != 0:
                raise TrackError(f"{what} exited with status {finished.status}")
            text = _read(written) or finished.output
        try:
            reference = parse_reference(text.decode("ascii").strip())
        except (UnicodeDecodeError, InvalidReferenceError) as error:
            raise TrackError(f"{what} did not give exactly one reference: {error}") from error
        return _own(workload, reference, what)


def _read(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_OUTPUT + 1)


def _filed(workload: Workload) -> Reference:
    """A tag, a digest or a reference. Who writes the file may be less trusted than we are."""
    path = workload.track.path
    assert path is not None  # noqa: S101 - of this kind
    what = f"track.file {path} of {workload.name!r}"
    try:
        text = _read_foreign(path).decode("ascii").strip()
        return _own(workload, _meant(text, workload.repository), what)
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise TrackError(f"{what}: {reason}", advice=_WRITE) from error
    except (UnicodeDecodeError, InvalidReferenceError):
        # Not quoted: whoever writes it could make it another file of ours.
        raise TrackError(f"{what} is not one tag, digest or reference", advice=_WRITE) from None


_WRITE = (
    "Write one line to a file beside it and rename that over it, "
    "so that it is never seen empty or half written."
)


def _read_foreign(path: Path) -> bytes:
    """A regular file's beginning: no link to elsewhere, no pipe that nobody writes to."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor has no path
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return file.read(_MAX_OUTPUT + 1)


def _meant(text: str, repository: Repository) -> Reference:
    """`1.4.2`, `sha256:…`, or a reference, which has a slash, a colon or an `@`."""
    if text.startswith(("sha256:", "sha512:")):
        return Reference(repository, digest=Digest(text))
    if not set(text) & set("/:@"):
        return Reference(repository, make_tag(text))
    return parse_reference(text)


def _own(workload: Workload, reference: Reference, what: str) -> Reference:
    """Only of the workload's repository: anything else would be injection."""
    if reference.repository != workload.repository:
        raise TrackError(f"{what} gave {reference}, which is not in {workload.repository}")
    if reference.tag is None and reference.digest is None:
        raise TrackError(f"{what} gave neither tag nor digest")
    return reference

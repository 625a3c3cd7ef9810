"""Asks what a workload should follow: a fixed tag, or the output of the user's own command."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from webhook_launcher.core.errors import InvalidReferenceError, LauncherError, TrackError
from webhook_launcher.core.reference import Reference, parse_reference
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


class Tracker:
    """Names the reference that a workload follows now. `run` executes an argv with a time limit."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference, not resolved; None for `track: none`.

        A command prints it, or writes it to the file named by its last argument (the seed's
        get-latest script knows both). Raises TrackError when it gives none.
        """
        if workload.track.kind is not TrackKind.COMMAND:
            return workload.tracked
        with tempfile.TemporaryDirectory(prefix="webhook-launcher-") as scratch:
            written = Path(scratch) / "latest"
            argv = [*workload.track.argv, str(written)]
            try:
                finished = self._run(
                    argv, workload.track.timeout, {"LAUNCHER_WORKLOAD": workload.name}
                )
            except LauncherError as error:
                raise TrackError(f"track.command of {workload.name!r}: {error}") from error
            if finished.status != 0:
                raise TrackError(
                    f"track.command of {workload.name!r} exited with status {finished.status}"
                )
            text = _read(written) or finished.output
        return _parse(workload, text)


def _read(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_OUTPUT + 1)


def _parse(workload: Workload, text: bytes) -> Reference:
    """Exactly one reference in the workload's repository: anything else would be injection."""
    try:
        reference = parse_reference(text.decode("ascii").strip())
    except (UnicodeDecodeError, InvalidReferenceError) as error:
        raise TrackError(
            f"track.command of {workload.name!r} did not give exactly one reference: {error}"
        ) from error
    if reference.repository != workload.repository:
        raise TrackError(
            f"track.command of {workload.name!r} gave {reference}, "
            f"which is not in {workload.repository}"
        )
    if reference.tag is None and reference.digest is None:
        raise TrackError(f"track.command of {workload.name!r} gave neither tag nor digest")
    return reference

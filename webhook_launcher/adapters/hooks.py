"""Runs the user's own commands around an update."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhook_launcher.core.errors import HookError, LauncherError
from webhook_launcher.core.reference import Reference

_TOLD = 500  # bytes of what a failing command said


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


Run = Callable[[Sequence[str], float, Mapping[str, str]], Finished]


class HookRunner:
    """Runs hook commands in order. `run` executes an argv with a time limit and environment."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def run(
        self,
        commands: Sequence[Sequence[str]],
        timeout: float,
        *,
        workload: str,
        reference: Reference,
        moment: str,
    ) -> None:
        """Run each command; HookError at the first that fails or takes longer than `timeout`.

        They get LAUNCHER_WORKLOAD, LAUNCHER_REFERENCE (pinned) and LAUNCHER_HOOK (before, after).
        """
        environment = {
            "LAUNCHER_WORKLOAD": workload,
            "LAUNCHER_REFERENCE": str(reference),
            "LAUNCHER_HOOK": moment,
        }
        for argv in commands:
            try:
                finished = self._run(argv, timeout, environment)
            except LauncherError as error:
                raise HookError(f"hooks.{moment} {argv[0]}: {error}") from error
            if finished.status != 0:
                # Many scripts say on standard output what is wrong.
                said = (finished.errors.strip() or finished.output.strip())[-_TOLD:]
                raise HookError(
                    f"hooks.{moment} {argv[0]} exited with status {finished.status}: "
                    f"{said.decode('utf-8', 'replace')}"
                )

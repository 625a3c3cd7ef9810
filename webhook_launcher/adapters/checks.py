"""Runs the user's own checks of images (policy `command`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhook_launcher.core.evidence import Answer, Check, Facts
from webhook_launcher.core.model import Image

_SHOWN = 200  # characters of its last line


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


Run = Callable[[Sequence[str], float, Mapping[str, str], bytes], Finished]


class CheckRunner:
    """`run` executes an argv with a time limit, an environment and standard input."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def run(self, check: Check, workload: str, image: Image, facts: Facts) -> Answer:
        """Its standard input is the pinned reference, a line feed, and the platform's manifest.

        It gets LAUNCHER_WORKLOAD and LAUNCHER_REFERENCE as hooks do. Raises CommandError when it
        cannot be started, or does not end in its time: no answer is no admission.
        """
        environment = {"LAUNCHER_WORKLOAD": workload, "LAUNCHER_REFERENCE": image.pinned}
        given = image.pinned.encode() + b"\n" + facts.manifest
        finished = self._run(check.argv, check.timeout, environment, given)
        return Answer(finished.status, _last_line(finished.output) or _last_line(finished.errors))


def _last_line(output: bytes) -> str:
    """Shown to people and kept: bounded, and no control characters for terminals to obey."""
    line = output.strip().rpartition(b"\n")[2].decode("utf-8", "replace")[:_SHOWN]
    return "".join(character if character.isprintable() else "?" for character in line)

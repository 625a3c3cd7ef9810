"""One `up` at a time per project, whoever started it and whoever died."""

import subprocess
import sys
from pathlib import Path

import pytest

from webhook_launcher.adapters.compose.lock import held
from webhook_launcher.core.errors import ComposeError, ProjectBusyError


def test_a_program_that_outlives_its_launcher_keeps_the_lock(tmp_path: Path) -> None:
    """A killed launcher's `up` goes on; a second one beside it leaves no container at all."""
    path = tmp_path / "web.lock"
    with held(path) as descriptor:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    # The launcher's own descriptor is closed now, as it is when it was killed.
    with pytest.raises(ProjectBusyError, match="'web'"), held(path, patience=0.1):
        pass
    orphan.communicate(b"\n")
    with held(path, patience=0.1):
        pass


def test_a_program_started_for_something_else_does_not_keep_it(tmp_path: Path) -> None:
    """A hook that stays in the background must not block its project for ever."""
    path = tmp_path / "web.lock"
    with held(path):
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with held(path, patience=0.1):
        pass
    other.communicate(b"\n")


def test_a_lock_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    """With what to check, instead of a fault."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ComposeError, match="cannot use"), held(tmp_path / "file" / "web.lock"):
        pass

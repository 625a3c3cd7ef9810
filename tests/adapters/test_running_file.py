"""`running.json`: which process may be sent SIGHUP, and which may not."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_launcher.adapters import running_file
from webhook_launcher.adapters.running_file import Process, Reload, Running


@pytest.fixture
def other() -> Iterator[Process]:
    """A process that SIGHUP would end."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE
    ) as started:
        found = Process.find(started.pid)
        assert found is not None
        yield found
        started.kill()


def test_what_was_written_is_read(tmp_path: Path, other: Process) -> None:
    """The command waits for the result that the launcher wrote, problem by problem."""
    result = {"problems": [{"path": "parallel", "message": "must be a number"}]}
    written = Running(other, Reload(12.5, result))
    running_file.write(tmp_path, written)
    assert running_file.read(tmp_path) == written
    assert [file.name for file in tmp_path.iterdir()] == ["running.json"]
    assert (tmp_path / "running.json").stat().st_mode & 0o777 == 0o600


def test_a_process_that_has_ended_is_not_running(tmp_path: Path, other: Process) -> None:
    """A launcher that was killed leaves its file behind."""
    running_file.write(tmp_path, Running(other))
    os.kill(other.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet reaped
    assert running_file.read(tmp_path) is None


def test_another_process_with_the_same_id_is_not_running(tmp_path: Path, other: Process) -> None:
    """The kernel gives ids again; a stranger must not get our signal."""
    running_file.write(tmp_path, Running(Process(other.pid, other.started - 1)))
    assert running_file.read(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_process_of_another_user_than_the_files_is_not_running(
    tmp_path: Path, other: Process
) -> None:
    """Else the launcher's user could have root signal any process of the host."""
    running_file.write(tmp_path, Running(other))
    os.chown(tmp_path / "running.json", 65534, -1)
    assert running_file.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"master": {"pid": 1}, "reload": null}'])
def test_what_no_launcher_wrote_is_no_launcher(tmp_path: Path, content: str) -> None:
    """Half a file must not end the command with a traceback."""
    (tmp_path / "running.json").write_text(content)
    assert running_file.read(tmp_path) is None


def test_a_link_is_not_followed(tmp_path: Path, other: Process) -> None:
    """It could lead to a file of somebody else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running_file.write(elsewhere, Running(other))
    (tmp_path / "running.json").symlink_to(elsewhere / "running.json")
    with pytest.raises(OSError, match="symbolic links"):
        running_file.read(tmp_path)


def test_only_the_named_process_removes_the_file(tmp_path: Path, other: Process) -> None:
    """The next launcher may have started already when the one before ends."""
    running_file.write(tmp_path, Running(other))
    running_file.remove(tmp_path, Process(other.pid, other.started - 1))
    assert running_file.read(tmp_path) is not None
    running_file.remove(tmp_path, other)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_seen_without_being_touched(tmp_path: Path) -> None:
    """To try it, even for a moment, would keep a launcher from starting."""
    assert not running_file.is_locked(tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        assert not running_file.is_locked(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running_file.is_locked(tmp_path)
    assert not running_file.is_locked(tmp_path)

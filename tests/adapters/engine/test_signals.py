"""Whether a container's first process hears its stop signal."""

from pathlib import Path
from typing import Any

import pytest

from testbed.images import Behaviour, Recipe, TestRegistry
from tests.projects import Host
from webhook_launcher.adapters.engine.signals import is_deaf

ID = "c" * 64
TERM, QUIT = 1 << 14, 1 << 2


def process(
    proc: Path, *, caught: int = 0, blocked: int = 0, group: str = ID, name: str = "node"
) -> dict[str, Any]:
    """A container whose first process is 42 in a directory like /proc."""
    (proc / "42").mkdir()
    (proc / "42" / "cgroup").write_text(f"12:pids:/docker/{group}\n")
    (proc / "42" / "status").write_text(
        f"Name:\t{name}\nSigBlk:\t{blocked:016x}\nSigIgn:\t0000000000000000\nSigCgt:\t{caught:016x}\n"
    )
    return {"Id": ID, "State": {"Pid": 42}, "Config": {}}


@pytest.mark.parametrize(
    ("caught", "blocked", "signal", "deaf"),
    [
        (0, 0, None, True),
        (TERM, 0, None, False),
        (0, TERM, None, False),
        (TERM, 0, "SIGQUIT", True),
        (QUIT, 0, "SIGQUIT", False),
        (QUIT, 0, "3", False),
        (0, 0, "SIGKILL", False),
        (0, 0, "SIGRTMIN+3", False),
    ],
)
def test_a_signal_is_heard_when_it_is_handled_or_waited_for(
    tmp_path: Path, caught: int, blocked: int, signal: str | None, deaf: bool
) -> None:
    """The kernel drops it for PID 1 otherwise; who blocks it reads it, as systemd does."""
    inspected = process(tmp_path, caught=caught, blocked=blocked)
    inspected["Config"]["StopSignal"] = signal
    assert is_deaf(inspected, tmp_path) is deaf


def test_the_same_number_in_another_namespace_is_somebody_else(tmp_path: Path) -> None:
    """In a container, or against a remote engine, process ids are not the engine's."""
    assert not is_deaf(process(tmp_path, group="e" * 64), tmp_path)
    assert not is_deaf({"Id": ID, "State": {"Pid": 7}, "Config": {}}, tmp_path)
    assert not is_deaf({"Id": ID, "State": {"Pid": 0}, "Config": {}}, tmp_path)


def test_an_init_is_not_called_deaf(tmp_path: Path) -> None:
    """While it waits for a signal, the kernel shows it as neither handled nor blocked."""
    assert not is_deaf(process(tmp_path, name="docker-init"), tmp_path)


@pytest.mark.engine
def test_real_containers_are_told_apart(
    host: Host, registry: TestRegistry, repository: str
) -> None:
    """A shell that ignores TERM, the same under `init: true`, and one that traps it."""
    deaf = registry.push(repository, "deaf", Recipe("deaf", Behaviour.IGNORES_TERM))
    host.engine.pull(deaf)
    body = {"image": deaf.pinned, "network_mode": "none"}
    project = host.project({"bare": body, "init": {**body, "init": True}})
    host.compose.pin(project, deaf.pinned, ["bare", "init"])
    host.compose.up(project, ["bare", "init"])
    found = host.engine.deaf_containers(project.name, ["bare", "init"])
    assert found == [f"{project.name}-bare-1"]

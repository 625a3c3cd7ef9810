"""The command runner: time limits, bounded output, nothing left behind."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import pytest

from webhook_launcher.adapters import command
from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError

# Far more than any of these programs takes: reaching it is a failure, not a measurement.
_LONG = 30.0


def python(source: str) -> list[str]:
    """A program written on the spot."""
    return [sys.executable, "-S", "-c", source]


def alive(pid: int) -> bool:
    """True for a process that has not ended; a zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int) -> None:
    """Return when a process has ended; the test's own time limit bounds the wait."""
    deadline = time.monotonic() + _LONG
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.01)


def test_status_and_both_outputs_are_told_apart() -> None:
    """Compose writes its answer to one and its complaints to the other."""
    finished = command.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=_LONG)
    assert finished == command.Finished(3, b"out\n", b"err\n")


def test_a_program_ended_by_a_signal_has_a_negative_status() -> None:
    """It must never be taken for success."""
    assert command.run(["sh", "-c", "kill -9 $$"], timeout=_LONG).status == -9


def test_arguments_are_never_read_by_a_shell() -> None:
    """A workload name or reference must stay one argument whatever it contains."""
    hostile = "$(touch /tmp/x); `id` && *"
    assert command.run(["printf", "%s", hostile], timeout=_LONG).output == hostile.encode()


def test_the_environment_is_replaced_when_one_is_given() -> None:
    """The launcher's own environment holds its secrets."""
    finished = command.run(["/usr/bin/env"], timeout=_LONG, env={"ONLY": "this"})
    assert finished.output == b"ONLY=this\n"


def test_it_runs_in_the_given_directory(tmp_path: Path) -> None:
    """Hooks of the user find their files."""
    assert (
        command.run(["pwd", "-P"], timeout=_LONG, cwd=tmp_path).output.decode() == f"{tmp_path}\n"
    )


def test_standard_input_is_written_and_closed() -> None:
    """Credential helpers read the server's name until the end of the input."""
    text = b"x" * 300_000
    finished = command.run(["cat"], timeout=_LONG, stdin=text, max_output=1_000_000)
    assert finished.output == text


def test_without_input_there_is_nothing_to_read() -> None:
    """A program that prompts must fail, not wait for an answer that nobody gives."""
    assert command.run(["cat"], timeout=_LONG).output == b""


def test_a_program_that_does_not_read_its_input_may_end() -> None:
    """A helper that fails early has an exit status to tell, and a broken pipe is not news."""
    finished = command.run(["false"], timeout=_LONG, stdin=b"x" * 1_000_000)
    assert finished.status == 1


def test_long_output_keeps_its_head_and_its_tail() -> None:
    """The reason is in the last lines, the context in the first; memory is bounded between."""
    source = "import sys\nfor n in range(200000): print(n)\nsys.exit(4)"
    finished = command.run(python(source), timeout=_LONG, max_output=1000)
    assert finished.status == 4
    assert finished.output.startswith(b"0\n1\n2\n")
    assert finished.output.endswith(b"199998\n199999\n")
    assert b"bytes left out" in finished.output
    assert len(finished.output) < 1100


def test_output_within_the_limit_is_complete() -> None:
    """JSON that lost its middle would be another document."""
    finished = command.run(python("print('ab' * 500)"), timeout=_LONG, max_output=1001)
    assert finished.output == b"ab" * 500 + b"\n"


def test_a_program_that_takes_too_long_is_told_to_end() -> None:
    """SIGTERM first: compose cancels an `up` cleanly on it."""
    script = "trap 'echo tidied up; exit 0' TERM; echo began; while :; do sleep 0.01; done"
    with pytest.raises(CommandTimeoutError, match=r"sh did not end within 0\.3 s") as raised:
        command.run(["sh", "-c", script], timeout=0.3)
    assert raised.value.output.startswith("began\ntidied up\n")
    assert raised.value.retryable


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    """No program may hold a deployment for ever."""
    script = "trap '' TERM; echo $$; exec sleep 600"
    with pytest.raises(CommandTimeoutError) as raised:
        command.run(["sh", "-c", script], timeout=0.5, grace=0.1)
    assert not alive(int(raised.value.output))


def test_what_the_program_started_ends_with_it_at_the_deadline() -> None:
    """`docker compose` is two processes: ending only the first would let the second go on."""
    script = "trap '' TERM; sleep 600 & echo $!; trap 'exit 0' TERM; wait"
    with pytest.raises(CommandTimeoutError) as raised:
        command.run(["sh", "-c", script], timeout=0.5, grace=1.0)
    wait_until_gone(int(raised.value.output))


def test_a_background_program_that_holds_the_pipes_does_not_keep_us_waiting() -> None:
    """A hook may start a daemon; its answer is its own exit, not the daemon's."""
    began = time.monotonic()
    finished = command.run(["sh", "-c", "sleep 600 & echo $!; exit 5"], timeout=_LONG)
    assert finished.status == 5
    assert time.monotonic() - began < _LONG / 2
    left = int(finished.output)
    assert alive(left), "what a program leaves running when it ends by itself is left alone"
    os.kill(left, 9)


def test_a_background_program_that_goes_on_talking_does_not_keep_us_waiting() -> None:
    """Otherwise a chatty daemon would be the same as a hang."""
    script = "(while :; do echo more; done) & echo $! >&2; exit 0"
    finished = command.run(["sh", "-c", script], timeout=_LONG, max_output=100)
    os.kill(int(finished.errors), 9)
    assert finished.status == 0


def test_a_program_that_closes_its_outputs_is_still_waited_for() -> None:
    """Its exit status is the answer, not the end of its output."""
    finished = command.run(["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 6"], timeout=_LONG)
    assert finished.status == 6


def test_a_program_that_closes_its_outputs_has_a_time_limit_too() -> None:
    """Nothing left to read is no reason to wait for ever."""
    with pytest.raises(CommandTimeoutError):
        command.run(["sh", "-c", "exec >&- 2>&-; exec sleep 600"], timeout=0.2)


@pytest.mark.parametrize("name", ["no-such-program-here", "/nowhere/at/all", "/etc/passwd", "/"])
def test_what_cannot_be_run_is_named(name: str) -> None:
    """The operator must see which of several commands is missing."""
    with pytest.raises(CommandNotFoundError, match=name):
        command.run([name], timeout=_LONG)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message must not blame the program."""
    with pytest.raises(CommandNotFoundError, match="gone"):
        command.run(["true"], timeout=_LONG, cwd=tmp_path / "gone")


def test_the_program_leads_a_process_group_of_its_own() -> None:
    """Ctrl-C at the launcher must not reach a compose that is in the middle of an `up`."""
    finished = command.run(python("import os; print(os.getpid() == os.getpgrp())"), timeout=_LONG)
    assert finished.output == b"True\n"


def test_an_interruption_of_ours_ends_the_program(tmp_path: Path) -> None:
    """A worker that is torn down must not leave a compose behind that nobody follows."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    written = tmp_path / "pid"
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        # It reads first: what it reads is written when we have begun to follow it.
        script = f"read word; echo $$ >{written}; kill -USR1 $PPID; exec sleep 600"
        with pytest.raises(KeyboardInterrupt):
            command.run(["sh", "-c", script], timeout=_LONG, stdin=b"go\n")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not alive(int(written.read_text()))


def test_no_descriptor_is_left_open() -> None:
    """A poller runs a command every few seconds, for years."""
    command.run(["true"], timeout=_LONG)
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(5):
        command.run(["cat"], timeout=_LONG, stdin=b"x")
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)

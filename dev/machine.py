#!/usr/bin/env python3
"""Run a command on a machine that has a Docker Engine, compose v2 and a loopback registry.

    python3 dev/machine.py run [--keep] [--engine E] [--compose C] -- COMMAND [ARGUMENT...]
    python3 dev/machine.py stop DIRECTORY

What the developer has is used as it is. What is missing is started for COMMAND alone and ended
after it; as root on Debian or Ubuntu a missing engine is installed (never started as a service),
and the compose plugin, the registry and busybox are unpacked into a cache. Any number of runs fit
side by side.

`--engine` and `--compose` take other releases than the machine's own, on Debian as root; the engine
is then always one of the run's own. With `--if-possible` a developer who cannot have them is told
so, and COMMAND is not run; in CI that is a failure.

COMMAND gets DOCKER_HOST, LAUNCHER_TEST_REGISTRY (host:port), LAUNCHER_TEST_REGISTRY_LOG (a file),
LAUNCHER_TEST_BUSYBOX (a static busybox), a longer PATH and, if compose is ours, DOCKER_CONFIG.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from testbed import engine, programs, registry, releases
from testbed.cache import cache_directory, say
from testbed.errors import MachineError
from testbed.record import Record, abandoned_records, new_record, open_record

# How long COMMAND may tidy up once it was told to end.
FAREWELL_SECONDS = 15
EXPORTED = (
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "PATH",
    "LAUNCHER_TEST_REGISTRY",
    "LAUNCHER_TEST_REGISTRY_LOG",
    "LAUNCHER_TEST_BUSYBOX",
)


class InterruptedRunError(Exception):
    """A signal asked this run to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def prepare(record: Record, release: str | None, compose: str | None) -> dict[str, str]:
    """Find or make everything, and return the environment for COMMAND."""
    began = time.monotonic()
    env = dict(os.environ)
    links = record.directory / "bin"
    links.mkdir()
    env["PATH"] = f"{links}:{programs.search_path()}"
    found = None if release else engine.reachable_host()
    chosen = releases.ENGINES[release] if release else None
    env["DOCKER_HOST"] = found or engine.start(record, chosen)
    docker = programs.docker()
    _link(links, docker)
    if compose or not programs.compose_works(docker):
        plugin = releases.compose_plugin(compose) if compose else programs.compose_plugin()
        plugins = record.directory / "docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        _link(plugins, plugin)
        _link(links, plugin)
        env["DOCKER_CONFIG"] = str(plugins.parent)
    env["LAUNCHER_TEST_BUSYBOX"] = str(programs.busybox())
    env["LAUNCHER_TEST_REGISTRY"] = registry.start(record, env)
    env["LAUNCHER_TEST_REGISTRY_LOG"] = str(registry.log_of(record))
    if (program := programs.registry()) is not None:
        _link(links, program)
    origin = "the engine found at" if found else "an engine of its own at"
    say(f"ready in {time.monotonic() - began:.1f} s: {origin} {env['DOCKER_HOST']}")
    return env


def _link(directory: Path, program: Path) -> None:
    """Make a program of the cache findable; what is on PATH already stays where it is."""
    if cache_directory() in program.parents:
        (directory / program.name).symlink_to(program)


def stop(record: Record) -> None:
    """End what the run started and remove its directory."""
    registry.stop(record)
    engine.stop(record)
    for _ in range(10):
        shutil.rmtree(record.directory, ignore_errors=True)
        if not record.directory.exists():
            return
        time.sleep(0.5)
    say(f"{record.directory} could not be removed entirely; remove it by hand")


def require_linux(platform: str) -> None:
    """Refuse other systems: records, ports and many tests read /proc."""
    if platform != "linux":
        raise MachineError(
            f"the tests and the demo need Linux, and this is {platform}",
            "run them as root in a virtual machine with Debian 12, or on any Linux with Docker "
            "Engine and compose v2",
        )


def clear_abandoned() -> None:
    """End what killed runs left behind; what resists is no reason not to run."""
    for record in abandoned_records():
        say(f"clearing away {record.directory}, whose run was killed")
        try:
            stop(record)
        except MachineError as error:
            say(f"{error}; {error.advice}")


def run(
    command: Sequence[str],
    *,
    keep: bool,
    release: str | None = None,
    compose: str | None = None,
) -> int:
    """Run COMMAND on a machine and return its exit status."""
    clear_abandoned()
    record = new_record()
    env: dict[str, str] = {}
    try:
        env = prepare(record, release, compose)
        status = _follow(command, env)
        record.kept = keep
    except InterruptedRunError as interrupted:
        status = 128 + interrupted.number
    finally:
        # From here on a second signal must not stop the cleaning up.
        _on_signals(signal.SIG_IGN)
        if record.kept:
            _tell_kept(record, env)
        else:
            stop(record)
    return status


def _follow(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Wait for COMMAND; when this run is told to end, so is COMMAND."""
    try:
        child = subprocess.Popen(command, env=dict(env))
    except OSError as error:
        raise MachineError(
            f"{command[0]} cannot be run: {error.strerror}", "check the command after --"
        ) from error
    try:
        status = child.wait()
    except InterruptedRunError as interrupted:
        _bid_farewell(child, interrupted.number)
        raise
    return status if status >= 0 else 128 - status


def _bid_farewell(child: "subprocess.Popen[bytes]", number: int) -> None:
    """End COMMAND, as Ctrl-C would first: test runners tidy up on that, and on nothing else."""
    _on_signals(signal.SIG_IGN)
    if number != signal.SIGINT:
        # A terminal's Ctrl-C reaches COMMAND by itself, and a second one cuts its tidying short.
        child.send_signal(signal.SIGINT)
    for patience, harder in ((FAREWELL_SECONDS, child.terminate), (5, child.kill)):
        try:
            child.wait(patience)
            return
        except subprocess.TimeoutExpired:
            harder()
    child.wait()


def _tell_kept(record: Record, env: Mapping[str, str]) -> None:
    record.write()
    script = record.directory / "env.sh"
    lines = [f"export {name}={shlex.quote(env[name])}" for name in EXPORTED if name in env]
    script.write_text("\n".join(lines) + "\n")
    say(f"kept. Use it: . {script}")
    say(f"end it: python3 {os.path.relpath(__file__)} stop {record.directory}")


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise InterruptedRunError(number)


def _on_signals(action: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, action)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run", help="run COMMAND on a machine")
    runner.add_argument("--keep", action="store_true", help="leave the machine running")
    runner.add_argument("--if-possible", action="store_true", help="else 0 without COMMAND")
    runner.add_argument("--engine", choices=releases.ENGINES, help="another engine")
    runner.add_argument("--compose", choices=releases.COMPOSES, help="another compose")
    runner.add_argument("command", nargs="+", metavar="COMMAND")
    stopper = verbs.add_parser("stop", help="end a machine that was kept")
    stopper.add_argument("directory", type=Path)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status is COMMAND's, 69 when there is no machine."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    _on_signals(_interrupt)
    try:
        require_linux(sys.platform)
        if arguments.verb == "run":
            if arguments.if_possible and not releases.possible() and not os.environ.get("CI"):
                say("this is not root on Debian: no other engine can be had here, so not run")
                return 0
            return run(
                arguments.command,
                keep=arguments.keep,
                release=arguments.engine,
                compose=arguments.compose,
            )
        stop(open_record(arguments.directory.resolve()))
    except MachineError as error:
        say(f"{error}; {error.advice}")
        return 69
    except InterruptedRunError as interrupted:
        return 128 + interrupted.number
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The configuration that gunicorn's master process holds, and how worker and master agree on it.

A worker process inherits the configuration by the fork: a worker that has to be started while the
file is being edited runs under what was in force, not under half an edit.

The worker process decides about a reload (`reload.Running`). Before it puts a configuration in
force, the master must hold it too: the worker sends SIGUSR2, the master reads the file and answers
through a pipe whether it is good.
"""

import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from webhook_launcher.config import DEFAULT_PATH, PATH_VARIABLE, Settings, load
from webhook_launcher.core.errors import ConfigurationError, ReloadUnfinishedError
from webhook_launcher.sources import KINDS

# Seconds that the master may take to read the file: milliseconds, on a host that is not overloaded.
_MASTER_SECONDS = 10.0
_GOOD, _BAD = b"1", b"0"


@dataclass(frozen=True, slots=True)
class _Link:
    """The master's process id, and a pipe from it to its worker."""

    master: int
    answers: int
    to_worker: int


# What cannot change in a launcher that runs.
FIXED = ("listen", "state", "receipts")

_good: list[Settings] = []
_link: list[_Link] = []


def config_path() -> Path:
    """The configuration file named by the environment, else the default one."""
    return Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def read() -> Settings:
    """The file as it is now, with the secret files it names; raises ConfigurationError."""
    return load(config_path(), KINDS)


def settings() -> Settings:
    """What was found good last; the first time, that is the file as it is."""
    return _good[0] if _good else refresh()


def refresh() -> Settings:
    """Read the file and hold it; when it raises ConfigurationError, the one before is held."""
    new = read()
    _good[:] = [with_fixed(new, _good[0]) if _good else new]
    return _good[0]


def with_fixed(new: Settings, old: Settings) -> Settings:
    """Return the new settings with what needs a restart as it was.

    The sockets are the master's, and the journal of another state directory is another one.
    """
    return replace(new, listen=old.listen, state=old.state, receipts=old.receipts)


def link_master() -> None:
    """Make the pipe through which this process, the master, answers its workers."""
    answers, to_worker = os.pipe()
    os.set_blocking(answers, False)
    os.set_blocking(to_worker, False)
    _link[:] = [_Link(os.getpid(), answers, to_worker)]


def answer_worker() -> None:
    """In the master: read the file, and tell the worker whether it is held now."""
    try:
        refresh()
        answer = _GOOD
    except ConfigurationError:
        answer = _BAD
    with suppress(BlockingIOError):  # answers that nobody read; none of them is for us to keep
        os.write(_link[0].to_worker, answer)


def held_by_master() -> bool:
    """In the worker: have the master read the file; False when it is no longer good.

    True without a master of ours. Raises ReloadUnfinishedError when the master does not answer.
    """
    if not _link:
        return True
    link = _link[0]
    with suppress(BlockingIOError):  # an answer that came too late for the reload before
        os.read(link.answers, 4096)
    if os.getppid() != link.master:
        raise ReloadUnfinishedError("the master process has ended")
    os.kill(link.master, signal.SIGUSR2)
    readable, _, _ = select.select([link.answers], [], [], _MASTER_SECONDS)
    if not readable:
        raise ReloadUnfinishedError("the master process did not read the configuration in time")
    return os.read(link.answers, 1) == _GOOD

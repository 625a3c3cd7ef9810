"""The launcher that runs, and how another configuration takes its place while it does.

gunicorn's own reload starts a second worker process, which would find the state directory locked.
So the configuration is replaced inside the one there is. The order of it, in a thread of its own:

1. read and check the file; if anything is wrong, every problem is logged and nothing changes
2. the master process reads it too (`configured`); what cannot change without a restart keeps its
   value, and is named in the log
3. wire the new service, over the same open journal
4. requests go to the new one from now on; what is being answered ends in the old one
5. the old loops end after the step they are in, under the old settings; the journal's claims keep
   a project that they still work on from being given out
6. the new loops start
7. when the last old loop has ended, what it had claimed and could not settle is given back, intents
   of workloads that are gone are settled, and what waits for an age is judged anew

Every reload has a result, for the API and for `webhook-launcher reload`: what is in force, or every
problem. Requests that wait at the same time share one reload, which begins after all of them.
"""

import gc
import logging
import math
import os
import queue
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from webhook_launcher.adapters import running_file
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.app import Service, build
from webhook_launcher.config import Settings
from webhook_launcher.configured import FIXED, with_fixed
from webhook_launcher.core.errors import (
    ConfigurationError,
    LauncherError,
    ReloadUnfinishedError,
)
from webhook_launcher.loop import Loop
from webhook_launcher.web import RECEPTION
from webhook_launcher.web.reception import Reception

_log = logging.getLogger(__name__)
# Seconds between two looks whether the loops of the configuration before have ended.
_LOOK = 0.5
# Seconds between two looks whether the journal was found damaged.
_KEEP = 2.0
# Seconds that a request waits for its reload: less than clients wait for an answer.
_PATIENCE = 25.0
# Readings of a file that changes between the worker's and the master's.
_READINGS = 3

# What a reload put in force; LauncherError for one that changed nothing.
Result = Mapping[str, Any] | LauncherError
Reply = queue.SimpleQueue[Result]


class Running:
    """A WSGI application and the loops around it, under the configuration that is in force.

    `read` reads the configuration anew; it raises ConfigurationError. Opens the journal at once.
    `begin_anew` ends the process so that another one begins: what is open is damaged, and opening
    it anew puts it aside. `held` has the master process read the configuration, and returns False
    when the master refused it.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        begin_anew: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
        held: Callable[[], bool] = lambda: True,
    ) -> None:
        self._read = read
        self._held = held
        self._report: Callable[[float, Result], None] = lambda *_: None
        self._service = build(settings, reload=self.reload_and_wait)
        self._retiring: list[Service] = []
        self._requests: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()  # None: stop
        self._begun = False
        self._loop = Loop("reload", self._step)
        self._begin_anew = begin_anew
        self._keeper = Loop("keeper", self._keep)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request under the configuration that is in force when it comes."""
        return self._service.app(environ, start_response)

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._service.settings

    @property
    def journal(self) -> Journal:
        """The journal, as the configuration in force sees it."""
        return self._service.journal

    @property
    def reception(self) -> Reception:
        """What takes deliveries under the configuration in force, for the worker that serves us."""
        reception: Reception = self._service.app.extensions[RECEPTION]
        return reception

    @property
    def retiring(self) -> int:
        """How many configurations still have a deployment to end."""
        return len(self._retiring)

    def start(self, report: Callable[[float, Result], None] = lambda *_: None) -> None:
        """Give back what a killed launcher had claimed, then start the loops; returns at once.

        `report` gets the result of every reload, and the monotonic time at which it began.
        """
        self._report = report
        self._loop.start()
        self._keeper.start()

    def reload(self) -> None:
        """Ask for the configuration to be read anew; returns at once, safe in a signal handler."""
        self._requests.put(queue.SimpleQueue())

    def reload_and_wait(self) -> Mapping[str, Any]:
        """Reload, and return what is in force now.

        Raises ConfigurationError with every problem when the configuration is refused, and
        ReloadUnfinishedError when there is no result within 25 s; the reload then goes on.
        """
        reply: Reply = queue.SimpleQueue()
        self._requests.put(reply)
        try:
            result = reply.get(timeout=_PATIENCE)
        except queue.Empty:
            raise ReloadUnfinishedError("the reload has no result yet; it goes on") from None
        if isinstance(result, LauncherError):
            raise result
        return result

    def stop(self, deadline: float) -> None:
        """Stop by the monotonic deadline: reloading, pollers, workers, then the journal."""
        self._loop.stop()
        self._keeper.stop()
        self._requests.put(None)
        self._loop.join(deadline)
        self._keeper.join(deadline)
        for service in (*self._retiring, self._service):
            service.halt()
        for service in (*self._retiring, self._service):
            service.stop(deadline)
        self._service.journal.close()

    def _step(self) -> float:
        """Wait for a request and serve it; while old loops go on, look after them too."""
        if not self._begun:
            self._begin()
        replies = self._waiting()
        if replies:
            self._answer(replies)
        before = len(self._retiring)
        self._see_out()
        if len(self._retiring) < before:
            # A service refers to itself in many places. Python would keep some fifty old ones,
            # 25 MiB, before its collector came to them.
            gc.collect()
        return 0.0

    def _waiting(self) -> list[Reply]:
        """Wait for requests, and return all there are; none when the launcher stops."""
        try:
            found = [self._requests.get(timeout=_LOOK if self._retiring else None)]
        except queue.Empty:
            return []
        while not self._requests.empty():
            found.append(self._requests.get())
        replies = [reply for reply in found if reply is not None]
        return replies if len(replies) == len(found) else []

    def _answer(self, replies: list[Reply]) -> None:
        """Reload, and give every request the result; a fault of our own is logged by the loop."""
        began = time.monotonic()
        result: Result = LauncherError(
            "the reload failed by a fault of the launcher's own",
            advice="Report the log's traceback.",
        )
        try:
            result = self._reload()
        except ConfigurationError as error:
            tell_refused(error)
            result = error
        except ReloadUnfinishedError as error:
            _log.error("reload not finished", extra={"detail": str(error)})
            result = error
        finally:
            self._report(began, result)
            for reply in replies:
                reply.put(result)

    def _keep(self) -> float:
        """Nothing can be promised on a damaged journal: end, and begin with a new one."""
        self.journal.examine()
        if self.journal.damage is None:
            return _KEEP
        _log.critical("beginning anew", extra={"detail": self.journal.damage})
        self._begin_anew()
        return math.inf

    def _begin(self) -> None:
        """A full disk delays it: then the loop logs that and calls again."""
        self._service.journal.intents.release_claims()
        self._service.journal.intents.settle_unknown()
        self._service.journal.intents.reconsider()
        self._service.start()
        self._begun = True

    def _reload(self) -> Mapping[str, Any]:
        """Put the configuration in force as it is now, and return what is in force."""
        old = self._service
        settings, kept = kept_what_cannot_change(self._agreed(), old.settings)
        new = build(settings, before=old, reload=self.reload_and_wait)
        self._service = new
        old.halt()
        self._retiring.append(old)
        new.start()
        result = {
            "sources": sorted(settings.sources),
            "workloads": sorted(settings.workloads),
            "removed": sorted(old.settings.workloads.keys() - settings.workloads.keys()),
        }
        _log.info("configuration reloaded", extra=result)
        return {**result, "needs_restart": kept}

    def _agreed(self) -> Settings:
        """Read a configuration that the master process holds as well."""
        for _ in range(_READINGS):
            settings = self._read()
            if self._held():
                return settings
        raise ReloadUnfinishedError("the configuration file changed each time it was read")

    def _see_out(self) -> None:
        """Of the old services, those whose last loop has ended hand over what they left."""
        for old in [old for old in self._retiring if old.halted]:
            try:
                old.hand_over()
                self._service.journal.intents.settle_unknown()
                self._service.journal.intents.reconsider()
            except LauncherError as error:  # our disk: tried again at the next look
                _log.warning("not handed over yet", extra={"detail": str(error)})
                continue
            self._retiring.remove(old)
            for loop in self._service.workers:
                loop.wake()


def kept_what_cannot_change(new: Settings, old: Settings) -> tuple[Settings, list[str]]:
    """Return the new settings with what needs a restart as it was, and the names of those changed.

    Each is logged.
    """
    kept = [name for name in FIXED if getattr(new, name) != getattr(old, name)]
    for name in kept:
        _log.warning(
            "needs a restart",
            extra={"setting": name, "detail": f"`{name}` stays as it was until a restart"},
        )
    return with_fixed(new, old), kept


def announce(state: Path, pid: int, began: float = 0.0, result: Result | None = None) -> None:
    """Write who runs (`pid` is the master's) and how the last reload ended, for the command.

    A full disk costs that and nothing else.
    """
    master = running_file.Process.find(pid)
    if master is None:  # killed just now: this process ends as well
        return
    ended = None if result is None else running_file.Reload(began, _document(result))
    try:
        running_file.write(state, running_file.Running(master, ended))
    except OSError as error:
        _log.warning("reload result not written", extra={"detail": f"{state}: {error.strerror}"})


def _document(result: Result) -> Mapping[str, Any]:
    """Return a result as `webhook-launcher reload` reads it."""
    if isinstance(result, ConfigurationError):
        return {"problems": result.as_documents()}
    if isinstance(result, LauncherError):
        return {"code": result.code, "detail": str(result)}
    return result


def tell_refused(error: ConfigurationError) -> None:
    """One line per problem, and that the configuration before stays in force."""
    for problem in error.problems:
        _log.error("configuration problem", extra={"detail": str(problem)})
    _log.error(
        "configuration refused",
        extra={
            "problems": len(error.problems),
            "detail": "the configuration before stays in force",
            "advice": error.advice(),
        },
    )

"""The launcher that runs, and how another configuration takes its place while it does.

gunicorn's own reload starts a second worker process, which would find the state directory locked.
So the configuration is replaced inside the one there is. The order of it, in a thread of its own:

1. read and check the file; if anything is wrong, every problem is logged and nothing changes
2. what cannot change without a restart keeps its value, and is named in the log
3. wire the new service, over the same open journal
4. requests go to the new one from now on; what is being answered ends in the old one
5. the old loops end after the step they are in, under the old settings; the journal's claims keep
   a project that they still work on from being given out
6. the new loops start
7. when the last old loop has ended, what it had claimed and could not settle is given back, intents
   of workloads that are gone are settled, and what waits for an age is judged anew
"""

import gc
import logging
import math
import os
import queue
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from webhook_launcher.adapters.journal import Journal
from webhook_launcher.app import Service, build
from webhook_launcher.config import Settings
from webhook_launcher.core.errors import ConfigurationError, LauncherError
from webhook_launcher.loop import Loop
from webhook_launcher.web import RECEPTION
from webhook_launcher.web.reception import Reception

_log = logging.getLogger(__name__)
# Seconds between two looks whether the loops of the configuration before have ended.
_LOOK = 0.5
# Seconds between two looks whether the journal was found damaged.
_KEEP = 2.0


class Running:
    """A WSGI application and the loops around it, under the configuration that is in force.

    `read` reads the configuration anew; it raises ConfigurationError. Opens the journal at once.
    `begin_anew` ends the process so that another one begins: what is open is damaged, and opening
    it anew puts it aside.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        begin_anew: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
    ) -> None:
        self._read = read
        self._service = build(settings)
        self._retiring: list[Service] = []
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False: stop
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

    def start(self) -> None:
        """Give back what a killed launcher had claimed, then start the loops; returns at once."""
        self._loop.start()
        self._keeper.start()

    def reload(self) -> None:
        """Ask for the configuration to be read anew; returns at once, safe in a signal handler."""
        self._requests.put(True)

    def stop(self, deadline: float) -> None:
        """Stop by the monotonic deadline: reloading, pollers, workers, then the journal."""
        self._loop.stop()
        self._keeper.stop()
        self._requests.put(False)
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
        try:
            wanted = self._requests.get(timeout=_LOOK if self._retiring else None)
            while wanted and not self._requests.empty():
                wanted = self._requests.get()  # what was asked for twice is done once
        except queue.Empty:
            wanted = False
        if wanted:
            self._reload()
        before = len(self._retiring)
        self._see_out()
        if len(self._retiring) < before:
            # A service refers to itself in many places. Python would keep some fifty old ones,
            # 25 MiB, before its collector came to them.
            gc.collect()
        return 0.0

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

    def _reload(self) -> None:
        try:
            settings = kept_what_cannot_change(self._read(), self.settings)
        except ConfigurationError as error:
            tell_refused(error)
            return
        old, new = self._service, build(settings, before=self._service)
        self._service = new
        old.halt()
        self._retiring.append(old)
        new.start()
        _log.info(
            "configuration reloaded",
            extra={
                "sources": sorted(settings.sources),
                "workloads": sorted(settings.workloads),
                "removed": sorted(old.settings.workloads.keys() - settings.workloads.keys()),
            },
        )

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


def kept_what_cannot_change(new: Settings, old: Settings) -> Settings:
    """The new settings with what needs a restart as it was; tells of each that was to change."""
    for name in ("listen", "state", "receipts"):
        if getattr(new, name) != getattr(old, name):
            _log.warning(
                "needs a restart",
                extra={"setting": name, "detail": f"`{name}` stays as it was until a restart"},
            )
    return replace(new, listen=old.listen, state=old.state, receipts=old.receipts)


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

"""A thread that calls `step()` until it is stopped. The only owner of threads."""

import logging
import threading
import time
from collections.abc import Callable

from webhook_launcher.core.errors import LauncherError

_log = logging.getLogger(__name__)
# After a step that raised: long enough not to spin, short enough to recover by itself.
_PAUSE_AFTER_FAULT = 5.0
# `Event.wait` refuses longer times than a thread can sleep, `inf` among them.
_LONGEST_WAIT = 3600.0


class Loop:
    """Calls `step` again after the seconds that it returned, or at once when woken.

    `step` returning 0 means: there may be more to do now. A step that raises is logged and
    tried again; a loop ends only by `stop`.
    """

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self._step = step
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.waiting = False
        """True between two steps: whoever wakes it then is sure of a whole step afterwards."""
        # A daemon: a deployment that outlasts the stop's grace is resumed at the next start.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin stepping."""
        self._thread.start()

    def wake(self) -> None:
        """Step now instead of at the end of the current wait."""
        self._wake.set()

    def stop(self) -> None:
        """Ask for the end after the current step; returns at once."""
        self._stopping.set()
        self._wake.set()

    def join(self, deadline: float) -> bool:
        """Wait until the monotonic `deadline`; True when the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    @property
    def name(self) -> str:
        """As shown by `/readyz` and in the log."""
        return self._thread.name

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Cleared before the step, so that whoever wakes us during it is not forgotten.
            self._wake.clear()
            wait = self._one_step()
            # A stop between the loop's condition and `clear` has lost its wake.
            if wait > 0 and not self._stopping.is_set():
                self.waiting = True
                self._wake.wait(min(wait, _LONGEST_WAIT))
                self.waiting = False

    def _one_step(self) -> float:
        try:
            return self._step()
        except LauncherError as error:
            _log.error(
                "step failed",
                extra={"loop": self.name, "code": error.code, "detail": str(error)},
            )
            return _PAUSE_AFTER_FAULT
        except Exception:  # noqa: BLE001 - a loop outlives every fault of its step
            _log.exception("step failed", extra={"loop": self.name})
            return _PAUSE_AFTER_FAULT

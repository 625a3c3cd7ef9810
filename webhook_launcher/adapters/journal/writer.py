"""Group commit: the changes that arrive while one commit waits for the disk share the next one.

One thread writes. Callers hand it a change and wait; they are answered after the commit, never
before. A change that fails is undone by itself and fails for its caller alone; when a commit
fails, each of its changes is tried again in one of its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from webhook_launcher.core.errors import JournalError

T = TypeVar("T")

# Seconds. While several callers come at once, more are let come before the next commit: a thread
# that waits for its answer takes nothing from the one that writes. A lone caller never waits.
_GATHER = 0.001

# Returns what a change returned, or raises what it raised.
Result = Callable[[], T]
# Around one change: left without an error, it is kept.
Scope = Callable[[], AbstractContextManager[object]]


class _Change(Generic[T]):
    """Work to be done by the writer, and what came of it; `told` is called when that is final."""

    def __init__(self, work: Callable[[], T], told: "Callable[[Result[T]], None]") -> None:
        self._work = work
        self._told = told
        self._value: T | None = None
        self._error: BaseException | None = None

    def run(self, transaction: Scope) -> None:
        """Do it; the writer outlives whatever it raises."""
        self._error = None
        try:
            with transaction():
                self._value = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error

    def answer(self) -> None:
        """It is committed, or has failed."""
        self._told(self._result)

    def _result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value] # set when there is no error


class Writer:
    """Runs changes in `transaction`, several of them inside one `batch`."""

    def __init__(self, transaction: Scope, batch: Scope) -> None:
        self._transaction = transaction
        self._batch = batch
        self._gate = threading.Lock()
        self._open = True
        self._changes: SimpleQueue[_Change[Any] | None] = SimpleQueue()  # None is the last
        # A daemon: what it has not committed was not acknowledged either.
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[], T]) -> T:
        """Do the work with whatever else is waiting; it is on the disk when this returns."""
        answered = threading.Lock()  # held until there is an answer
        answered.acquire()
        results: list[Result[T]] = []

        def told(result: Result[T]) -> None:
            results.append(result)
            answered.release()

        self.submit(work, told)
        answered.acquire()
        return results[0]()

    def submit(self, work: Callable[[], T], told: Callable[[Result[T]], None]) -> None:
        """Do the work soon; `told` hears in the writer's thread when it is on the disk or failed.

        It must be quick and raise nothing: everybody else's commit waits for it.
        """
        with self._gate:
            if not self._open:
                raise JournalError("the journal cannot be written: it is closed")
            self._changes.put(_Change(work, told))

    def stop(self) -> None:
        """Finish what was handed in before, then end."""
        with self._gate:
            self._open = False
            self._changes.put(None)
        self._thread.join()

    def _run(self) -> None:
        more, crowded = True, False
        while more:
            waiting = [self._changes.get()]
            if crowded:
                time.sleep(_GATHER)
            waiting += [self._changes.get() for _ in range(self._changes.qsize())]
            changes = [change for change in waiting if change is not None]
            more, crowded = len(changes) == len(waiting), len(waiting) > 1
            self._commit(changes)
            for change in changes:
                change.answer()

    def _commit(self, changes: Sequence[_Change[Any]]) -> None:
        if len(changes) > 1 and self._commit_together(changes):
            return
        for change in changes:
            change.run(self._transaction)

    def _commit_together(self, changes: Sequence[_Change[Any]]) -> bool:
        try:
            with self._batch():
                for change in changes:
                    change.run(self._transaction)
        except JournalError:
            return False  # the disk is full, or one of them is too large for it
        return True

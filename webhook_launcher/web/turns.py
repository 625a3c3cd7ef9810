"""Whose turn is it? However much one has waiting, everybody else comes next."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Round(Generic[T]):
    """Items of several, taken one of each in turn."""

    def __init__(self) -> None:
        self._of: dict[str, deque[T]] = {}  # in the order of their turns; none is empty

    def __len__(self) -> int:
        return len(self._of)

    def add(self, whose: str, item: T) -> None:
        self._of.setdefault(whose, deque()).append(item)

    def take(self) -> T:
        whose = next(iter(self._of))
        waiting = self._of.pop(whose)
        item = waiting.popleft()
        if waiting:
            self._of[whose] = waiting  # at the end of the round
        return item


class Turns(Generic[T]):
    """Items by source and client: sources take turns, and so do the clients of each."""

    def __init__(self) -> None:
        self._of: dict[str, _Round[T]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, source: str, client: str, item: T) -> None:
        """Behind what this client of the source has waiting."""
        self._of.setdefault(source, _Round()).add(client, item)
        self._waiting += 1

    def take(self) -> T:
        """The item whose turn it is; there must be one."""
        source = next(iter(self._of))
        clients = self._of.pop(source)
        item = clients.take()
        if clients:
            self._of[source] = clients
        self._waiting -= 1
        return item


class Lanes(Generic[T]):
    """Items by lane, of which each may have only so many under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, deque[T]] = {}
        self._running: dict[str, int] = {}

    def add(self, lane: str, item: T) -> None:
        """Behind what is waiting in this lane."""
        self._waiting.setdefault(lane, deque()).append(item)

    def take(self, lane: str) -> T | None:
        """The next of a lane, which is then under way; None while it has enough or nothing."""
        waiting = self._waiting.get(lane)
        if not waiting or self._running.get(lane, 0) >= self._most:
            return None
        self._running[lane] = self._running.get(lane, 0) + 1
        return waiting.popleft()

    def done(self, lane: str) -> None:
        """One of a lane has ended."""
        self._running[lane] -= 1

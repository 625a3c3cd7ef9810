"""How many deliveries a source may send, and how many refused ones are answered in full.

What is authentic and what is refused is counted apart: whoever forges deliveries of a source does
not use up what its real sender may send.
"""

from collections.abc import Callable

_MINUTE = 60.0
# Clients with an account of their own; what more there are share one of each source.
_CLIENTS = 1024


class Allowance:
    """So many a minute, and as many at once after a quiet minute (a token bucket)."""

    __slots__ = ("_at", "_left", "_most")

    def __init__(self, per_minute: int, now: float) -> None:
        self._most = float(per_minute)
        self._left = self._most
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until there is one to take; 0 when there is."""
        self._left = min(self._most, self._left + (now - self._at) * self._most / _MINUTE)
        self._at = now
        return max(0.0, (1 - self._left) * _MINUTE / self._most)

    def take(self, now: float) -> float:
        """Take one. Seconds until there is one; 0 when it was taken."""
        wait = self.wait(now)
        if wait == 0:
            self._left -= 1
        return wait

    def is_whole(self, now: float) -> bool:
        """True when nothing was taken for so long that forgetting it changes nothing."""
        self.wait(now)
        return self._left >= self._most


class Pace:
    """The accounts of every source. Kept by one process and forgotten at its end.

    Two threads that ask at one moment may both be given the last one: this bounds, it counts
    nothing that matters.
    """

    def __init__(self, deliveries: int, refused: int, monotonic: Callable[[], float]) -> None:
        self._deliveries = deliveries
        self._refused = refused
        self._monotonic = monotonic
        self._of_source: dict[str, Allowance] = {}
        self._of_client: dict[tuple[str, str], Allowance] = {}

    def wait(self, source: str) -> float:
        """Seconds that this source should hold back; 0 when its next delivery is welcome."""
        now = self._monotonic()
        return self._source(source, now).wait(now)

    def authentic(self, source: str) -> float:
        """Count one. Seconds that the source should hold back; 0 when it may be accepted."""
        now = self._monotonic()
        return self._source(source, now).take(now)

    def refused(self, source: str, client: str) -> float:
        """Count one. Seconds that the client should hold back; 0 while it is within its allowance.

        Says nothing about its authentic deliveries: they are welcome.
        """
        now = self._monotonic()
        return self._client(source, client, now).take(now)

    def _source(self, source: str, now: float) -> Allowance:
        found = self._of_source.get(source)
        if found is None:  # at most one per configured source
            found = self._of_source[source] = Allowance(self._deliveries, now)
        return found

    def _client(self, source: str, client: str, now: float) -> Allowance:
        key = (source, client)
        if key not in self._of_client and len(self._of_client) >= _CLIENTS:
            for other, account in list(self._of_client.items()):
                if account.is_whole(now):
                    self._of_client.pop(other, None)
            if len(self._of_client) >= _CLIENTS:
                key = (source, "")
        found = self._of_client.get(key)
        if found is None:
            found = self._of_client[key] = Allowance(self._refused, now)
        return found

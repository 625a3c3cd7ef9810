"""Registries that let us wait in vain, and are then left alone for a while by everybody.

A black hole takes a whole timeout of every thread that asks it: without this, four workers wait for
one registry while the images of all others wait for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhook_launcher.core.errors import RegistryUnavailableError

# A failure that took less costs nobody anything: a refused connection is told in milliseconds.
_SLOW = 3.0
_PAUSE = 15.0


class Outages:
    """By registry host. Safe for several threads: each step is one operation on a dictionary."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._closed_until: dict[str, float] = {}
        self._trying: dict[str, object] = {}

    @contextmanager
    def asking(self, host: str) -> Iterator[None]:
        """Ask within the block. RegistryUnavailableError at once while the host is left alone.

        After the pause one caller at a time tries it, until one is answered.
        """
        began, me = self._now(), object()
        left = self._closed_until.get(host, began) - began
        doubtful = host in self._closed_until
        if left > 0 or (doubtful and self._trying.setdefault(host, me) is not me):
            raise RegistryUnavailableError(
                f"registry {host} does not answer in time and is left alone for now",
                retry_after=max(left, 1.0),
            )
        in_vain = False
        try:
            yield
        except RegistryUnavailableError:
            in_vain = self._now() - began >= _SLOW
            raise
        finally:
            if in_vain:
                self._closed_until[host] = self._now() + _PAUSE
            else:
                self._closed_until.pop(host, None)
            if self._trying.get(host) is me:
                del self._trying[host]

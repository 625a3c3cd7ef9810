"""What the engine started meanwhile: nothing else may ever run, not even for a moment."""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing
from typing import Any

import docker
from docker.errors import DockerException
from requests import RequestException
from urllib3.exceptions import HTTPError


class Watch:
    """Follows the engine's events of a label, across its restarts."""

    def __init__(self, connect: Callable[[], docker.APIClient], label: str) -> None:
        self._connect = connect
        self._label = label
        self._since = time.time()
        self._started: list[str] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)

    def start(self) -> None:
        """From now on."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """The thread ends with its connection or the program."""
        self._ends.set()

    def strangers(self, digests: Collection[str]) -> list[str]:
        """What was started and is none of `repository@digest` for these digests."""
        known = tuple(digests)
        return [f"{image} was started" for image in self._started if not image.endswith(known)]

    def _follow(self) -> None:
        while not self._ends.is_set():
            try:
                with closing(self._connect()) as client:
                    self._read(client)
            except (DockerException, RequestException, HTTPError, OSError):
                time.sleep(0.2)  # it is away, which is what the campaign does to it

    def _read(self, client: docker.APIClient) -> None:
        filters = {"type": "container", "event": "start", "label": self._label}
        # As text, because its fraction of a second counts; the stubs know whole seconds only.
        since: Any = f"{self._since:.6f}"
        for event in client.events(since=since, filters=filters, decode=True):
            self._since = event["timeNano"] / 1e9 + 1e-6
            self._started.append(event["Actor"]["Attributes"]["image"])

"""What a journal knows, read beside the launcher that writes it: nothing is locked or changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from webhook_launcher.adapters.journal.database import FILE
from webhook_launcher.adapters.journal.evidence import KeptEvidence
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.core.errors import JournalError
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.model import Image, WorkloadState


class Snapshot:
    """The journal of a state directory, opened for reading; empty where there is none.

    `name` is another file's: of a copy, or of a journal that was set aside.
    """

    def __init__(self, state: Path, name: str = FILE) -> None:
        self._path = state / name
        # Another file than the journal has no writer, and gets nothing beside it.
        self._way = "mode=ro" if name == FILE else "immutable=1"
        self._workloads = Workloads(self)
        self._evidence = KeptEvidence(self, self._workloads)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A look at what is committed."""
        try:
            address = f"{self._path.absolute().as_uri()}?{self._way}"
            connection = sqlite3.connect(address, uri=True)
            try:
                connection.row_factory = sqlite3.Row
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path} cannot be read: {error}") from error

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Refused."""
        raise JournalError(f"the journal {self._path} was opened for reading")

    def state(self, workload: str) -> WorkloadState:
        """What is known of a workload."""
        return self._workloads.state(workload) if self._path.exists() else WorkloadState(workload)

    def sighted(self, image: Image, now: datetime) -> datetime:
        """When the digest was first seen; now, if it never was, which is not noted."""
        known = self._evidence.first_seen(image) if self._path.exists() else None
        return known or now

    def get(self, workload: str, image: Image) -> Evidence | None:
        """What was kept of an image that was admitted here."""
        return self._evidence.get(workload, image) if self._path.exists() else None

    def superseded(self, workload: str, image: Image) -> bool:
        """True when it ran here before what runs now."""
        return self._path.exists() and self._evidence.superseded(workload, image)

    def keep(self, workload: str, image: Image, evidence: Evidence) -> None:
        """Keeps nothing."""

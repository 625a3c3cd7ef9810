"""How many deliveries were refused, by source and by the code that they were told: for `/metrics`.

Counted in memory, since the process began: whoever sends forged deliveries writes nothing to the
disk. One object goes from configuration to configuration (`app.build`), so a reload resets nothing.
"""

import threading
from collections import Counter
from collections.abc import Mapping

from webhook_launcher.web.answer import Answer

# In place of the name of a source that there is not, whatever was written there: nobody adds a
# line to `/metrics` by asking for it. No configured source can be called that.
UNKNOWN = "(unknown)"


class Refusals:
    """Counts that only go up. As many as there are configured sources times codes of ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, source: str, answer: Answer) -> None:
        """Count one. `source` is configured, or `UNKNOWN`. From any thread."""
        key = (source, str(answer.content["code"]))
        with self._lock:
            self._counts[key] += 1

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """By source and code; nothing for what never happened."""
        with self._lock:
            return dict(self._counts)

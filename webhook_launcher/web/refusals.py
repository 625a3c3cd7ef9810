"""How many deliveries were refused, by source and by the code that they were told: for `/metrics`.

Counted in memory, since the process began: whoever sends forged deliveries writes nothing to the
disk. One object goes from configuration to configuration (`app.build`), so a reload resets nothing.
"""

import itertools
from collections.abc import Mapping

from webhook_launcher.web.answer import Answer

# In place of the name of a source that there is not, whatever was written there: nobody adds a
# line to `/metrics` by asking for it. No configured source can be called that.
UNKNOWN = "(unknown)"


class Refusals:
    """Counts that only go up. As many as there are configured sources times codes of ours."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], itertools.count[int]] = {}
        self._counts: dict[tuple[str, ...], float] = {}

    def add(self, source: str, answer: Answer) -> None:
        """Count one. `source` is configured, or `UNKNOWN`. From any thread, without a lock.

        `setdefault` and `next` are atomic; a count that a thread stores late is lower by those that
        came between, until the next one.
        """
        key = (source, str(answer.content["code"]))
        self._counts[key] = next(self._numbers.setdefault(key, itertools.count(1)))

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """By source and code; nothing for what never happened."""
        return self._counts.copy()

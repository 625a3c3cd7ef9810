"""How much the journal remembers, and for how long it must: what is forgotten could come again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

# A signed time may be this far from our clock at most, and a token this old. So no captured event
# is accepted for longer than twice that: signed a day ahead, it is good until it is a day old.
LONGEST_TOLERANCE = timedelta(days=1)
LONGEST_REPLAY = 2 * LONGEST_TOLERANCE


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of what is closed; what is open is always kept.

    Deliveries and finished intents up to an age, and of each the newest so many; the newest
    deployments of all workloads together, and the newest of each workload and outcome.
    """

    # Longer than any sender in the facts keeps redelivering (Pub/Sub: 7 days).
    age: timedelta = timedelta(days=30)
    # Whatever their age: a flood must not fill the disk.
    deliveries: int = 100_000
    deployments: int = 10_000
    # However many others have: the current and the previous release are among them.
    per_workload: int = 20
    # By source: for how long after it was accepted the same signed delivery would be accepted
    # again, were its id forgotten. For so long no flood of others makes it so. Of a source that is
    # not here, because it was removed, nobody knows: LONGEST_REPLAY.
    replayable: Mapping[str, timedelta] = field(default_factory=dict)

"""The `journal:` section: what is remembered of what is over."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core.retention import LONGEST_REPLAY, Retention
from webhook_launcher.core.source import Kind, Source
from webhook_launcher.core.workload import Workload

_MOST = 10_000_000


def read_retention(
    top: Section,
    sources: Mapping[str, Source],
    workloads: Mapping[str, Workload],
    kinds: Mapping[str, Kind],
) -> Retention:
    """`journal.keep`, and what sources and workloads need it to keep."""
    journal, default = top.section("journal"), Retention()
    keep = journal.section("keep")
    deliveries, deployments = keep.section("deliveries"), keep.section("deployments")
    retention = Retention(
        age=deliveries.take("age", _age, default.age),
        deliveries=deliveries.take("count", values.number(1000, _MOST), default.deliveries),
        deployments=deployments.take("count", values.number(100, _MOST), default.deployments),
        # Of which releases images are to stay is known by their deployments.
        per_workload=max(
            [
                deployments.take("per_workload", values.number(10, 10_000), default.per_workload),
                *(workload.keep or 0 for workload in workloads.values()),
            ]
        ),
        replayable={one.name: kinds[one.kind].replayable(one) for one in sources.values()},
    )
    for section in (deliveries, deployments, keep, journal):
        section.finish()
    return retention


def _age(value: Any) -> timedelta:
    """Outlives every time for which a captured event would be accepted again."""
    age = timedelta(seconds=values.duration(value))
    if age < LONGEST_REPLAY:
        raise ValueError(
            "must be at least 2d: for so long an event with the longest `tolerance` (1d) could be "
            "sent again, and only its remembered id tells that it was"
        )
    return age

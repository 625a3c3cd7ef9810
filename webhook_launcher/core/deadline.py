"""How long the gate waits for a container: configured, or what the engine itself would allow."""

from webhook_launcher.core.container import Container
from webhook_launcher.core.workload import HealthSettings

# Without a healthcheck: how long a container must stay up to be believed, and how long it may
# take to get up at all.
_SETTLE = 5.0
_START = 10.0
# Seconds. `interval: 1h` is legal; it must not hold a deployment for hours.
_LONGEST_PATIENCE = 600.0
_AFTER_START_PERIOD = 120.0


def settle_time(container: Container, health: HealthSettings) -> float:
    """Return the seconds that a container must stay well to be believed."""
    if health.settle is not None:
        return health.settle
    return 0.0 if container.healthcheck else _SETTLE


def patience(container: Container, health: HealthSettings) -> float:
    """Return the seconds until the container must be well and settled."""
    if health.timeout is not None:
        limit = health.timeout
    elif container.healthcheck is None:
        limit = _START
    else:
        limit = min(container.healthcheck.deadline, _cap(container))
    return limit + settle_time(container, health)


def is_capped(container: Container, health: HealthSettings) -> bool:
    """Return True when the engine would come to its verdict only after the gate's deadline."""
    check = container.healthcheck
    return health.timeout is None and check is not None and check.deadline > _cap(container)


def _cap(container: Container) -> float:
    check = container.healthcheck
    start_period = check.start_period if check else 0.0
    return max(_LONGEST_PATIENCE, start_period + _AFTER_START_PERIOD)

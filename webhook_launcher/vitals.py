"""How the service is: what `/readyz` asks and `/metrics` shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from webhook_launcher.adapters.engine import Engine
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.config import Settings
from webhook_launcher.core.errors import AuthenticationError, LauncherError
from webhook_launcher.core.workload import TrackKind, Workload
from webhook_launcher.loop import Loop
from webhook_launcher.web.health import Check
from webhook_launcher.web.metrics import Metric
from webhook_launcher.web.refusals import Refusals


def checks(journal: Journal, engine: Engine, loops: Sequence[Loop]) -> dict[str, Check]:
    """What `/readyz` asks: journal, loops, engine."""

    def asked(question: Callable[[], None]) -> Check:
        def check() -> str | None:
            try:
                question()
            except LauncherError as error:
                return f"{error}. {error.advice()}"
            return None

        return check

    def alive() -> str | None:
        dead = [loop.name for loop in loops if not loop.alive]
        return f"ended or not started: {', '.join(dead)}" if dead else None

    return {"journal": asked(journal.usable), "loops": alive, "engine": asked(engine.ping)}


def metrics(
    journal: Journal, loops: Sequence[Loop], settings: Settings, refusals: Refusals
) -> list[Metric]:
    """What `/metrics` shows."""
    figures, aside = journal.figures, journal.note() is not None
    alive: dict[tuple[str, ...], float] = {(loop.name,): float(loop.alive) for loop in loops}
    return [
        Metric("intents", "Intents that are open.", ("status",), figures.intents()),
        Metric("deliveries", "Deliveries kept.", ("source", "outcome"), figures.deliveries()),
        Metric(
            "refused_deliveries_total",
            "Deliveries refused since the process began.",
            ("source", "code"),
            _refused(settings.sources, refusals),
            "counter",
        ),
        Metric(
            "registry_answered_timestamp_seconds",
            "When a look at a registry was answered last; 0 if never.",
            ("registry",),
            _answered(figures.answered(), settings.workloads.values()),
        ),
        Metric("deployments", "Deployments kept.", ("workload", "status"), figures.deployments()),
        Metric(
            "last_deployment_seconds",
            "Seconds of each step of the last deployment that ended.",
            ("workload", "step"),
            figures.timings(),
        ),
        Metric("journal_bytes", "Size of the journal's files.", ("file",), figures.sizes()),
        Metric("journal_moved_aside", "1 while a damaged one is kept.", (), {(): float(aside)}),
        Metric("loop_alive", "1 while a loop runs.", ("loop",), alive),
    ]


def _refused(sources: Iterable[str], refusals: Refusals) -> dict[tuple[str, ...], float]:
    """By source and code. A counter that is there before the first time can be alerted on then."""
    none: dict[tuple[str, ...], float] = {
        (source, AuthenticationError.code): 0.0 for source in sources
    }
    return {**none, **refusals.counts()}


def _answered(
    looks: Mapping[str, datetime], workloads: Iterable[Workload]
) -> dict[tuple[str, ...], float]:
    """Seconds since the epoch by registry, of the workloads that follow something in it."""
    found: dict[tuple[str, ...], float] = {}
    for workload in workloads:
        if workload.track.kind is not TrackKind.NONE:
            key, look = (workload.repository.registry,), looks.get(workload.name)
            found[key] = max(found.get(key, 0.0), look.timestamp() if look else 0.0)
    return found

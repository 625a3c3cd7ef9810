"""How the service is: what `/readyz` asks and `/metrics` shows."""

from collections.abc import Callable, Sequence

from webhook_launcher.adapters.engine import Engine
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import LauncherError
from webhook_launcher.loop import Loop
from webhook_launcher.web.health import Check
from webhook_launcher.web.metrics import Metric


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


def metrics(journal: Journal, loops: Sequence[Loop]) -> list[Metric]:
    """What `/metrics` shows."""
    figures, aside = journal.figures, journal.note() is not None
    alive: dict[tuple[str, ...], float] = {(loop.name,): float(loop.alive) for loop in loops}
    return [
        Metric("intents", "Intents that are open.", ("status",), figures.intents()),
        Metric("deliveries", "Deliveries kept.", ("source", "outcome"), figures.deliveries()),
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

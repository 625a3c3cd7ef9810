"""Where a launcher dies: calls of its parts are steps, and a file says at which of them.

Installed from outside (`campaign.doomed`) around the classes that `app` wires; the package knows
nothing of it. Every call is two events, `Engine.pull(` before it and `Engine.pull)` after it; a
call inside another one is none. Only events of the loops that work and of accepting count:
they come in the order of a deployment, so that event and number name one moment of it.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

PLAN_VARIABLE = "CAMPAIGN_PLAN"
_JOURNAL = "webhook_launcher.adapters.journal"
# Module, class, methods. What only reads the journal is no step: nothing is different after it.
_STEPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (f"{_JOURNAL}.deliveries", "Deliveries", ("_accept",)),
    (f"{_JOURNAL}.intents", "Intents", ("claim", "settle", "postpone", "enqueue")),
    (
        f"{_JOURNAL}.deployments",
        "Deployments",
        ("begin", "mark_switching", "succeed", "fail", "rewrite"),
    ),
    (f"{_JOURNAL}.workloads", "Workloads", ("want", "checked", "promote", "acted_on")),
    ("webhook_launcher.adapters.registry.client", "RegistryClient", ("head", "image")),
    (
        "webhook_launcher.adapters.engine.engine",
        "Engine",
        ("platform", "pull", "keep", "adopted", "sweep", "remove"),
    ),
    ("webhook_launcher.adapters.compose.client", "Compose", ("quiet", "pin", "up")),
    ("webhook_launcher.gate", "Gate", ("wait",)),
    ("webhook_launcher.adapters.hooks", "HookRunner", ("run",)),
)
# Inside a step: the fresh file is there and has not taken the old one's place; a transaction is
# whole and not committed.
_INNER = (
    ("webhook_launcher.adapters.compose.written", "json", "dump", "override.write"),
    (f"{_JOURNAL}.database", "Database", "_complete", "commit"),
)
_DELIVERIES = "Deliveries."
# Deliveries are committed by the journal's thread, several together, and answered after that.
_ANSWER = "Deliveries.answer"
# What an init system or an operator sends to gunicorn's master.
_REQUESTS = {"stop": signal.SIGTERM, "reload": signal.SIGHUP}


@dataclass(frozen=True)
class Plan:
    """Die at the `number`-th `event` from now, `delay` seconds later.

    `victims`: `launcher` (all of it, compose lives on), `worker` (gunicorn starts another one),
    `compose` (the launcher lives on), `all`, or `nobody` (the plan's going is a signal). `stop` and
    `reload` are no kills: gunicorn's master is sent SIGTERM or SIGHUP, and the step goes on.
    Without an event nothing happens and every event is written to `trace`.
    """

    id: str
    event: str = ""
    number: int = 1
    delay: float = 0.0
    victims: str = "launcher"
    trace: str = ""

    def write(self, path: Path) -> None:
        """Arm: in place at once, so that no half of it is read."""
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


class Traps:
    """Counts events and carries out the plan, once: the plan is gone before anybody dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._plan = ""
        self._seen: Counter[str] = Counter()
        self._inside = threading.local()

    def install(self) -> None:
        """Wrap every step."""
        for module, name, methods in _STEPS:
            owner = getattr(import_module(module), name)
            for method in methods:
                self._wrap(owner, method, f"{name}.{method.lstrip('_')}")
        self._wrap_answers(import_module(f"{_JOURNAL}.deliveries").Deliveries)
        for module, name, method, event in _INNER:
            self._wrap_inner(getattr(import_module(module), name), method, event)

    def event(self, name: str) -> None:
        """Something is about to happen, or has just happened."""
        if not (
            threading.current_thread().name.startswith("worker-") or name.startswith(_DELIVERIES)
        ):
            return
        with self._lock:
            plan = self._read()
            if plan is None:
                return
            if plan.id != self._plan:
                self._plan, self._seen = plan.id, Counter()
            self._seen[name] += 1
            if plan.trace:
                with Path(plan.trace).open("a") as trace:
                    trace.write(f"{name}\n")
            elif plan.event == name and plan.number == self._seen[name]:
                self._path.unlink(missing_ok=True)
                self._strike(plan)

    def _read(self) -> Plan | None:
        try:
            return Plan(**json.loads(self._path.read_text()))
        except FileNotFoundError:
            return None

    def _strike(self, plan: Plan) -> None:
        if plan.victims == "nobody":
            return
        if plan.delay:
            threading.Timer(plan.delay, _kill, [plan.victims]).start()
        else:
            _kill(plan.victims)

    def _wrap(self, owner: Any, method: str, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        @wraps(inner)
        def step(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "step", False):
                return inner(*args, **kwargs)
            self._inside.step = True
            try:
                # A queue that is asked in vain, every now and then, is no step of a deployment.
                if method != "claim":
                    self.event(f"{name}(")
                result = inner(*args, **kwargs)
                if method != "claim" or result is not None:
                    self.event(f"{name})")
                return result
            finally:
                self._inside.step = False

        setattr(owner, method, step)

    def _wrap_answers(self, owner: Any) -> None:
        inner: Callable[..., Any] = owner.accept_all

        @wraps(inner)
        def accept_all(deliveries: Any, heard: Any, told: Callable[[Any], None]) -> None:
            def told_later(outcomes: Any) -> None:
                self.event(_ANSWER)
                told(outcomes)

            inner(deliveries, heard, told_later)

        owner.accept_all = accept_all

    def _wrap_inner(self, owner: Any, method: str, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        @wraps(inner)
        def moment(*args: Any, **kwargs: Any) -> Any:
            if getattr(args[0], "_depth", 1) == 1:  # of nested transactions the outer one commits
                self.event(name)
            return inner(*args, **kwargs)

        setattr(owner, method, moment)


def _kill(victims: str) -> None:
    """SIGKILL, to whom the plan says; the launcher's session is its process group."""
    if victims in _REQUESTS:
        os.kill(os.getppid(), _REQUESTS[victims])
        return
    if victims in ("all", "compose"):
        for child in _children(os.getpid()):
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
    if victims in ("all", "launcher"):
        os.killpg(0, signal.SIGKILL)
    if victims == "worker":
        os.kill(os.getpid(), signal.SIGKILL)
    if victims != "compose":
        time.sleep(60)  # nothing more happens in this thread


def _children(parent: int) -> list[int]:
    """Programs that were started from here; each leads a process group of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found

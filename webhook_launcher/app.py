"""The composition root: from settings to a wired service. Holds no logic."""

import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flask import Flask

from webhook_launcher.adapters.checks import CheckRunner
from webhook_launcher.adapters.command import Finished, run
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.hooks import HookRunner
from webhook_launcher.adapters.journal import Journal, check_keys
from webhook_launcher.adapters.journal.snapshot import Snapshot
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.adapters.recorder import Recorder
from webhook_launcher.adapters.registry import (
    Credential,
    DockerCredentials,
    RegistryClient,
    RegistrySettings,
)
from webhook_launcher.adapters.state_directory import StateDirectory, try_out
from webhook_launcher.adapters.tracker import Tracker
from webhook_launcher.admission import Admission
from webhook_launcher.checkup import Checkup
from webhook_launcher.config import Recording, Settings
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError, LauncherError
from webhook_launcher.core.model import Action, Image, Origin, Platform, Trust, Verdict
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.core.workload import Workload
from webhook_launcher.gate import Gate
from webhook_launcher.launcher import Launcher
from webhook_launcher.loop import Loop
from webhook_launcher.placement import Placement
from webhook_launcher.poller import Poller
from webhook_launcher.prerequisites import Prerequisites
from webhook_launcher.published_keys import with_key_lookups
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout
from webhook_launcher.sources import KINDS, may_send, receive
from webhook_launcher.web import create_app
from webhook_launcher.web.api import Console
from webhook_launcher.web.health import Check, Health
from webhook_launcher.web.metrics import Metric
from webhook_launcher.web.reception import Intake
from webhook_launcher.worker import Worker

_log = logging.getLogger(__name__)
# As many registries may hang at the same time without holding up the looks at all others.
_POLLERS = 4
_PRUNE_EVERY = 600.0


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass
class Service:
    """A wired launcher: the WSGI application and the loops around the journal."""

    settings: Settings
    app: Flask
    journal: Journal
    registry: RegistryClient
    connection: Connection
    worker: Worker
    pollers: Sequence[Loop]
    workers: Sequence[Loop]

    def start(self) -> None:
        """Start the loops, on a journal without claims but those of a service that goes on."""
        for loop in (*self.workers, *self.pollers):
            loop.start()

    def halt(self) -> None:
        """Ask the loops to end after the step they are in; returns at once."""
        for loop in (*self.pollers, *self.workers):
            loop.stop()

    @property
    def halted(self) -> bool:
        """True when the last loop has ended."""
        return not any(loop.alive for loop in (*self.pollers, *self.workers))

    def hand_over(self) -> None:
        """Once it has halted: what its loops left goes to whoever comes after them."""
        for intent in self.worker.unsettled:
            self.journal.intents.give_back(intent)
        self._disconnect()

    def stop(self, deadline: float) -> None:
        """Stop by the monotonic deadline: pollers, then workers."""
        for loops in (self.pollers, self.workers):
            for loop in loops:
                loop.stop()
            for loop in loops:
                loop.join(deadline)
        self._disconnect()

    def _disconnect(self) -> None:
        """Close what is kept open; a request that is still being answered opens it anew."""
        self.registry.close()
        self.connection.close()


def build(settings: Settings, clock: Clock | None = None, opened: Journal | None = None) -> Service:
    """Wire the service; starts nothing, touches neither engine nor network.

    Opens the journal of the state directory, or works on the one that is `opened`.
    """
    clock = clock or SystemClock()
    lanes = {name: workload.project.name for name, workload in settings.workloads.items()}
    pending = settings.limits.pending
    journal = (
        opened.reconfigured(lanes, pending)
        if opened
        else Journal(settings.state, lanes, limit=pending, key=settings.receipts)
    )
    registry, credentials = _registry(settings, clock)
    tracker = Tracker(_run_for_user, registry)
    connection = Connection(os.environ)
    engine = Engine(connection, clock, credentials)
    compose = Compose(run, settings.state, os.environ)
    rollout = Rollout(
        engine,
        compose,
        Gate(engine, clock),
        HookRunner(_run_for_user),
        clock,
    )
    launcher = Launcher(
        Resolver(registry, tracker, clock),
        Admission(registry, CheckRunner(_run_check), KeylessVerifier(), journal.evidence, clock),
        rollout,
        journal.deployments,
        journal.workloads,
        clock,
        journal.new_id,
    )
    workers: list[Loop] = []

    def wake() -> None:
        """One that waits is enough: it calls the next when it finds something to do."""
        for loop in [loop for loop in workers if loop.waiting][:1] or workers:
            loop.wake()

    worker = Worker(journal.intents, launcher, settings.workloads, clock, wake)
    workers += [Loop(f"worker-{number}", worker.step) for number in range(settings.parallel)]

    poller = Poller(
        settings.workloads.values(),
        registry,
        tracker,
        rollout,
        journal.workloads,
        journal.intents,
        clock,
        wake,
        random.random,
    )
    placement = Placement(settings.workloads.values(), engine, compose)
    prerequisites = Prerequisites(engine, compose)
    pollers = [
        *(Loop(f"poller-{number}", poller.step) for number in range(_POLLERS)),
        Loop("pruner", _pruner(journal, clock)),
        Loop("placement", placement.step),
        Loop("prerequisites", prerequisites.step),
    ]
    health = Health(
        {
            **_checks(journal, engine, (*workers, *pollers)),
            "mounts": placement.reason,
            "host": prerequisites.reason,
        },
        {"journal": journal.note},
    )
    app = create_app(
        Intake(
            with_key_lookups(settings.sources, clock.monotonic),
            {name: workload.interest for name, workload in settings.workloads.items()},
            receive,
            journal.deliveries,
            clock,
            wake,
            settings.limits.body,
            frozenset(kind.name for kind in KINDS.values() if kind.punishes_errors),
            _recorder(settings.record),
            settings.limits.deliveries,
            settings.limits.refused,
            settings.limits.request,
        ),
        Console(
            settings.admin_token,
            settings.workloads,
            journal.deliveries,
            journal.intents,
            journal.deployments,
            journal.workloads,
            journal.receipts,
            clock,
            wake,
            health.remarks,
        ),
        health,
        partial(_metrics, journal, (*workers, *pollers)),
        partial(may_send, settings.sources),
    )
    return Service(settings, app, journal, registry, connection, worker, pollers, workers)


def examine(settings: Settings, clock: Clock | None = None) -> Checkup:
    """Wire what `doctor` asks; opens no journal, so it may run beside a launcher."""
    clock = clock or SystemClock()
    registry, credentials = _registry(settings, clock)
    engine = Engine(Connection(os.environ), clock, credentials)
    compose = Compose(run, settings.state, os.environ)
    workloads = settings.workloads.values()
    return Checkup(
        workloads,
        engine,
        compose,
        registry,
        Tracker(_run_for_user, registry),
        Placement(workloads, engine, compose),
        KeylessVerifier(),
        partial(_tried_out, settings),
        clock,
    )


def judge(
    settings: Settings,
    workload: Workload,
    reference: Reference,
    trust: Trust,
    platform: Platform | None = None,
) -> tuple[Image, tuple[Verdict, ...]]:
    """What `verify` tells: the image, and what each policy of the workload says of it.

    `platform` is by default the engine's; when it is given no engine is asked.
    """
    clock = SystemClock()
    registry, credentials = _registry(settings, clock)
    snapshot = Snapshot(settings.state)
    platform = platform or Engine(Connection(os.environ), clock, credentials).platform()
    try:
        image = registry.image(reference, platform)
        wanted = workload.candidate(
            image,
            Action.DEPLOY,
            Origin(trust, "verify"),
            snapshot.state(workload.name),
            clock.now(),
        )
        admission = Admission(registry, CheckRunner(_run_check), KeylessVerifier(), snapshot, clock)
        return image, tuple(admission.judge(workload, wanted, platform))
    finally:
        registry.close()


def _tried_out(settings: Settings) -> StateDirectory:
    """The state directory, with the key in it that would sign receipts."""
    check_keys(settings.state, settings.receipts)
    return try_out(settings.state)


def _recorder(
    recording: Recording | None,
) -> Callable[[Source, Delivery, datetime], None] | None:
    """Recording is for debugging: a directory that refuses must not refuse deliveries."""
    if recording is None:
        return None
    recorder = Recorder(recording.directory, recording.keep)

    def record(source: Source, delivery: Delivery, now: datetime) -> None:
        try:
            recorder.record(source, delivery, now)
        except OSError as error:
            _log.warning("not recorded", extra={"source": source.name, "detail": str(error)})

    return record


def _registry(
    settings: Settings, clock: Clock
) -> tuple[RegistryClient, Callable[[str], Credential | None]]:
    """The registry client, and whose credentials the engine pulls with: the same."""
    known = {
        access.host: RegistrySettings(
            access.host,
            access.insecure,
            access.username,
            access.password,
            access.token_realm_host,
        )
        for access in settings.registries.values()
    }
    home = Path(os.environ.get("HOME") or "/root")
    directory = Path(os.environ.get("DOCKER_CONFIG") or home / ".docker")
    docker = DockerCredentials(directory / "config.json", _run_helper)
    client = RegistryClient(known, docker, now=clock.monotonic, sleep=clock.sleep)

    def credential(host: str) -> Credential | None:
        own = known.get(host)
        return (own.credential if own else None) or docker(host)

    return client, credential


def _run_helper(argv: Sequence[str], stdin: bytes, seconds: float) -> tuple[int, bytes]:
    """A credential helper, as `DockerCredentials` wants it."""
    try:
        finished = run(argv, timeout=seconds, stdin=stdin)
    except CommandNotFoundError as error:
        raise FileNotFoundError(str(error)) from error
    except CommandTimeoutError as error:
        raise TimeoutError(str(error)) from error
    return finished.status, finished.output


def _run_for_user(argv: Sequence[str], seconds: float, extra: Mapping[str, str]) -> Finished:
    """A hook or tracker of the user, in our environment and the given variables."""
    return run(argv, timeout=seconds, env={**os.environ, **extra})


def _run_check(
    argv: Sequence[str], seconds: float, extra: Mapping[str, str], stdin: bytes
) -> Finished:
    """The same for a check of an image, which reads the image's manifest."""
    return run(argv, timeout=seconds, env={**os.environ, **extra}, stdin=stdin)


def _pruner(journal: Journal, clock: Clock) -> Callable[[], float]:
    def step() -> float:
        journal.prune(clock.now())
        return _PRUNE_EVERY

    return step


def _metrics(journal: Journal, loops: Sequence[Loop]) -> list[Metric]:
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


def _checks(journal: Journal, engine: Engine, loops: Sequence[Loop]) -> dict[str, Check]:
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

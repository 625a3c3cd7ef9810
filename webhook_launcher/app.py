"""The composition root: from settings to a wired service. Holds no logic."""

import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from flask import Flask

from webhook_launcher.adapters.checks import CheckRunner
from webhook_launcher.adapters.command import run
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.hooks import HookRunner
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.adapters.recorder import Recorder
from webhook_launcher.adapters.registry import (
    RegistryClient,
)
from webhook_launcher.adapters.tracker import Tracker
from webhook_launcher.admission import Admission
from webhook_launcher.config import Recording, Settings
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import CommandError
from webhook_launcher.core.retention import Retention
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.gate import Gate
from webhook_launcher.launcher import Launcher
from webhook_launcher.loop import Loop
from webhook_launcher.outside import SystemClock, registry_of, run_check, run_for_user
from webhook_launcher.placement import Placement
from webhook_launcher.poller import Poller
from webhook_launcher.prerequisites import Prerequisites
from webhook_launcher.published_keys import with_key_lookups
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout
from webhook_launcher.sources import KINDS, may_send, receive
from webhook_launcher.vitals import checks, metrics
from webhook_launcher.web import create_app
from webhook_launcher.web.api import Console
from webhook_launcher.web.health import Health
from webhook_launcher.web.reception import Intake
from webhook_launcher.web.refusals import Refusals
from webhook_launcher.worker import Worker

_log = logging.getLogger(__name__)
# As many registries may hang at the same time without holding up the looks at all others.
_POLLERS = 4
_PRUNE_EVERY = 60.0


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
    refusals: Refusals

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


def _no_reload() -> Mapping[str, Any]:
    raise CommandError("this launcher cannot reload", advice="Restart it.")


def build(
    settings: Settings,
    clock: Clock | None = None,
    before: Service | None = None,
    reload: Callable[[], Mapping[str, Any]] = _no_reload,
) -> Service:
    """Wire the service; starts nothing, touches neither engine nor network.

    Opens the journal of the state directory, or works on that of the service `before`, and goes on
    with what it counted. `reload` puts the configuration file in force, for the API.
    """
    clock = clock or SystemClock()
    lanes = {name: workload.project.name for name, workload in settings.workloads.items()}
    pending = settings.limits.pending
    journal = (
        before.journal.reconfigured(lanes, pending)
        if before
        else Journal(settings.state, lanes, limit=pending, key=settings.receipts)
    )
    refusals = before.refusals if before else Refusals()
    registry, credentials = registry_of(settings, clock)
    tracker = Tracker(run_for_user, registry)
    connection = Connection(os.environ)
    engine = Engine(connection, clock, credentials)
    compose = Compose(run, settings.state, os.environ)
    rollout = Rollout(
        engine,
        compose,
        Gate(engine, clock),
        HookRunner(run_for_user),
        clock,
    )
    launcher = Launcher(
        Resolver(registry, tracker, clock),
        Admission(registry, CheckRunner(run_check), KeylessVerifier(), journal.evidence, clock),
        rollout,
        journal.deployments,
        journal.workloads,
        journal.intents,
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
        rollout.presence,
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
        Loop("pruner", _pruner(journal, settings.retention, clock)),
        Loop("placement", placement.step),
        Loop("prerequisites", prerequisites.step),
    ]
    health = Health(
        {
            **checks(journal, engine, (*workers, *pollers)),
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
            refusals,
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
            reload,
        ),
        health,
        partial(metrics, journal, (*workers, *pollers), settings, refusals),
        partial(may_send, settings.sources),
    )
    return Service(settings, app, journal, registry, connection, worker, pollers, workers, refusals)


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


def _pruner(journal: Journal, retention: Retention, clock: Clock) -> Callable[[], float]:
    def step() -> float:
        journal.prune(clock.now(), retention)
        return _PRUNE_EVERY

    return step

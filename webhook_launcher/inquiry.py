"""Wired for the commands that ask (`doctor`, `verify`): nothing is changed, no journal is opened.

They may run beside a launcher.
"""

import os
from functools import partial

from webhook_launcher.adapters.checks import CheckRunner
from webhook_launcher.adapters.command import run
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.adapters.engine import Connection, Engine
from webhook_launcher.adapters.journal import check_directory, check_keys
from webhook_launcher.adapters.journal.snapshot import Snapshot
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.adapters.state_directory import StateDirectory, try_out
from webhook_launcher.adapters.tracker import Tracker
from webhook_launcher.admission import Admission
from webhook_launcher.checkup import Checkup
from webhook_launcher.config import Settings
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.model import Action, Image, Origin, Platform, Trust, Verdict
from webhook_launcher.core.policy import FromRepository
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.workload import Workload
from webhook_launcher.outside import SystemClock, registry_of, run_check, run_for_user
from webhook_launcher.placement import Placement


def examine(settings: Settings, clock: Clock | None = None) -> Checkup:
    """What `doctor` asks."""
    clock = clock or SystemClock()
    registry, credentials = registry_of(settings, clock)
    engine = Engine(Connection(os.environ), clock, credentials)
    compose = Compose(run, settings.state, os.environ)
    workloads = settings.workloads.values()
    return Checkup(
        workloads,
        engine,
        compose,
        registry,
        Tracker(run_for_user, registry),
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

    `platform` is by default the engine's; when it is given no engine is asked. Raises
    PolicyRefusedError, before anybody is asked, for an image of another repository.
    """
    if reference.repository not in workload.repositories:
        only = " and ".join(map(str, workload.repositories))
        raise PolicyRefusedError(
            FromRepository.name,
            f"{reference.repository} is not the repository of workload {workload.name!r}",
            advice=f"Only {only} may run there (`image:` of the workload).",
        )
    clock = SystemClock()
    registry, credentials = registry_of(settings, clock)
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
        admission = Admission(registry, CheckRunner(run_check), KeylessVerifier(), snapshot, clock)
        return image, tuple(admission.judge(workload, wanted, platform))
    finally:
        registry.close()


def _tried_out(settings: Settings) -> StateDirectory:
    """The state directory, if a start would take it and the key in it that would sign receipts."""
    check_directory(settings.state)
    check_keys(settings.state, settings.receipts)
    return try_out(settings.state)

"""A whole launcher around a real journal and the fakes: what the stories of tests are told with."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from tests.fakes import (
    FakeChecks,
    FakeHooks,
    FakeHost,
    FakeRegistry,
    FakeTracker,
    Fuse,
    ManualClock,
    Watched,
    digest,
)
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.deployments import Deployments
from webhook_launcher.adapters.journal.evidence import KeptEvidence
from webhook_launcher.adapters.journal.intents import Intents
from webhook_launcher.adapters.journal.workloads import Workloads
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.admission import Admission
from webhook_launcher.core.dsse import claimed
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Intent,
    Origin,
    Trust,
    Wish,
    WorkloadState,
)
from webhook_launcher.core.receipts import verify
from webhook_launcher.core.reference import Digest, Reference, parse_repository
from webhook_launcher.core.workload import ComposeProject, Track, TrackKind, Workload
from webhook_launcher.launcher import Launcher
from webhook_launcher.poller import Poller
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout
from webhook_launcher.worker import Worker

WEB = Workload(
    "web",
    parse_repository("registry.test/acme/web"),
    Track(TrackKind.TAG, "stable"),
    ComposeProject("web", Path("/srv/web")),
)
A, B, C, D, E = (digest(name) for name in "ABCDE")
SIGNED = Origin(Trust.SIGNED, "ci", "delivery", "key")
TOKEN = Origin(Trust.TOKEN, "hub", "delivery")
OPERATOR = Origin(Trust.OPERATOR, "operator")
POLL = Origin(Trust.POLL, "poll")


class World:
    """One machine with a launcher that can be killed and started again."""

    def __init__(self, state: Path, *workloads: Workload) -> None:
        self.path = state
        self.workloads = {workload.name: workload for workload in workloads or (WEB,)}
        self.clock = ManualClock()
        self.fuse = Fuse()
        self.registry = FakeRegistry(self.clock, self.fuse)
        self.tracker = FakeTracker()
        self.host = FakeHost(self.clock, self.fuse)
        self.host.may_start = self._is_admitted
        self.hooks = FakeHooks(self.fuse)
        self.checks = FakeChecks()
        self.start()

    def start(self) -> None:
        """Open the journal and wire a launcher, as `app` does."""
        lanes = {name: workload.project.name for name, workload in self.workloads.items()}
        self.journal = Journal(self.path, lanes)
        intents = cast("Intents", Watched(self.journal.intents, self.fuse))
        states = cast("Workloads", Watched(self.journal.workloads, self.fuse))
        rollout = Rollout(self.host, self.host, self.host, self.hooks, self.clock)
        self.admission = Admission(
            self.registry,
            self.checks,
            KeylessVerifier(),
            cast("KeptEvidence", Watched(self.journal.evidence, self.fuse)),
            self.clock,
        )
        launcher = Launcher(
            Resolver(self.registry, self.tracker, self.clock),
            self.admission,
            rollout,
            cast("Deployments", Watched(self.journal.deployments, self.fuse)),
            states,
            intents,
            self.clock,
            self.journal.new_id,
        )
        self.worker = Worker(intents, launcher, self.workloads, self.clock)
        self.woken = 0
        self.random = 0.5
        self.poller = Poller(
            self.workloads.values(),
            self.registry,
            self.tracker,
            rollout.presence,
            states,
            intents,
            self.clock,
            self._wake,
            lambda: self.random,
        )
        self.journal.intents.release_claims()
        self.journal.intents.settle_unknown()
        self.journal.intents.reconsider()

    def restart(self) -> None:
        """End the launcher and start another on the same journal and host."""
        self.fuse.disarm()
        self.journal.close()
        self.start()

    def close(self) -> None:
        """End the launcher; whatever the story was, its receipts are whole."""
        try:
            self._expect_receipts()
        finally:
            self.journal.close()

    # What people and senders do

    def tag(self, moved_to: Digest, workload: str = "web") -> None:
        """Move the tracked tag and tell nobody."""
        reference = self.workloads[workload].tracked
        assert reference is not None
        self.registry.push(reference, moved_to)

    def push(
        self, pushed: Digest, workload: str = "web", origin: Origin = SIGNED, *, exact: bool = True
    ) -> Intent:
        """Move the tracked tag and send the event, which (signed) names the digest."""
        self.tag(pushed, workload)
        return self.hear(
            pushed if exact and origin.trust is Trust.SIGNED else None, workload, origin
        )

    def hear(self, named: Digest | None, workload: str = "web", origin: Origin = SIGNED) -> Intent:
        """An event about the tracked tag."""
        reference = self.workloads[workload].tracked
        assert reference is not None
        said = replace(reference, digest=named)
        return self.ask(Action.CHECK, said, workload, origin, hint=True)

    def deploy(self, wanted: Digest, workload: str = "web", origin: Origin = SIGNED) -> Intent:
        """A signed deploy event, or an operator, names an exact digest, which the registry has."""
        repository = self.workloads[workload].repository
        self.registry.tags.setdefault(f"{repository}:{wanted.short}", wanted)
        return self.ask(Action.DEPLOY, Reference(repository, None, wanted), workload, origin)

    def ask(
        self,
        action: Action,
        reference: Reference | None = None,
        workload: str = "web",
        origin: Origin = OPERATOR,
        *,
        hint: bool = False,
    ) -> Intent:
        """Any wish."""
        wish = Wish(workload, action, origin, reference, hint)
        [intent] = self.journal.intents.enqueue([wish], self.clock.now())
        return intent

    # What the loops do

    def poll(self) -> None:
        """One look of the poller at everything, whenever it was due."""
        for lane in self.poller._lanes:
            lane._due = [(0.0, number) for _, number in lane._due]
        self.poller._free = [(0.0, number) for _, number in self.poller._free]
        self.look()

    def look(self) -> float:
        """The poller looks at all that is due now; the seconds until more is."""
        while (wait := self.poller.step()) == 0:
            continue
        return wait

    def step(self) -> float:
        """One step of the worker."""
        return self.worker.step()

    def work(self, seconds: float = 10_000.0) -> None:
        """Let the worker go on until nothing waits any more; time passes while it waits."""
        until = self.clock.passed + seconds
        while self.journal.intents.pending() and self.clock.passed < until:
            self.clock.sleep(self.worker.step())
        self._expect_no_fault()

    def work_now(self) -> None:
        """Let the worker do what can be done now; no time passes between."""
        while self.worker.step() == 0.0:
            continue
        self._expect_no_fault()

    # What can be asked

    def intent(self, intent: Intent) -> Intent:
        """An intent as it is now."""
        found = self.journal.intents.get(intent.id)
        assert found is not None
        return found

    def state(self, workload: str = "web") -> WorkloadState:
        """What is known of a workload."""
        return self.journal.workloads.state(workload)

    def current(self, workload: str = "web") -> Digest | None:
        """The current release's digest."""
        state = self.state(workload)
        return state.current.digest if state.current else None

    def previous(self, workload: str = "web") -> Digest | None:
        """The previous release's digest."""
        state = self.state(workload)
        return state.previous.digest if state.previous else None

    def history(self, workload: str | None = None) -> list[Deployment]:
        """Attempts, oldest first."""
        return self.journal.deployments.history(workload, limit=500)[::-1]

    def waiting(self, workload: str = "web") -> Sequence[tuple[Action, Trust]]:
        """Open intents."""
        found = self.journal.intents.waiting(workload)
        return [(intent.wish.action, intent.wish.origin.trust) for intent in found]

    def _expect_no_fault(self) -> None:
        """The worker survives faults of the launcher; a test must not."""
        with self.journal._database.reading() as connection:
            rows = connection.execute("SELECT detail FROM intents WHERE code = 'fault'").fetchall()
        assert [row["detail"] for row in rows] == []

    def _expect_receipts(self) -> None:
        """One for every attempt that has ended, in one chain, and none of anything else."""
        kept = self.journal.receipts.after(0, 10_000)
        verify(kept, [self.journal.receipts.key])
        receipts = [json.loads(claimed(one))["predicate"] for one in kept]
        ended = {one.id: one.status.value for one in self.history() if one.status.final}
        assert {one["deployment"]: one["status"] for one in receipts} == ended
        assert len(receipts) == len(ended)

    def _is_admitted(self, wanted: Digest) -> bool:
        """Nothing that is in quarantine at that moment may be started."""
        return not any(wanted in self.state(name).quarantined for name in self.workloads)

    def _wake(self) -> None:
        self.woken += 1

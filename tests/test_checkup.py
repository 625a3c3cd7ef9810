"""What `doctor` finds, and what it advises."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.clock import FakeClock
from tests.world import WEB
from webhook_launcher.checkup import Checkup, Finding, Outcome
from webhook_launcher.core.errors import (
    ComposeError,
    ConfigurationError,
    EngineError,
    EngineUnavailableError,
    JournalError,
    LauncherError,
    ManifestNotFoundError,
    Problem,
    RegistryDeniedError,
    RegistryUnavailableError,
)
from webhook_launcher.core.keyless import KeylessIdentity, TrustDates
from webhook_launcher.core.policies import AttestedBy
from webhook_launcher.core.reference import Reference, Repository, parse_repository
from webhook_launcher.core.workload import ComposeProject, Workload

GIB = 1024**3
START = FakeClock().now()
SHOP = replace(
    WEB, name="shop", project=ComposeProject("shop", Path("/srv/shop")),
    repository=parse_repository("registry.test/acme/shop"),
)  # fmt: skip


@dataclass
class Disk:
    """A state directory as it should be."""

    owner: int = 1000
    ours: bool = True
    free: int = 10 * GIB
    sync_seconds: float = 0.002
    remote: str | None = None


@dataclass
class Surroundings:
    """Everything that is asked; a test edits what it answers."""

    clock: FakeClock
    engine: EngineError | None = None
    engine_ahead: float = 0.0
    deaf: Sequence[str] = ()
    compose: ComposeError | None = None
    project: ComposeError | None = None
    registries: dict[str, LauncherError] = field(default_factory=dict)
    registry_ahead: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    misplaced: Sequence[str] = ()
    trust: TrustDates | ConfigurationError = field(
        default_factory=lambda: TrustDates(START - timedelta(days=100), ())
    )
    state: Disk | JournalError = field(default_factory=Disk)
    follows: bool = True

    def versions(self) -> dict[str, str]:
        """As the engine adapter."""
        if self.engine:
            raise self.engine
        return {"engine": "26.1.5", "api": "1.45", "store": "overlayfs", "os": "Debian"}

    def now(self) -> datetime | None:
        """The engine's clock."""
        return self.clock.now() + timedelta(seconds=self.engine_ahead)

    def deaf_containers(self, project: str, services: Sequence[str]) -> Sequence[str]:
        """As the engine adapter."""
        if self.engine:
            raise self.engine
        return self.deaf

    def version(self) -> str:
        """As the compose adapter."""
        if self.compose:
            raise self.compose
        return "2.26.1"

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """As the compose adapter."""
        if self.project:
            raise self.project
        return ("app",)

    def reference(self, workload: Workload) -> Reference | None:
        """As the tracker."""
        return workload.tracked if self.follows else None

    def head(self, reference: Reference) -> object:
        """As the registry adapter; errors are by host or repository."""
        self.asked.append(str(reference))
        host = reference.repository.registry
        for known, error in self.registries.items():
            if known in (host, reference.repository.path):
                raise error
        return None

    def date(self, reference: Reference) -> datetime | None:
        """The registry's clock."""
        ahead = self.registry_ahead.get(reference.repository.registry, 0.0)
        return self.clock.now() + timedelta(seconds=ahead)

    def look(self) -> Sequence[str]:
        """As `Placement`."""
        if self.engine:
            raise self.engine
        return self.misplaced

    def trust_dates(self, trusted_root: bytes | None, now: datetime) -> TrustDates:
        """As the verifier of keyless signatures."""
        if isinstance(self.trust, ConfigurationError):
            raise self.trust
        return self.trust

    def try_out(self) -> Disk:
        """As the adapter of the state directory."""
        if isinstance(self.state, JournalError):
            raise self.state
        return self.state


@pytest.fixture
def around() -> Surroundings:
    """Nothing is wrong."""
    return Surroundings(FakeClock())


def findings(around: Surroundings, *workloads: Workload) -> list[Finding]:
    """All of a checkup."""
    checkup = Checkup(
        workloads or (WEB,),
        around,
        around,
        around,
        around,
        around,
        around,
        around.try_out,
        around.clock,
    )
    return list(checkup.findings())


def only(found: Sequence[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (finding,) = [one for one in found if one.check == check]
    return finding


def bad(found: Sequence[Finding]) -> list[str]:
    """The checks that failed."""
    return [one.check for one in found if one.outcome is Outcome.FAILED]


def test_everything_that_the_contract_names_is_looked_at(around: Surroundings) -> None:
    """Engine, compose, registries, bind mounts, clock, state directory, and each project."""
    found = findings(around)
    assert [one.check for one in found] == [
        *("engine", "compose", "workload web", "mounts", "registry registry.test"),
        *("clock", "state"),
    ]
    assert {one.outcome for one in found} == {Outcome.GOOD}
    assert "26.1.5" in only(found, "engine").detail
    assert "2.26.1" in only(found, "compose").detail


def test_an_engine_that_is_down_is_one_finding_with_its_fix(around: Surroundings) -> None:
    """Saying it three times would hide what else is wrong."""
    around.engine = EngineUnavailableError("no socket")
    found = findings(around)
    assert bad(found) == ["engine"]
    assert "Check that the Docker Engine runs" in str(only(found, "engine").advice)
    assert only(found, "registry registry.test").outcome is Outcome.GOOD


def test_a_project_that_compose_cannot_read_is_named_by_its_workload(around: Surroundings) -> None:
    """The first push would have found it otherwise."""
    around.project = ComposeError("no service uses it", advice="Set `image:`.")
    finding = only(findings(around), "workload web")
    assert (finding.outcome, finding.detail) == (Outcome.FAILED, "no service uses it")
    assert finding.advice == "Set `image:`."


def test_a_container_that_ignores_its_stop_signal_gets_advice(around: Surroundings) -> None:
    """It works, but every replacement takes 10 s more: a warning, not a failure."""
    around.deaf = ["web-app-1"]
    finding = only(findings(around), "workload web")
    assert finding.outcome is Outcome.WARNING
    assert "web-app-1" in finding.detail
    assert "init: true" in str(finding.advice)


def test_a_missing_tag_does_not_hide_the_workloads_that_are_well(around: Surroundings) -> None:
    """One spelling mistake among many."""
    around.registries = {"acme/web": ManifestNotFoundError("no such tag")}
    found = [one for one in findings(around, WEB, SHOP) if one.check == "registry registry.test"]
    assert [one.outcome for one in found] == [Outcome.FAILED, Outcome.GOOD]
    assert found[0].detail == "web: no such tag"
    assert "spelled right" in str(found[0].advice)
    assert found[1].detail == "answers for shop"


def test_a_registry_that_is_down_is_asked_once(around: Surroundings) -> None:
    """A black hole takes 10 s a question, and a thousand workloads may be in it."""
    around.registries = {"registry.test": RegistryUnavailableError("cannot be reached")}
    found = findings(around, WEB, SHOP)
    assert len(around.asked) == 1
    assert bad(found) == ["registry registry.test"]
    assert "reach it" in str(only(found, "registry registry.test").advice)


def test_advice_that_an_error_brings_is_kept(around: Surroundings) -> None:
    """A certificate needs another fix than a firewall."""
    around.registries = {"registry.test": RegistryUnavailableError("x", advice="Install the CA.")}
    assert only(findings(around), "registry registry.test").advice == "Install the CA."
    around.registries = {"registry.test": RegistryDeniedError("401")}
    assert "docker login" in str(only(findings(around), "registry registry.test").advice)


def test_a_workload_that_follows_nothing_is_not_asked_about(around: Surroundings) -> None:
    """Only a deploy event says which reference it will be."""
    around.follows = False
    assert around.asked == []
    assert not [one for one in findings(around) if one.check.startswith("registry")]


def test_a_directory_that_is_elsewhere_for_the_engine_fails(around: Surroundings) -> None:
    """The service would start with an empty directory in place of its own."""
    around.misplaced = ["workload 'web': /srv/web is elsewhere; start the launcher with -v …"]
    finding = only(findings(around), "mounts")
    assert finding.outcome is Outcome.FAILED
    assert "-v" in finding.detail


@pytest.mark.parametrize(
    ("ahead", "outcome"),
    [(2.0, Outcome.GOOD), (-45.0, Outcome.WARNING), (400.0, Outcome.FAILED)],
)
def test_a_clock_that_differs_from_the_registries_is_told(
    around: Surroundings, ahead: float, outcome: Outcome
) -> None:
    """Beyond the tolerance every signed event is refused, and nothing says why but this."""
    around.registry_ahead = {"registry.test": ahead}
    assert only(findings(around), "clock").outcome is outcome


def test_one_registry_with_a_wrong_clock_is_not_believed(around: Surroundings) -> None:
    """Where another agrees with us, it is not our clock."""
    other = replace(SHOP, repository=parse_repository("other.test/acme/shop"))
    around.registry_ahead = {"registry.test": -4000.0}
    assert only(findings(around, WEB, other), "clock").outcome is Outcome.GOOD


def test_a_clock_that_differs_from_the_engines_is_told(around: Surroundings) -> None:
    """Which restarts a deployment caused is judged by comparing the two."""
    around.engine_ahead = -30.0
    finding = only(findings(around), "clock")
    assert finding.outcome is Outcome.WARNING
    assert "30 s ahead of the engine's" in finding.detail


@pytest.mark.parametrize(
    ("state", "outcome", "words"),
    [
        (JournalError("read-only", advice="Remount it."), Outcome.FAILED, "Remount"),
        (Disk(free=10 * 1024**2), Outcome.FAILED, "Free space"),
        (Disk(free=200 * 1024**2), Outcome.WARNING, "Free space"),
        (Disk(ours=False, owner=0), Outcome.WARNING, "the user who runs"),
        (Disk(remote="nfs4"), Outcome.WARNING, "local disk"),
        (Disk(sync_seconds=0.4), Outcome.WARNING, "faster disk"),
    ],
)
def test_a_state_directory_that_will_not_do(
    around: Surroundings, state: Disk | JournalError, outcome: Outcome, words: str
) -> None:
    """Every delivery waits for a synced write there; without one nothing is accepted."""
    around.state = state
    finding = only(findings(around), "state")
    assert finding.outcome is outcome
    assert words in str(finding.advice)


def attested(root: bytes | None = None, name: str = "web") -> Workload:
    """A workload that asks for attestations."""
    identity = KeylessIdentity("i", "r", "w", ("refs/tags/*",), trusted_root=root)
    return replace(WEB, name=name, policies=(AttestedBy(identity),))


def test_the_date_of_keys_that_age_is_told(around: Surroundings) -> None:
    """Whoever asks for attestations must know how old the keys are that decide about them."""
    found = findings(around, attested(), attested(name="api"), attested(b"{}", "own"))
    good = [finding for finding in found if finding.check.startswith("attested_by")]
    assert [(one.check, one.detail, one.outcome) for one in good] == [
        (
            "attested_by web, api",
            "sigstore-python's own trusted root, its newest key of 2025-09-23",
            Outcome.GOOD,
        ),
        (
            "attested_by own",
            "the given trusted root, its newest key of 2025-09-23",
            Outcome.GOOD,
        ),
    ]
    assert not [one for one in findings(around) if one.check.startswith("attested_by")]


@pytest.mark.parametrize(
    ("trust", "outcome", "words"),
    [
        (TrustDates(START - timedelta(days=600), ()), Outcome.WARNING, "what newer keys signed"),
        (TrustDates(START, ("transparency log",)), Outcome.FAILED, "every transparency log in it"),
        (ConfigurationError([Problem("x", "not installed")]), Outcome.FAILED, "not installed"),
    ],
)
def test_keys_that_are_too_old(
    around: Surroundings, trust: TrustDates | ConfigurationError, outcome: Outcome, words: str
) -> None:
    """Before the first image that was signed with newer ones is refused."""
    around.trust = trust
    for root in (None, b"{}"):
        finding = only(findings(around, attested(root)), "attested_by web")
        assert finding.outcome is outcome
        assert words in finding.detail
        assert finding.advice

"""A whole launcher under `attested_by`: bundles are looked for, kept, verified at each return."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.fakes import digest
from tests.keyless import GITHUB, REF, REPOSITORY, WORKFLOW, Sigstore, statement
from tests.world import WEB, A, B, World
from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.errors import RegistryUnavailableError
from webhook_launcher.core.keyless import KeylessIdentity
from webhook_launcher.core.model import Action, Image, Status
from webhook_launcher.core.policies import AttestedBy

OURS = Sigstore()
IDENTITY = KeylessIdentity(GITHUB, REPOSITORY, WORKFLOW, (REF,), trusted_root=OURS.trusted_root())


@pytest.fixture
def attested(world: World) -> World:
    """A and B are attested by our workflow, and that is asked for."""
    for name in (A, B):
        world.registry.attached[name] = (OURS.attest(statement(name)),)
    under(world, IDENTITY)
    return world


def under(world: World, identity: KeylessIdentity) -> None:
    """The same launcher, restarted with this policy."""
    world.workloads["web"] = replace(WEB, policies=(AttestedBy(identity),))
    world.restart()


def test_what_our_workflow_attested_runs_and_the_history_says_who(attested: World) -> None:
    """From push to running, with the verdict beside the deployment."""
    attested.push(A)
    attested.work()
    assert attested.host.runs() == A
    (deployment,) = attested.history()
    assert deployment.verdicts[-1].said.startswith(f"slsa-provenance by {WORKFLOW}@{REF}, commit")


def test_an_attestation_that_follows_the_push_is_waited_for(attested: World) -> None:
    """The image is there first: the workflow attests what it has pushed."""
    late = digest("late")
    intent = attested.push(late)
    attested.work_now()
    assert attested.intent(intent).code == "not-signed-yet"
    attested.registry.attached[late] = (OURS.attest(statement(late)),)
    attested.work()
    assert attested.host.runs() == late


def test_what_nobody_attests_is_given_up(attested: World) -> None:
    """After some minutes; what runs, stays."""
    attested.push(A)
    attested.work()
    stranger = digest("stranger")
    attested.registry.attached[stranger] = (Sigstore().attest(statement(stranger)),)
    intent = attested.push(stranger)
    attested.work()
    assert attested.intent(intent).status is Status.ERROR
    assert "certificate chain" in (attested.state().check_result or "")
    assert (attested.host.runs(), attested.host.pulled) == (A, {A})


def test_a_registry_in_trouble_is_no_answer(
    attested: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither attested nor unattested: asked again as long as an outage may last."""

    def silent(_: Image) -> tuple[Attachment, ...]:
        raise RegistryUnavailableError("down")

    intent = attested.push(A)
    monkeypatch.setattr(attested.registry, "attachments", silent)
    attested.work_now()
    assert attested.intent(intent).code == "registry-unavailable"
    monkeypatch.undo()
    attested.work()
    assert attested.host.runs() == A


def deploy_both(world: World) -> None:
    """A, then B; nothing was looked at since."""
    for name in (A, B):
        world.push(name)
        world.work()
    world.registry.looked.clear()


def test_a_return_is_verified_again_without_a_registry(attested: World) -> None:
    """The bundles were kept: a night without a registry has a way back."""
    deploy_both(attested)
    attested.restart()
    attested.ask(Action.ROLLBACK)
    attested.work()
    assert attested.host.runs() == A
    assert attested.registry.looked == []
    assert attested.history()[0].verdicts[-1].said.startswith("slsa-provenance by")


@pytest.mark.parametrize(
    "today",
    [
        replace(IDENTITY, refs=("refs/tags/*",)),
        replace(IDENTITY, repository_id="1"),
        replace(IDENTITY, trusted_root=Sigstore().trusted_root()),
    ],
)
def test_a_return_is_judged_by_todays_identity(attested: World, today: KeylessIdentity) -> None:
    """Whom we stopped to trust does not come back by way of a rollback."""
    deploy_both(attested)
    under(attested, today)
    attested.ask(Action.ROLLBACK)
    attested.work()
    assert attested.host.runs() == B


def test_a_trusted_root_that_is_none_stops_deployments_and_says_so(attested: World) -> None:
    """Fails closed, and not as if every image were unattested."""
    under(attested, replace(IDENTITY, trusted_root=b"{}"))
    intent = attested.push(A)
    attested.work()
    assert attested.intent(intent).code == "configuration"
    assert "trusted_root" in (attested.state().check_result or "")
    assert attested.host.runs() is None


_HIDDEN = """
import sys
sys.modules["sigstore"] = None
from webhook_launcher.adapters.keyless import KeylessVerifier
from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.errors import ConfigurationError
from webhook_launcher.core.keyless import KeylessIdentity
import webhook_launcher.app
try:
    KeylessVerifier().verify(KeylessIdentity("i", "r", "w", ("refs/tags/*",)), [])
except ConfigurationError as error:
    print(error)
"""
_UNASKED = """
import sys
import webhook_launcher.app
import webhook_launcher.cli
print([name for name in sys.modules if name.split(".")[0] in ("sigstore", "pydantic", "tuf")])
"""


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_without_the_extra_everything_else_works() -> None:
    """And what needs it refuses, if the extra is removed beneath a launcher that runs."""
    said = run(_HIDDEN)
    assert said.startswith("attested_by: needs sigstore-python")
    assert said.endswith("pip install 'webhook-launcher[keyless]'")


def test_nobody_pays_for_it_who_does_not_ask() -> None:
    """Half a second at every start, and 20 MiB: only where a policy wants it."""
    assert run(_UNASKED) == "[]"

"""Who may push, who stole a signing key, and what runs in the workload's container."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.test_tracker import TRACKER
from tests.core.policies.judged import candidate
from tests.core.policies.test_attested_by import FAILED, GOOD, POLICY
from tests.core.policies.test_attested_by import having as attested
from tests.core.policies.test_attested_by import vouched as of_image
from tests.core.policies.test_signed_by import having
from tests.fakes import PLATFORM
from tests.keyless import statement
from tests.signing import Signer
from tests.world import POLL, SIGNED, TOKEN, WEB, A, B, C, World
from webhook_launcher.core.errors import PolicyRefusedError, TrackError
from webhook_launcher.core.evidence import Evidence, Facts
from webhook_launcher.core.keyless import Vouched
from webhook_launcher.core.model import Action, Status
from webhook_launcher.core.policies import MaxSize, MinimumAge, NoDowngrade, SignedBy
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL
from webhook_launcher.core.policy import Policy
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.selection import is_image_tag
from webhook_launcher.core.workload import Track, TrackKind

SIGNER, STRANGER = Signer("release"), Signer("stranger")
DAYS = 24 * 3600.0


def under(world: World, *policies: Policy) -> None:
    """The same launcher, restarted with another `policy:` list."""
    world.workloads["web"] = replace(WEB, policies=policies)
    world.restart()


def version(world: World, text: str, *, pushed: object) -> None:
    """The image says that it is of this version."""
    world.registry.facts_of[pushed] = Facts(b"{}", {VERSION_LABEL: text}, 1, PLATFORM)  # type: ignore[index]


# ── who may push ─────────────────────────────────────────────────────────────────────────────


def test_nothing_stops_any_image_where_there_is_no_policy(world: World) -> None:
    """B1: who may push to the tracked tag decides what runs, and says itself that it is healthy."""
    world.push(A)
    world.work()
    world.tag(B)
    world.poll()
    world.work()
    assert world.host.runs() == B


@pytest.mark.parametrize("origin", [SIGNED, TOKEN, POLL])
def test_an_image_that_nobody_signed(world: World, origin: object) -> None:
    """B2: under `signed_by` pushing is not enough, whoever tells of it."""
    under(world, SignedBy((SIGNER.public(),)))
    world.registry.attached = {A: (SIGNER.bundle(A),), B: (STRANGER.bundle(B),)}
    world.push(A)
    world.work()
    world.push(B, origin=origin)  # type: ignore[arg-type]
    world.work()
    assert (world.host.runs(), world.host.started) == (A, [A])


def test_a_signature_that_was_moved(world: World) -> None:
    """B3: under another digest, or as an attestation, a good signature is none."""
    under(world, SignedBy((SIGNER.public(),)))
    about_a_thing = SIGNER.bundle(
        C, edit=lambda statement: statement.update(predicateType="https://slsa.dev/provenance/v1")
    )
    world.registry.attached = {B: (SIGNER.bundle(A),), C: (about_a_thing,)}
    for pushed in (B, C):
        world.push(pushed)
        world.work()
    assert world.host.runs() is None


def test_nothing_stops_a_bundle_that_was_copied_with_its_image() -> None:
    """B4: it names no repository: to another one of yours under the same key it may be taken."""
    found = having(SIGNER.bundle(candidate().image.digest))
    other = replace(found.image.reference.repository, path="acme/other")
    moved = replace(found, image=replace(found.image, reference=Reference(other, "stable")))
    assert "signed by release" in SignedBy((SIGNER.public(),)).verify(moved)


def test_nothing_stops_an_image_that_was_shown_early(world: World) -> None:
    """B5: age counts from the first sight: pushed for a moment, it ripens while nobody looks."""
    world.push(A)
    world.work()
    under(world, MinimumAge(timedelta(days=3)))
    world.push(B)
    world.work_now()
    world.push(A)  # put right at once, as it seems
    world.work_now()
    assert world.host.runs() == A
    world.clock.sleep(4 * DAYS)
    world.push(B)
    world.work_now()
    assert world.host.runs() == B


def test_nothing_stops_a_label_that_lies(world: World) -> None:
    """B6: the version is what the builder wrote: an old program can say that it is new."""
    under(world, NoDowngrade())
    version(world, "1.0.0", pushed=A)
    version(world, "1.0.1", pushed=B)  # in truth 0.1
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    assert world.host.runs() == B


def test_a_signature_pushed_as_an_image() -> None:
    """B7: the tags of signatures and referrers are followed by nobody, whatever is under them."""
    hexadecimal = A.removeprefix("sha256:")
    for name in ("", ".sig", ".att", ".sbom"):
        assert not is_image_tag(f"sha256-{hexadecimal}{name}")


def test_an_image_that_fills_the_disk() -> None:
    """B8: `max_size` refuses it before anything is pulled."""
    huge = Evidence(Facts(b"{}", {}, 10**12, PLATFORM))
    with pytest.raises(PolicyRefusedError):
        MaxSize(10**9).verify(candidate(huge))


@pytest.mark.parametrize("vouched", [(), (FAILED,), (of_image(statement(B)),)])
def test_an_image_of_another_workflow(vouched: tuple[Vouched, ...]) -> None:
    """B9: under `attested_by`: attested by nobody, by somebody else, or for another image."""
    with pytest.raises(PolicyRefusedError):
        POLICY.verify(attested(*vouched))


def test_nothing_stops_a_workflow_that_was_changed() -> None:
    """B10: who may push to a ref that is pinned may change what is built and attested there."""
    assert "slsa-provenance" in POLICY.verify(attested(GOOD))


# ── a stolen signing key ─────────────────────────────────────────────────────────────────────


def test_nothing_stops_a_stolen_key(world: World) -> None:
    """K1: until it is taken out of the configuration, what it signs is signed."""
    under(world, SignedBy((SIGNER.public(),)))
    world.registry.attached = {B: (SIGNER.bundle(B),)}
    world.push(B)
    world.work()
    assert world.host.runs() == B


def test_a_stolen_key_that_was_taken_out(world: World) -> None:
    """K2: then nothing that it signed runs any more, nor comes back by a rollback."""
    under(world, SignedBy((SIGNER.public(),)))
    world.registry.attached = {one: (SIGNER.bundle(one),) for one in (A, B, C)}
    for pushed in (A, B):
        world.push(pushed)
        world.work()
    under(world, SignedBy((STRANGER.public(),)))
    rollback = world.ask(Action.ROLLBACK)
    world.work()
    assert world.intent(rollback).status is Status.ERROR
    world.push(C)
    world.work()
    assert (world.host.runs(), world.host.started) == (B, [A, B])


# ── the workload's container ─────────────────────────────────────────────────────────────────


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The tracked file, which a container writes."""
    return tmp_path / "wanted"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_tracked_file_that_is_another(written: Path, tmp_path: Path, kind: str) -> None:
    """W1: links are not followed, pipes not waited for, and nothing of it is quoted."""
    secret = tmp_path / "secret"
    secret.write_text("canary-of-another-file")
    if kind == "link":
        written.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(written)
    else:
        written.mkdir()
    with pytest.raises(TrackError) as raised:
        TRACKER.reference(replace(WEB, track=Track(TrackKind.FILE, path=written)))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["evil.example/acme/web:1", "registry.test/acme/other:1", "-rf", "\x1b[2J", "1\n2"]
)
def test_a_tracked_file_that_names_what_it_may_not(written: Path, text: str) -> None:
    """W2: a tag or digest of the workload's own image, and nothing else."""
    written.write_text(text)
    with pytest.raises(TrackError) as raised:
        TRACKER.reference(replace(WEB, track=Track(TrackKind.FILE, path=written)))
    assert all(character.isprintable() for character in str(raised.value))


def test_nothing_stops_a_container_that_logs_secrets(world: World) -> None:
    """W3: the last lines of what failed are in the history, as it wrote them."""
    world.push(A)
    world.work()
    world.host.unhealthy.add(B)
    world.push(B)
    world.work()
    assert [one.output for one in world.history() if one.image.digest == B] == ["log"]

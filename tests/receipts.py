"""Chains of receipts for tests: of deployments that ended, signed by keys of the tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from tests.fakes import START, digest, image_of
from webhook_launcher.core.dsse import PrivateKey, generate_key
from webhook_launcher.core.model import Deployment, Origin, Status, Trust, Verdict
from webhook_launcher.core.receipts import Head, receipt
from webhook_launcher.core.reference import parse_reference

KEY, OTHER_KEY = generate_key(), generate_key()
STABLE = parse_reference("ghcr.io/acme/web:stable")
A, B = digest("A"), digest("B")
ENDED = Deployment(
    id="d1",
    workload="web",
    intent="i1",
    image=image_of(STABLE, A),
    origin=Origin(Trust.SIGNED, "ci", "delivery", "key-1", "octocat", "run 8812", START),
    status=Status.SUCCESS,
    started_at=START,
    finished_at=START + timedelta(seconds=2.5),
    verdicts=(Verdict("repository", holds=True, said="it is of ghcr.io/acme/web"),),
)


def ended(number: int) -> Deployment:
    """The attempt with this number."""
    return replace(ENDED, id=f"d{number}")


def chain(*deployments: Deployment, keys: Sequence[PrivateKey] = (KEY,)) -> list[bytes]:
    """Their receipts, in this order; the keys take turns."""
    envelopes: list[bytes] = []
    head = None
    for number, deployment in enumerate(deployments):
        envelopes.append(receipt(deployment, head, keys[number % len(keys)]))
        head = Head.of(number + 1, envelopes[-1])
    return envelopes


def chain_of(length: int) -> list[bytes]:
    """As many receipts."""
    return chain(*(ended(number) for number in range(1, length + 1)))

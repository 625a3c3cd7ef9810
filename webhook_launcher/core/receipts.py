"""Receipts: what was done, on what evidence; each signed, and bound to the one before by its hash.

A receipt is a DSSE envelope over an in-toto Statement v1 (github.com/in-toto/attestation): its
subject is the image, its predicate is PREDICATE_TYPE. The first has the sequence number 1 and no
`previous`; each other one has the SHA-256 of the bytes of the envelope before it. So nothing in
the middle can be changed, left out, moved or repeated; what is cut off at the end is missed only by
who has noted a `Head`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from webhook_launcher import __version__
from webhook_launcher.core import strict_json
from webhook_launcher.core.dsse import (
    EnvelopeError,
    PrivateKey,
    PublicKey,
    claimed,
    seal,
    unseal,
)
from webhook_launcher.core.errors import BrokenChainError
from webhook_launcher.core.model import Deployment, Image, Origin

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# Not an https URL: the project owns no host name that could not become somebody else's.
PREDICATE_TYPE = "urn:webhook-launcher:receipt:v1"
# Bytes of one envelope. With texts cut at MAX_TEXT none comes near it.
MAX_ENVELOPE = 1024**2
MAX_TEXT = 4000
_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")

# A restored journal continues from an earlier receipt and uses the same numbers again.
_FORKED = (
    "If the journal was put back from a copy since that head was noted (`journal restore`, a "
    "backup), its chain goes on from an earlier receipt, and the head is of the journal that was "
    "set aside: `receipts verify FILE --head …` with that file. If it was not, receipts were cut "
    "off or written anew: compare with an export."
)


@dataclass(frozen=True, slots=True)
class Head:
    """A receipt as the chain's end: its number, and the SHA-256 of its envelope in hex."""

    sequence: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.sha256}"

    @classmethod
    def of(cls, sequence: int, envelope: bytes) -> Self:
        """The head of a chain that ends with this envelope."""
        return cls(sequence, sha256(envelope).hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`. Raises ValueError."""
        found = _HEAD.fullmatch(text)
        if not found:
            raise ValueError("must be a number, a colon and 64 hex digits, as `status` shows it")
        return cls(int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class Chain:
    """A whole chain: its end (None when it is empty) and the ids of the keys that signed it."""

    head: Head | None
    keys: tuple[str, ...]


def receipt(deployment: Deployment, head: Head | None, key: PrivateKey) -> bytes:
    """The envelope of a deployment that has ended, as the next after `head`."""
    statement = _statement(deployment, head)
    text = json.dumps(statement, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, such as a file name that is not UTF-8 leads to, is no JSON text.
    return seal(PAYLOAD_TYPE, text.encode("utf-8", "replace"), key)


def verify(
    envelopes: Iterable[bytes], keys: Iterable[PublicKey], heads: Iterable[Head] = ()
) -> Chain:
    """Follow a chain from its first receipt to its end.

    Each receipt: 1. is an envelope signed by one of `keys`; 2. is a statement of ours; 3. has the
    next number; 4. names the hash of the one before. Then 5. the chain holds every one of `heads`.
    Raises BrokenChainError at the first that does not hold.
    """
    known = {key.id: key for key in keys}
    noted = {head.sequence: head for head in heads}
    head: Head | None = None
    used: dict[str, None] = {}
    for sequence, envelope in enumerate(envelopes, start=1):
        used[_follow(envelope, sequence, head, known)] = None
        head = Head.of(sequence, envelope)
        if noted.pop(sequence, head) != head:
            raise BrokenChainError(
                sequence,
                "it is not the one that the given head names",
                _claim(envelope),
                advice=_FORKED,
            )
    end = head.sequence if head else 0
    for missing in sorted(noted):
        raise BrokenChainError(
            end + 1,
            f"it is missing: the given head is {missing}, and {end} is the last",
            advice=_FORKED,
        )
    return Chain(head, tuple(used))


def _follow(
    envelope: bytes, sequence: int, head: Head | None, keys: Mapping[str, PublicKey]
) -> str:
    """Check one receipt against the one before; the id of its key."""
    try:
        key, predicate = _opened(envelope, keys)
    except ValueError as error:
        raise BrokenChainError(sequence, str(error), _claim(envelope)) from None
    claim = str(predicate["deployment"])
    if predicate["sequence"] != sequence:
        what = f"out of order: it says that it is number {predicate['sequence']}"
        raise BrokenChainError(sequence, what, claim)
    if predicate.get("previous") != _link(head):
        raise BrokenChainError(
            sequence, "the one before it is not the one that it was signed after", claim
        )
    return key


def _opened(envelope: bytes, keys: Mapping[str, PublicKey]) -> tuple[str, dict[str, Any]]:
    """The id of the key and the predicate of an envelope that one of `keys` signed."""
    if len(envelope) > MAX_ENVELOPE:
        raise EnvelopeError(f"it is longer than {MAX_ENVELOPE} bytes")
    key, payload = unseal(envelope, PAYLOAD_TYPE, keys)
    match strict_json.loads(payload):
        case {
            "_type": statement_type,
            "subject": list() as subjects,
            "predicateType": predicate_type,
            "predicate": {"sequence": int(number), "deployment": str()} as predicate,
        } if (
            (statement_type, predicate_type) == (STATEMENT_TYPE, PREDICATE_TYPE)
            and number is not True  # which is 1
            and _are_subjects(subjects)
        ):
            return key, predicate
        case _:
            raise EnvelopeError(f"it is signed, but no statement of type {PREDICATE_TYPE}")


def _are_subjects(subjects: list[Any]) -> bool:
    """One image, or several of different repositories that run as one."""
    names = [
        name
        for subject in subjects
        if isinstance(subject, dict) and isinstance(subject.get("digest"), dict)
        if isinstance(name := subject.get("name"), str)
    ]
    return bool(names) and len(names) == len(subjects) == len({*names})


def _claim(envelope: bytes) -> str | None:
    """The deployment that an envelope names, believed or not."""
    try:
        match strict_json.loads(claimed(envelope[:MAX_ENVELOPE])):
            case {"predicate": {"deployment": str(deployment)}}:
                return deployment[:100]
    except ValueError:
        pass
    return None


def _link(head: Head | None) -> dict[str, str] | None:
    return {"sha256": head.sha256} if head else None


def _statement(deployment: Deployment, head: Head | None) -> dict[str, Any]:
    image = deployment.image
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(one) for one in image.each],
        "predicateType": PREDICATE_TYPE,
        "predicate": _present(
            sequence=head.sequence + 1 if head else 1,
            previous=_link(head),
            deployment=deployment.id,
            workload=deployment.workload,
            status=deployment.status.value,
            code=deployment.code,
            detail=_text(deployment.detail),
            rollback=deployment.rollback,
            undoes=deployment.undoes,
            askedBy=_origin(deployment.origin),
            image=_image(image.each[0]),
            beside=[_image(one) for one in image.each[1:]] or None,
            replaced=deployment.previous.pinned if deployment.previous else None,
            policies=_policies(deployment),
            startedOn=_time(deployment.started_at),
            finishedOn=_time(deployment.finished_at),
            launcher={"version": __version__},
        ),
    }


def _subject(image: Image) -> dict[str, Any]:
    """A ResourceDescriptor: what the statement is about."""
    algorithm, _, digits = image.digest.partition(":")
    return {"name": str(image.reference.repository), "digest": {algorithm: digits}}


def _policies(deployment: Deployment) -> list[dict[str, Any]]:
    """What each said when it admitted the image."""
    return [
        {"policy": one.policy, "holds": one.holds, "said": _text(one.said)}
        for one in deployment.verdicts
    ]


def _origin(origin: Origin) -> dict[str, Any]:
    """Who asked."""
    return _present(
        trust=origin.trust.value,
        source=origin.source,
        secretId=origin.secret_id,
        delivery=origin.delivery,
        actor=_text(origin.actor),
        reason=_text(origin.reason),
        signedOn=_time(origin.signed_at),
        overrides=sorted(origin.overrides) or None,
    )


def _image(image: Image) -> dict[str, Any]:
    """What the registry answered, or (when adopted) the engine."""
    return _present(
        reference=str(image.reference),
        digest=image.digest,
        manifest=image.manifest,
        config=image.config,
        mediaType=_text(image.media_type),
        platform=_text(str(image.platform)) if image.platform else None,
    )


def _present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value: what is not known is left out."""
    return {name: value for name, value in fields.items() if value is not None}


def _text(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _time(when: datetime | None) -> str | None:
    """RFC 3339 in UTC, as in-toto's `Timestamp`."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None

"""Who must have signed without a key of their own, and what was found to be signed by them.

Sigstore's keyless signing: a workflow shows its OIDC token to Fulcio and gets a certificate for ten
minutes, which says who it is (sigstore/fulcio, docs/oid-info.md); Rekor logs what was signed with
it. Only what stands in the certificate is beyond the workflow's own reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

GITHUB = "https://token.actions.githubusercontent.com"
INSTALL = "pip install 'webhook-launcher[keyless]'"


@dataclass(frozen=True, slots=True)
class KeylessIdentity:
    """A workflow that runs for a repository. Every part is compared as a whole, never as a prefix.

    `repository` is the URI of the source repository; `workflow` that of the workflow's file, which
    may lie in another repository (a reusable workflow), with the `@ref` it must be of; without
    one it is of the ref that is built. `refs` are those that may be built: `refs/heads/main`, or a
    whole kind, `refs/tags/*`. The two numeric ids stay when a name changes hands. `trusted_root`
    is the JSON of Sigstore's keys; None: those of its public instance.
    """

    issuer: str
    repository: str
    workflow: str
    refs: tuple[str, ...]
    repository_id: str | None = None
    owner_id: str | None = None
    trusted_root: bytes | None = field(default=None, repr=False)

    def permits(self, ref: str) -> bool:
        """True when this ref of the source repository may be built."""
        return any(_is_of(ref, permitted) for permitted in self.refs)

    def signer(self, ref: str) -> str:
        """The URI that the certificate must name as its workflow, when `ref` was built."""
        return self.workflow if "@" in self.workflow else f"{self.workflow}@{ref}"


@dataclass(frozen=True, slots=True)
class Vouched:
    """A DSSE envelope whose maker, signature and log entry were verified; its content was not.

    `claims` are the certificate's: `signer`, `ref`, and (where there) `commit` and `run`.
    `since` is when the certificate was issued: the signature was made within minutes of that.
    """

    payload_type: str
    payload: bytes = field(repr=False)
    claims: Mapping[str, str]
    since: datetime


@dataclass(frozen=True, slots=True)
class Vouching:
    """What an identity vouches for among the attachments, and why all others do not count."""

    vouched: tuple[Vouched, ...] = ()
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustDates:
    """How old a trusted root is: when the newest of its keys began; what has none that lasts."""

    newest: datetime
    ended: tuple[str, ...]


def _is_of(ref: str, permitted: str) -> bool:
    if permitted.endswith("/*"):
        kind = permitted.removesuffix("*")
        return ref.startswith(kind) and ref != kind
    return ref == permitted

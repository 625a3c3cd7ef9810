"""What a source is: a configured sender, the kind it is of, and the delivery it makes.

The types here are shared by `config` (which reads sources), `sources` (which verify and parse)
and `web` (which receives); those three do not know each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from webhook_launcher.core.model import Mention, Trust
from webhook_launcher.core.signatures import VerificationKey


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request: header names in lower case, the raw body, the token of the URL if any."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """A header's value by its name in any case."""
        return self.headers.get(name.lower())


@dataclass(frozen=True, slots=True)
class Secret:
    """A shared secret; several may be valid at once, so that they can be rotated."""

    id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender. `workloads` is its scope, None for every workload that matches."""

    name: str
    kind: str
    registry: str | None = None
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[Secret, ...] = ()  # valid last parts of the URL
    keys: tuple[VerificationKey, ...] = ()
    header: str | None = None  # the header that carries a static secret
    tolerance: timedelta = timedelta(minutes=5)
    workloads: frozenset[str] | None = None
    options: Mapping[str, object] = field(default_factory=dict)  # the kind's own, parsed
    key_set: str | None = None  # where the sender's public keys are: an https URL or a path
    overrides: frozenset[str] = frozenset()  # policies that its events may override, all of them

    def may_override(self, secret_id: str | None) -> frozenset[str]:
        """Which policies an event may override that was proved with this key."""
        of_key = (key.overrides for key in self.keys if key.id == secret_id)
        return self.overrides.union(*of_key)


@dataclass(frozen=True, slots=True)
class Proof:
    """How a delivery proved where it comes from; `signed_at` when its scheme signs a time.

    `delivery_id` is set when the proof itself may be used only once (`jti` of a token).
    """

    trust: Trust
    secret_id: str | None = None
    signed_at: datetime | None = None
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What a delivery says, whoever sent it; with a Proof it becomes an Event.

    `delivery_id` is the sender's own id or a hash of the body; None when the sender gives no id
    and its body has no time either (Quay), so that two pushes of one tag look alike: then no
    delivery is taken for a repetition, and coalescing does the rest. Without mentions, `ignored`
    says why there is nothing to do. `refused` says which entries of a list could not be used
    while others could.
    """

    delivery_id: str | None
    mentions: tuple[Mention, ...] = ()
    ignored: str | None = None
    reason: str | None = None
    actor: str | None = None
    refused: tuple[str, ...] = ()
    overrides: frozenset[str] = frozenset()  # policies that it asks to override


# A public key by its name: a token's `kid`, the URL of an SNS certificate. None when there is none.
# Fetching is the outside's business: it fills `options["key_lookup"]` of the sources whose kind
# says so (`Kind.jwks`, `Kind.certificates`). A lookup may answer from a cache and must be quick.
KeyLookup = Callable[[str], RSAPublicKey | None]
KEY_LOOKUP = "key_lookup"

# Parses one option of a kind from its YAML value; ValueError's text says what to write instead.
OptionParser = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sender: how to verify and read its deliveries, and what it needs configured.

    `authenticate` proves the sender over the raw bytes; `read` says what a delivery means without
    asking who sent it (`replay --unverified` uses it alone). Both are pure and raise EventError
    and nothing else; `sources.receive` runs them in this order.

    `credentials` names the configuration keys of which at least one must be given
    (`secrets`, `tokens`, `keys`). `registry` is the host it speaks for when none is configured;
    a kind with neither needs `registry:` unless `needs_registry` is False: then its payload names
    the host, which only selects among workloads, and a configured `registry` pins it.
    `punishes_errors` marks senders that block their queue, disable the hook or redeliver for days
    after a 4xx: an authentic delivery of theirs that cannot be used is answered 200.
    `check` looks at the names of the keys that are written for a source (`secrets`, `tokens` and
    `keys` for each of their spellings) and says which of them is wrong, and what to write instead.
    `handshake_origins` are the senders that ask by OPTIONS whether they may send here
    (`WebHook-Request-Origin` of CloudEvents' webhook specification, section 4).
    `jwks` says where the key set of a source's tokens is (a URL or a path), `certificates` that
    its deliveries name the certificate that signed them: both need a KeyLookup.
    `deploys` marks the kinds whose events are deploy events.
    `replayable` is for how long after its first acceptance a signed delivery would be accepted
    again, if nobody remembered its id; at most `retention.LONGEST_REPLAY`. A signed time may be
    ahead of our clock as well. Where no time is signed, no memory is long enough.
    """

    name: str
    authenticate: Callable[[Delivery, Source, datetime], Proof]
    read: Callable[[Delivery, Source], Statement]
    credentials: frozenset[str]
    registry: str | None = None
    needs_registry: bool = True
    header: str | None = None  # default of `header`; None: the key is not allowed
    options: Mapping[str, OptionParser] = field(default_factory=dict)
    required_options: frozenset[str] = frozenset()
    punishes_errors: bool = False
    jwks: Callable[[Source], str] | None = None
    certificates: bool = False
    check: Callable[[frozenset[str]], Mapping[str, str]] = lambda _: {}
    handshake_origins: frozenset[str] = frozenset()
    deploys: bool = False
    replayable: Callable[[Source], timedelta] = lambda source: 2 * source.tolerance

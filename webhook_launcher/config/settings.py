"""The configuration as typed values. Secrets never show in a `repr`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webhook_launcher.core.dsse import PrivateKey
from webhook_launcher.core.retention import Retention
from webhook_launcher.core.source import Source
from webhook_launcher.core.workload import PollSettings, Workload


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one delivery's body; intents that may wait at once.

    A minute's authentic deliveries of a source, and refused ones of a client to a source. Seconds
    that a request may take to arrive.
    """

    body: int = 1024**2
    pending: int = 10_000
    deliveries: int = 10_000
    refused: int = 600
    request: float = 30.0


@dataclass(frozen=True, slots=True)
class Recording:
    """Where the newest authentic deliveries are kept for `replay`, and how many of each source."""

    directory: Path
    keep: int


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How to talk to one registry; without credentials docker's own are used."""

    host: str
    insecure: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token_realm_host: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """How commands reach a running launcher."""

    state: Path
    listen: tuple[str, int]
    admin_token: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration file."""

    path: Path
    state: Path
    listen: tuple[str, int]
    parallel: int
    poll: PollSettings
    limits: Limits
    admin_token: bytes | None = field(repr=False)
    registries: Mapping[str, RegistryAccess]
    sources: Mapping[str, Source]
    workloads: Mapping[str, Workload]
    retention: Retention = field(default_factory=Retention)
    record: Recording | None = None
    # What signs receipts; None: the state directory's own key.
    receipts: PrivateKey | None = field(default=None, repr=False)

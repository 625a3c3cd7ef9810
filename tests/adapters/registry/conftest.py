"""A fake registry, a clock that a test sets, and clients that close themselves."""

from collections.abc import Callable, Iterator

import pytest

from tests.adapters.registry.fake import FakeRegistry
from webhook_launcher.adapters.registry import (
    Credential,
    RegistryClient,
    RegistrySettings,
    Timeouts,
)
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import Reference

# The fake is on this machine: what takes longer than this is a stall that a test made.
QUICK = Timeouts(connect=2, response=1, total=5)


class Clock:
    """Time that passes only by `sleep`, and on a test's word."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Monotonic seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Pass at once."""
        self.slept.append(seconds)
        self.time += seconds


MakeClient = Callable[..., RegistryClient]


def look(client: RegistryClient, method: str, reference: Reference) -> None:
    """The poll's look (`head`) or the deployment's (`image`)."""
    if method == "head":
        client.head(reference)
    else:
        client.image(reference, Platform("linux", "amd64"))


@pytest.fixture
def clock() -> Clock:
    """The clock of this test's clients."""
    return Clock()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A fake registry, empty, without authentication."""
    fake = FakeRegistry()
    yield fake
    fake.close()


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """A second server, for what should not be sent there."""
    fake = FakeRegistry()
    yield fake
    fake.close()


@pytest.fixture
def make_client(clock: Clock) -> Iterator[MakeClient]:
    """`make_client(RegistrySettings(...), ..., credential=...)`."""
    made: list[RegistryClient] = []

    def make(
        *settings: RegistrySettings,
        credential: Credential | None = None,
        timeouts: Timeouts = QUICK,
    ) -> RegistryClient:
        client = RegistryClient(
            {one.host: one for one in settings},
            lambda _: credential,
            now=clock.now,
            sleep=clock.sleep,
            timeouts=timeouts,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> RegistryClient:
    """A client without settings or credentials."""
    return make_client()

"""A registry that lets callers wait in vain is left alone for a while."""

import pytest

from tests.adapters.registry.conftest import Clock, look
from tests.adapters.registry.fake import FakeRegistry, Reply, Seen, manifest
from webhook_launcher.adapters.registry import RegistryClient
from webhook_launcher.adapters.registry.outage import Outages
from webhook_launcher.core.errors import ManifestNotFoundError, RegistryUnavailableError


@pytest.fixture
def outages(clock: Clock) -> Outages:
    """Nobody has been waited for yet."""
    return Outages(clock.now)


def ask(outages: Outages, clock: Clock, seconds: float, error: Exception | None = None) -> None:
    """A question that takes so long and ends like this."""
    with outages.asking("registry.test"):
        clock.sleep(seconds)
        if error is not None:
            raise error


def fail(outages: Outages, clock: Clock, seconds: float) -> RegistryUnavailableError:
    """A question in vain; what the caller gets."""
    with pytest.raises(RegistryUnavailableError) as raised:
        ask(outages, clock, seconds, RegistryUnavailableError("no answer"))
    return raised.value


def test_after_a_timeout_nobody_waits_again_for_a_while(outages: Outages, clock: Clock) -> None:
    """Four workers and a black hole: the images of every other registry would wait for it."""
    fail(outages, clock, 10)
    before = clock.time
    told = fail(outages, clock, 10)
    assert "left alone" in str(told)
    assert clock.time == before
    assert told.retry_after == pytest.approx(15)
    clock.sleep(15)
    ask(outages, clock, 0.1)
    ask(outages, clock, 0.1)


def test_another_registry_is_asked_as_always(outages: Outages, clock: Clock) -> None:
    """That is the point of it."""
    fail(outages, clock, 10)
    with outages.asking("other.test"):
        pass


def test_what_fails_quickly_is_not_left_alone(outages: Outages, clock: Clock) -> None:
    """A registry that restarts refuses connections for a second: the next try may be well."""
    fail(outages, clock, 0.1)
    ask(outages, clock, 0.1)


def test_after_the_pause_one_at_a_time_tries(outages: Outages, clock: Clock) -> None:
    """Else every pause would end with all workers in the black hole."""
    fail(outages, clock, 10)
    clock.sleep(15)
    with outages.asking("registry.test"):
        told = fail(outages, clock, 0)
        assert told.retry_after == 1
    ask(outages, clock, 0)


def test_an_answer_that_says_no_is_an_answer(outages: Outages, clock: Clock) -> None:
    """A slow 404 is no outage, and ends one."""
    fail(outages, clock, 10)
    clock.sleep(15)
    with pytest.raises(ManifestNotFoundError):
        ask(outages, clock, 5, ManifestNotFoundError("not there"))
    ask(outages, clock, 0)


@pytest.mark.parametrize("method", ["head", "image"])
def test_the_client_asks_no_more(
    registry: FakeRegistry, client: RegistryClient, clock: Clock, method: str
) -> None:
    """The poll's looks and the workers' share what they know."""
    registry.put("acme/web:stable", manifest())
    reference = registry.reference("acme/web:stable")

    def stall(seen: Seen, reply: Reply) -> Reply:
        clock.sleep(10)
        return Reply(200, {}, b"", raw=b"", pause=0)

    registry.edit(stall)
    with pytest.raises(RegistryUnavailableError):
        client.head(reference)
    asked = len(registry.seen)
    with pytest.raises(RegistryUnavailableError, match="left alone"):
        look(client, method, reference)
    assert len(registry.seen) == asked

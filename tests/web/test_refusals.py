"""How refused deliveries are counted."""

from concurrent.futures import ThreadPoolExecutor

from webhook_launcher.web.problems import too_large
from webhook_launcher.web.refusals import Refusals


def test_threads_that_count_at_once_lose_nothing() -> None:
    """Deliveries are refused in the main thread and in those of the pool."""
    refusals, answer = Refusals(), too_large(1)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(16_000):
            pool.submit(refusals.add, "hub", answer)
    refusals.add("hub", answer)  # a late store of the last one may be lower until the next
    assert refusals.counts() == {("hub", "request-entity-too-large"): 16_001}


def test_what_was_read_does_not_change() -> None:
    """It is written out while deliveries go on being refused."""
    refusals = Refusals()
    before = refusals.counts()
    refusals.add("hub", too_large(1))
    assert before == {}
